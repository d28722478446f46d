"""Models registered by hand answer as their own libraries do, through a real worker and every way of asking."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import homeostat as hs
from homeostat.sdk.client import Client

pytestmark = pytest.mark.slow

_random = np.random.default_rng(3)
X = _random.normal(size=(120, 4))
KIND = _random.integers(0, 3, 120)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[KIND]
LATE = X[:, 0] + _random.normal(size=120) > 0
VALUES = X[:, 0] * 2 + _random.normal(size=120)
FRAME = pd.DataFrame(X, columns=list("abcd"))
MIXED = pd.DataFrame({"age": X[:, 0], "sex": _random.choice(["m", "f"], 120)})
ROWS = 7

CLASSES = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, SPECIES),
    "forest": RandomForestClassifier(10).fit(FRAME, SPECIES),
    "lightgbm-classes": lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(FRAME, SPECIES),
}
PROBABILITIES = {
    "boosting": HistGradientBoostingClassifier(max_iter=10).fit(FRAME, LATE),
    "xgboost": xgboost.XGBClassifier(n_estimators=10).fit(FRAME, LATE),
}
NUMBERS = {
    "lightgbm": lightgbm.LGBMRegressor(n_estimators=10, verbose=-1).fit(FRAME, VALUES),
    "linear": LinearRegression().fit(FRAME, VALUES),
}
PAIRS = LinearRegression().fit(FRAME, np.stack([VALUES, X[:, 1]], axis=1))
TEXTS = make_pipeline(
    ColumnTransformer([("age", StandardScaler(), ["age"]), ("sex", OneHotEncoder(handle_unknown="ignore"), ["sex"])]),
    LogisticRegression(),
).fit(MIXED, LATE)


class Serving:
    """`homeostat serve` in a process of its own."""

    def __init__(self, home: Path, *refs: str) -> None:
        command = [sys.executable, "-m", "homeostat.cli.entry", "serve", *refs, "--home", str(home), "--port", "0"]
        self.process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, env=dict(os.environ))
        assert self.process.stdout is not None  # PIPE above
        text = b""
        for line in self.process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        self.said: dict[str, Any] = json.loads(text or b"{}")
        self.http = httpx.Client(base_url=self.said.get("url", ""), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=40) == 0
        if self.process.stdout:
            self.process.stdout.close()

    def infer(self, model: str, columns: dict[str, list[Any]], **more: Any) -> httpx.Response:
        tensors = [
            {"name": name, "shape": [len(values)], "datatype": _datatype(values), "data": values}
            for name, values in columns.items()
        ]
        return self.http.post(f"/v2/models/{model}/infer", json={"inputs": tensors} | more)

    def outputs(self, model: str, columns: dict[str, list[Any]]) -> dict[str, Any]:
        answer = self.infer(model, columns)
        assert answer.status_code == 200, answer.text
        return {
            one["name"]: np.array(one["data"]).reshape(one["shape"]) if one["datatype"] != "BYTES" else one["data"]
            for one in answer.json()["outputs"]
        }


def _datatype(values: list[Any]) -> str:
    return "BYTES" if isinstance(values[0], str) else "BOOL" if isinstance(values[0], bool) else "FP64"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registered") / "home"


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[Client]:
    opened = hs.connect(str(home))
    for name, model in (CLASSES | PROBABILITIES | NUMBERS).items():
        opened.registry.register(model, name)
        opened.registry.promote(f"{name}@1", "champion")
    opened.registry.register(PAIRS, "pairs", outputs=["delay", "taxi"])
    opened.registry.register(TEXTS, "texts")
    proto = to_onnx(CLASSES["forest"], X[:1].astype(np.float32))
    opened.registry.register(proto, "onnx", inputs=list("abcd"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def serving(home: Path, client: Client) -> Iterator[Serving]:
    names = [*CLASSES, *PROBABILITIES, *NUMBERS]
    refs = [f"models:/{name}@champion" for name in names] + ["pairs@1", "models:/texts/1", "onnx@1"]
    assert client.registry.models()
    with Serving(home, *refs) as one:
        yield one


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): frame[name].tolist()[:ROWS] for name in frame.columns}


@pytest.mark.parametrize("name", [*PROBABILITIES, *NUMBERS])
def test_one_number_a_row_is_what_the_library_says(serving: Serving, name: str) -> None:
    model = (PROBABILITIES | NUMBERS)[name]
    wanted = model.predict_proba(FRAME)[:ROWS, 1] if name in PROBABILITIES else model.predict(FRAME)[:ROWS]
    (score, *_) = serving.outputs(name, columns(FRAME)).values()
    assert np.ravel(score) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", [*CLASSES, "onnx"])
def test_several_classes_have_a_probability_each(serving: Serving, name: str) -> None:
    model = CLASSES.get(name, CLASSES["forest"])
    found = serving.outputs(name, columns(FRAME))
    wanted = np.asarray(model.predict_proba(FRAME))[:ROWS]
    tables = [values for values in found.values() if np.shape(values) == wanted.shape]
    assert tables and tables[0] == pytest.approx(wanted, abs=1e-5)
    assert list(model.predict(FRAME)[:ROWS]) in [list(values) for values in found.values()]


def test_a_matrix_is_laid_on_by_position(serving: Serving) -> None:
    tensor = {"name": "x", "shape": [ROWS, 4], "datatype": "FP64", "data": X[:ROWS].ravel().tolist()}
    answer = serving.http.post("/v2/models/linear/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == pytest.approx(NUMBERS["linear"].predict(FRAME)[:ROWS])


def test_columns_of_text_are_sent_as_text(serving: Serving) -> None:
    rows = MIXED.head(ROWS).assign(sex=["m", "f", "elsewhere", "", "m", "f", "m"])
    (score, *_) = serving.outputs("texts", columns(rows)).values()
    assert np.ravel(score) == pytest.approx(TEXTS.predict_proba(rows)[:, 1])


def test_several_outputs_come_back_by_name_or_as_a_table(serving: Serving) -> None:
    found = serving.outputs("pairs", columns(FRAME))
    wanted = PAIRS.predict(FRAME)[:ROWS]
    tables = [values for values in found.values() if np.shape(values) == wanted.shape]
    by_name = np.stack([np.ravel(found[name]) for name in ("delay", "taxi")], axis=1) if not tables else tables[0]
    assert by_name == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"d": None}, "d"),
        ({"extra": [1.0] * ROWS}, "extra"),
        ({"a": ["x"] * ROWS}, "a"),
        ({"a": [float("nan")] * ROWS}, "a"),
        ({"a": [1.0]}, "a"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused_by_name(
    serving: Serving, change: dict[str, Any], field: str
) -> None:
    given = {name: values for name, values in (columns(FRAME) | change).items() if values is not None}
    body = json.dumps(
        {
            "inputs": [
                {"name": name, "shape": [len(values)], "datatype": _datatype(values), "data": values}
                for name, values in given.items()
            ]
        }
    )
    headers = {"content-type": "application/json"}
    answer = serving.http.post("/v2/models/linear/infer", content=body, headers=headers)
    assert 400 <= answer.status_code < 500 and f"'{field}'" in answer.json()["error"]


def test_an_alias_is_followed_and_a_number_is_not(client: Client, home: Path) -> None:
    first, second = (LinearRegression().fit(FRAME, VALUES + shift) for shift in (0.0, 100.0))
    for model in (first, second):
        client.registry.register(model, "moved")
    client.registry.promote("moved@1", "champion")
    with Serving(home, "models:/moved@champion") as followed, Serving(home, "moved@1") as pinned:
        assert followed.said["models"] == [{"model": "moved", "version": 1, "follows": True}]
        client.registry.promote("moved@2", "champion")
        wanted = second.predict(FRAME)[:ROWS]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = np.ravel(next(iter(followed.outputs("moved", columns(FRAME)).values())))
            if answer[0] == pytest.approx(wanted[0]):
                break
        assert answer == pytest.approx(wanted)
        still = np.ravel(next(iter(pinned.outputs("moved", columns(FRAME)).values())))
        assert still == pytest.approx(first.predict(FRAME)[:ROWS])


@pytest.mark.parametrize(
    ("refs", "said"),
    [
        (["nobody@1"], "nobody"),
        (["linear@9"], "linear"),
        (["linear@1", "linear@champion"], "named twice"),
        (["runs:/" + "0" * 32 + "/model"], "run"),
        (["runs:/x"], "names no model of a run"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(home: Path, client: Client, refs: list[str], said: str) -> None:
    assert client.registry.models()
    words = [sys.executable, "-m", "homeostat.cli.entry", "serve", *refs, "--home", str(home), "--port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and said in done.stderr
