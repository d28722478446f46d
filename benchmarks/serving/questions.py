"""What the servers are asked, each in its own protocol, and how the probabilities are read out of what it answers."""

import http.client
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from benchmarks.serving.models import FEATURES, asked_rows, expected

JSON = {"content-type": "application/json"}
CLOSE = 1e-5
"""Probabilities that differ by less are the same: compiled trees add up in single precision."""


class Question(NamedTuple):
    """One request, and what reads its answer."""

    path: str
    body: bytes
    read: Callable[[bytes], Any]
    headers: dict[str, str] = JSON


def open_inference(name: str, rows: int) -> Question:
    """One tensor [rows, 20] as JSON: the same bytes for us and for MLServer."""
    tensor = {"name": "x", "shape": [rows, FEATURES], "datatype": "FP64", "data": asked_rows(rows).ravel().tolist()}
    return Question(f"/v2/models/{name}/infer", _json({"inputs": [tensor]}), _first_output)


def binary_tensor(name: str, rows: int) -> Question:
    """The same tensor behind a JSON head, the way Triton's client sends it without being told to."""
    data = asked_rows(rows).astype("<f8").tobytes()
    tensor = {"name": "x", "shape": [rows, FEATURES], "datatype": "FP64", "parameters": {"binary_data_size": len(data)}}
    head = _json({"inputs": [tensor]})
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return Question(f"/v2/models/{name}/infer", head + data, _first_output, headers)


def bentoml(name: str, rows: int) -> Question:
    """BentoML's JSON: the argument by its name."""
    return Question(f"/{name}", _json({"inputs": asked_rows(rows).tolist()}), json.loads)


def mlflow(_name: str, rows: int) -> Question:
    """MLflow's `inputs`, which is the faster of its forms."""
    return Question(
        "/invocations",
        _json({"inputs": asked_rows(rows).tolist()}),
        lambda body: np.array(json.loads(body)["predictions"])[:, 1],
    )


def must_agree(url: str, question: Question, name: str, rows: int) -> None:
    """A fast wrong answer is no result: a server has to say what the model itself says.

    Raises:
        RuntimeError: showing what it said instead.
    """
    status, body = ask(url, question)
    if status != 200:
        raise RuntimeError(f"{url}{question.path} answered {status}: {body[:500]!r}")
    said = np.asarray(question.read(body), dtype=np.float64)
    wanted = expected(name, rows)
    if said.shape != wanted.shape or not np.allclose(said, wanted, rtol=0, atol=CLOSE):
        raise RuntimeError(f"{url}{question.path} said {said[:3]} ... of {name}, which says {wanted[:3]} ...")


def ask(url: str, question: Question) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request("POST", question.path, question.body, question.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _first_output(body: bytes) -> Any:
    """Ours is the probability; scikit-learn's through MLServer has a column for each class."""
    output = json.loads(body)["outputs"][0]
    data = np.array(output["data"]).reshape(output["shape"])
    return data if data.ndim == 1 else data[:, -1]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
