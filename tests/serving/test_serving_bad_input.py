"""Every way in which a request can be wrong, over every protocol: a 4xx that names the field."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from serving_door import Door, saved
from serving_helpers import rows
from serving_http2 import Http2Caller

from homeostat.compat.grpc_messages import message_classes
from homeostat.compat.oip import HEAD_LENGTH
from homeostat.compat.oip_binary import pack_floats

JSON, CSV, LINES, NPY = "application/json", "text/csv", "application/jsonlines", "application/x-npy"
MANY = 10_001
STATUS_OF_GRPC = {0: 200, 3: 400, 5: 404, 8: 413}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    made = Door(tmp_path_factory.mktemp("door"))
    yield made
    made.close()


def ask(door: Door, protocol: str, model: str, columns: dict[str, list[Any]], *, version: str = "") -> tuple[int, str]:
    """The columns in one protocol: status, and the field or all of the text that says what is wrong."""
    named = {"X-Model-Version".lower(): version} if version else {}
    match protocol:
        case "oip":
            path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
            tensors = [
                {"name": name, "shape": [len(values)], "datatype": datatype(name, values), "data": values}
                for name, values in columns.items()
            ]
            answer = door.ask("POST", f"{path}/infer", msgspec.json.encode({"inputs": tensors}))
        case "mlflow":
            body = json.dumps({"inputs": columns}).encode()
            answer = door.ask("POST", f"/endpoints/{model}/invocations", body, {"content-type": JSON} | named)
        case "csv":
            lines = [",".join(columns), *(",".join(map(text, row)) for row in zip(*columns.values(), strict=True))]
            body = "\n".join(lines).encode()
            kind = {"content-type": f"{CSV}; header=present"}
            answer = door.ask("POST", f"/endpoints/{model}/invocations", body, kind | named)
        case "lines":
            records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            body = b"\n".join(json.dumps(record).encode() for record in records)
            answer = door.ask("POST", f"/endpoints/{model}/invocations", body, {"content-type": LINES} | named)
        case "predict":
            answer = door.ask("POST", f"/predict/{model}", msgspec.json.encode({"inputs": columns}), named)
        case _:
            return over_grpc(door, model, columns, version)
    told = answer.json() if answer.status >= 400 else {}
    return answer.status, told.get("field", "")


def text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def datatype(name: str, values: list[Any]) -> str:
    """How a client that knows its data, though not the model, would call them."""
    if any(isinstance(value, str) for value in values):
        return "BYTES"
    return "BOOL" if name == "paid" else "FP64"


def over_grpc(door: Door, model: str, columns: dict[str, list[Any]], version: str) -> tuple[int, str]:
    request = message_classes()["ModelInferRequest"](model_name=model, model_version=version)
    for name, values in columns.items():
        kind = datatype(name, values)
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(values)])
        if kind == "BYTES":
            tensor.contents.bytes_contents.extend([str(value).encode() for value in values])
        elif kind == "BOOL":
            tensor.contents.bool_contents.extend(values)
        else:
            tensor.contents.fp64_contents.extend([np.nan if value is None else value for value in values])
    with Http2Caller(door.connect()) as caller:
        reply = caller.call("ModelInfer", request.SerializeToString())
    return STATUS_OF_GRPC[reply.status], reply.message


NAMED = ["oip", "grpc", "mlflow", "csv", "lines", "predict"]


@pytest.mark.parametrize("protocol", NAMED)
def test_good_columns_are_answered(door: Door, protocol: str) -> None:
    assert ask(door, protocol, "late", rows(2))[0] == 200
    assert ask(door, protocol, "late", rows(2), version="2")[0] == 200
    assert ask(door, protocol, "features", {"a": [1.0], "b": [2.0], "c": [3.0]})[0] == 200


@pytest.mark.parametrize("protocol", NAMED)
@pytest.mark.parametrize(
    ("model", "columns", "version", "status", "field"),
    [
        ("nobody", rows(), "", 404, "endpoint"),
        ("late", rows(2, carrier=None), "", 400, "carrier"),
        ("late", rows(2, colour=["red", "blue"]), "", 400, "colour"),
        ("late", rows(2, distance=["far", "near"]), "", 400, "distance"),
        ("late", rows(2, dep=["yesterday", "today"]), "", 400, "dep"),
        ("late", rows(2, request_id=["x", "x"]), "", 400, "request_id"),
        ("late", rows(1, request_time=["2999-01-01"]), "", 400, "request_time"),
        ("features", {"a": [1.0], "b": [None], "c": [3.0]}, "", 400, "b"),
        ("late", rows(MANY), "", 413, "distance"),
    ],
)
def test_what_is_wrong_with_columns_is_named(
    door: Door, protocol: str, model: str, columns: dict[str, list[Any]], version: str, status: int, field: str
) -> None:
    got, named = ask(door, protocol, model, columns, version=version)
    assert got == status, named
    assert field in named


@pytest.mark.parametrize("protocol", NAMED)
def test_an_unknown_version_is_refused(door: Door, protocol: str) -> None:
    status, named = ask(door, protocol, "late", rows(), version="9")
    assert (status, "ersion" in named) in {(404, True), (400, True)}, named


@pytest.mark.parametrize("protocol", ["oip", "grpc", "mlflow", "csv", "predict"])
def test_no_rows_are_refused(door: Door, protocol: str) -> None:
    empty: dict[str, list[Any]] = {"a": [], "b": [], "c": []}
    status, named = ask(door, protocol, "numbers", empty)
    assert (status, "a" in named) == (400, True)


@pytest.mark.parametrize("protocol", ["oip", "mlflow", "predict"])
def test_columns_of_different_lengths_are_refused(door: Door, protocol: str) -> None:
    assert ask(door, protocol, "numbers", {"a": [1.0, 2.0], "b": [1.0], "c": [1.0, 2.0]}) == (400, "b")


INFINITE, SHORT, NONE = [[1.0, float("inf"), 3.0]], [[1.0, 2.0]], [[1.0, float("nan"), 3.0]]


def as_matrix(door: Door, protocol: str, model: str, values: list[list[float]]) -> tuple[int, str]:
    """A matrix in one protocol: status, and the field or all of the text that says what is wrong."""
    array = np.array(values)
    where = f"/endpoints/{model}/invocations"
    match protocol:
        case "oip":
            size = {"binary_data_size": array.nbytes}
            tensor = {"name": "x", "datatype": "FP64", "shape": list(array.shape), "parameters": size}
            head = msgspec.json.encode({"inputs": [tensor]})
            body = head + pack_floats(array.ravel())
            answer = door.ask("POST", f"/v2/models/{model}/infer", body, {HEAD_LENGTH: str(len(head))})
        case "mlflow":
            answer = door.ask("POST", where, json.dumps({"inputs": values}).encode(), {"content-type": JSON})
        case "csv":
            lines = "\n".join(",".join("" if value != value else str(value) for value in row) for row in values)  # noqa: PLR0124  NaN
            answer = door.ask("POST", where, lines.encode(), {"content-type": CSV})
        case "npy":
            answer = door.ask("POST", where, saved(array), {"content-type": NPY})
        case _:
            request = message_classes()["ModelInferRequest"](model_name=model)
            request.inputs.add(name="x", datatype="FP64", shape=list(array.shape))
            request.raw_input_contents.append(pack_floats(array.ravel()))
            with Http2Caller(door.connect()) as caller:
                reply = caller.call("ModelInfer", request.SerializeToString())
            return STATUS_OF_GRPC[reply.status], reply.message
    return answer.status, answer.json().get("field", "") if answer.status >= 400 else ""


@pytest.mark.parametrize("protocol", ["oip", "grpc", "mlflow", "csv", "npy"])
@pytest.mark.parametrize(
    ("model", "values", "status", "field"),
    [
        ("numbers", [[1.0, 2.0, 3.0]], 200, ""),
        ("numbers", NONE, 200, ""),
        ("features", NONE, 400, "b"),
        ("numbers", INFINITE, 400, "b"),
        ("features", INFINITE, 400, "b"),
        ("numbers", SHORT, 400, "inputs"),
        ("features", SHORT, 400, "inputs"),
        ("late", SHORT, 400, "carrier"),
        ("nobody", SHORT, 404, "endpoint"),
        ("numbers", [[0.0, 0.0, 0.0]] * MANY, 413, "inputs"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_named(
    door: Door, protocol: str, model: str, values: list[list[float]], status: int, field: str
) -> None:
    got, named = as_matrix(door, protocol, model, values)
    assert got == status, named
    assert field in named
