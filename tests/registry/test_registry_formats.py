"""Model formats: scores survive, hostile files are refused before a native reader meets them."""

import io
import json
import struct
import subprocess
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import Ridge

from homeostat.ground.errors import Corrupt, Invalid, MissingExtra, Refused
from homeostat.registry.formats import network, xgboost_model
from homeostat.registry.formats.network import Network
from homeostat.registry.formats.ubjson import read_document
from homeostat.registry.formats.zips import check_zip
from homeostat.registry.packaging import package_model, store_package
from homeostat.registry.scorers import load_scorer, scorer_from, scorer_of
from homeostat.store.blobs import BlobStore

CLIENTS = Path(__file__).parents[2] / ".venv" / "clients" / "bin" / "python"
_random = np.random.default_rng(0)
X = _random.normal(size=(400, 4))
X[_random.random(X.shape) < 0.05] = np.nan
Y = np.nan_to_num(X[:, 0]) > 0
VALUES = np.nan_to_num(X[:, 0]) * 2 + 1


def booster(objective: str = "binary:logistic", *, kind: str = "gbtree", rounds: int = 5) -> xgboost.Booster:
    target = VALUES if objective.startswith("reg:squared") else Y.astype(float)
    return xgboost.train({"objective": objective, "booster": kind, "nthread": 1}, xgboost.DMatrix(X, target), rounds)


def reload(tmp_path: Path, model: Any, task: str) -> Any:
    blobs = BlobStore(str(tmp_path / "blobs"))
    stored = store_package(blobs, package_model(model, task=task))
    assert all(len(file.sha256) == 64 for file in stored.manifest.values())
    return load_scorer(blobs, stored.flavor, stored.manifest, task)


@pytest.mark.parametrize("kind", ["gbtree", "dart"])
def test_xgboost_boosters_keep_their_scores(tmp_path: Path, kind: str) -> None:
    binary, numbers = booster(kind=kind), booster("reg:squarederror", kind=kind)
    for model, task in ((binary, "binary"), (numbers, "regression")):
        scorer = reload(tmp_path, model, task)
        assert scorer.score(X) == pytest.approx(model.inplace_predict(X), abs=1e-6)
    assert scorer.score(X[:0]).shape == (0,)
    with pytest.raises(Refused, match="takes 4 columns"):
        scorer.score(X[:, :2])


def test_xgboost_wrappers_keep_their_scores_and_their_best_iteration(tmp_path: Path) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, nthread=1)
    classifier.fit(X[:200], Y[:200].astype(int), eval_set=[(X[200:], _random.integers(0, 2, 200))], verbose=False)
    assert classifier.best_iteration < 59
    scorer = reload(tmp_path, classifier, "binary")
    assert scorer.score(X) == pytest.approx(classifier.predict_proba(X)[:, 1], abs=1e-6)
    many = np.tile(X, (30, 1))  # past the rows where it takes all threads
    assert scorer.score(many)[:400] == pytest.approx(scorer.score(X), abs=1e-6)
    regressor = xgboost.XGBRegressor(n_estimators=5, nthread=1).fit(X, VALUES)
    assert reload(tmp_path, regressor, "regression").score(X) == pytest.approx(regressor.predict(X), abs=1e-6)


def test_xgboost_models_that_would_answer_something_else_are_refused() -> None:
    with pytest.raises(Refused, match="objective 'reg:squarederror'"):
        package_model(booster("reg:squarederror"), task="binary")
    with pytest.raises(Refused, match="objective 'binary:logistic'"):
        package_model(booster(), task="regression")
    with pytest.raises(Refused, match="objective 'binary:logitraw'"):
        package_model(booster("binary:logitraw"), task="binary")
    with pytest.raises(Refused, match="linear"):
        package_model(booster(kind="gblinear"), task="binary")
    odd = xgboost.XGBRegressor(n_estimators=2, missing=-1.0, nthread=1).fit(np.nan_to_num(X), VALUES)
    with pytest.raises(Refused, match=r"takes -1\.0 for a missing value"):
        package_model(odd)


def test_both_of_xgboosts_file_forms_are_read_alike() -> None:
    model = booster()
    binary, text = (read_document(bytes(model.save_raw(raw_format=form))) for form in ("ubj", "json"))
    for document in (binary, text):
        xgboost_model.check(document)
    first = [
        document["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"] for document in (binary, text)
    ]
    assert list(first[0]) == list(first[1])


def test_an_xgboost_file_cut_anywhere_is_refused() -> None:
    data = bytes(booster(rounds=1).save_raw(raw_format="ubj"))
    for end in range(0, len(data) - 1, 7):
        with pytest.raises(Corrupt, match=r"cannot be read|not that of a model|holds no model"):
            scorer_of("xgboost", data[:end], "binary")


@pytest.mark.parametrize(
    "data",
    [
        b"{" + b"L\x00\x00\x00\x00\x00\x00\x00\x01a" + b"[" * 100_000,
        b'{"a":' + b"[" * 100_000,
        b"{L" + struct.pack(">q", 1 << 62) + b"a",
        b"{L" + struct.pack(">q", -1) + b"a",
        b"{i\x01a[$d#L" + struct.pack(">q", 1 << 60) + b"}",
        b"{i\x01a[#L" + struct.pack(">q", 1 << 40) + b"}",
        b"{i\x01aQ}",
        b"{i\x01aT}trailing",
        b"",
        b"[]",
        b"\x80\x04cposix\nsystem\n",
    ],
)
def test_a_crafted_xgboost_file_is_refused_in_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt):
            scorer_of("xgboost", data, "binary")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("left_children", 10**6),
        ("right_children", 0),
        ("left_children", -7),
        ("split_indices", 99),
        ("split_conditions", None),
        ("tree_param", None),
    ],
)
def test_an_xgboost_tree_that_points_outside_is_refused(part: str, value: int | None) -> None:
    document = json.loads(bytes(booster().save_raw(raw_format="json")))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][2]
    if value is None:
        del tree[part]
    else:
        tree[part][0] = value
    with pytest.raises(Corrupt, match=r"points outside|not that of a model"):
        scorer_of("xgboost", json.dumps(document).encode(), "binary")


def weights(*sizes: int) -> dict[str, Any]:
    named = {}
    for index, (taken, given) in enumerate(pairwise(sizes)):
        named[f"{index}.weight"] = _random.normal(size=(given, taken)).astype(np.float32)
        named[f"{index}.bias"] = _random.normal(size=given).astype(np.float32)
    return named


def test_a_network_of_safetensors_answers_as_its_formula_says(tmp_path: Path) -> None:
    rows, tensors = np.nan_to_num(X), weights(4, 8, 1)
    model = Network(tensors, ["linear:0", "relu", "linear:1", "sigmoid"])
    hidden = np.maximum(rows @ tensors["0.weight"].T.astype(float) + tensors["0.bias"], 0)
    wanted = 1 / (1 + np.exp(-(hidden @ tensors["1.weight"].T.astype(float) + tensors["1.bias"])))
    scorer = reload(tmp_path, model, "binary")
    assert scorer.score(rows) == pytest.approx(wanted[:, 0], abs=1e-5)
    scaled = Network(
        weights(4, 1) | {"in.mean": np.ones(4), "in.scale": np.full(4, 2.0)}, ["standardize:in", "linear:0"]
    )
    tensors = scaled.tensors
    wanted = (rows - 1) / 2 @ tensors["0.weight"].T + tensors["0.bias"]
    assert reload(tmp_path, scaled, "regression").score(rows) == pytest.approx(wanted[:, 0], abs=1e-6)
    two = Network(weights(4, 2), ["linear:0", "softmax"])
    assert np.all(reload(tmp_path, two, "binary").score(rows) >= 0)


@pytest.mark.parametrize(
    ("steps", "sizes", "named"),
    [
        (["linear:0", "exec:rm"], (4, 1), "no step 'exec:rm'"),
        (["linear:7"], (4, 1), "no tensor '7.weight'"),
        (["linear:0", "linear:1"], (4, 3), "no tensor '1.weight'"),
        (["linear:1", "linear:0"], (4, 3, 1), "shape"),
        (["relu"], (4, 1), "no step of the network has weights"),
        ([], (4, 1), "1 to 1000 steps"),
        (["linear:0"], (4, 1), "does not end in a probability"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused(steps: list[str], sizes: tuple[int, ...], named: str) -> None:
    with pytest.raises((Invalid, Refused), match=named):
        package_model(Network(weights(*sizes), steps), task="binary")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        struct.pack("<Q", 1 << 62),
        struct.pack("<Q", 2) + b"{}" + b"x",
        struct.pack("<Q", 8) + b"nonsense",
        struct.pack("<Q", 62) + b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}'[:62],
        struct.pack("<Q", 70) + b'{"w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}'[:70],
    ],
)
def test_a_crafted_safetensors_header_is_refused(header: bytes) -> None:
    with pytest.raises(Corrupt, match=r"model\.safetensors cannot be read"):
        network.read_tensors(header)


def test_weights_without_a_network_are_not_served() -> None:
    with pytest.raises(Refused, match=r"weights without a model.*hs\.Network"):
        scorer_from("safetensors", {}, "binary")


def test_torch_export_says_how_to_get_torch() -> None:
    with pytest.raises(Corrupt, match=r"torch\.export file cannot be read"):
        scorer_of("torch-export", b"nonsense", "binary")
    try:
        import torch  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match="pip install torch"):
            scorer_of("torch-export", archive({"data": b"x"}), "binary")


def archive(members: dict[str, bytes], *, mode: int = 0, compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as out:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, compression
            out.writestr(info, content)
    return target.getvalue()


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a\\b", "C:x"])
def test_an_archive_with_a_path_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="leads out of it"):
        scorer_of("sklearn-skops", archive({"schema.json": b"{}", name: b"x"}), "regression")


def test_an_archive_with_a_link_or_a_bomb_is_refused() -> None:
    with pytest.raises(Refused, match="leads out of it"):
        check_zip(archive({"link": b"/etc/passwd"}, mode=0o120777), what="skops file")
    bomb = archive({"schema.json": bytes(300 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="far more than its size"):
            scorer_of("sklearn-skops", bomb, "regression")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_an_array_that_declares_more_than_it_holds_is_refused() -> None:
    import skops.io

    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(Ridge().fit(np.nan_to_num(X), VALUES))))
    members = {name: source.read(name) for name in source.namelist()}
    name = next(name for name in members if name.endswith(".npy"))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
    members[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(8)
    with pytest.raises(Corrupt, match="cannot be read"):
        scorer_of("sklearn-skops", archive(members), "regression")


def test_skops_files_cut_short_are_refused() -> None:
    data = package_model(Ridge().fit(np.nan_to_num(X), VALUES)).files["model.skops"]
    for end in (0, 1, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(Corrupt, match="cannot be read"):
            scorer_of("sklearn-skops", data[:end], "regression")


def length(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])


def onnx_product(tensor: bytes) -> bytes:
    """A hand-made ONNX file: y = x @ w, where `tensor` is how w is stored."""
    node = length(1, b"x") + length(1, b"w") + length(2, b"y") + length(4, b"MatMul")
    rows = length(1, length(2, b"n"))
    taken = length(1, b"x") + length(2, length(1, number(1, 1) + length(2, rows + length(1, number(1, 2)))))
    given = length(1, b"y") + length(2, length(1, number(1, 1) + length(2, rows + length(1, number(1, 1)))))
    weight = number(1, 2) + number(1, 1) + number(2, 1) + length(8, b"w") + tensor
    graph = length(1, node) + length(2, b"g") + length(5, weight) + length(11, taken) + length(12, given)
    return number(1, 8) + length(7, graph) + length(8, length(1, b"") + number(2, 13))


def test_an_onnx_file_that_reaches_for_other_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.array([1, 2], np.float32).tobytes()
    data = onnx_product(length(9, held))
    assert scorer_of("onnx", data, "regression").score(np.ones((3, 2))).tolist() == [3.0, 3.0, 3.0]
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(held)
    (tmp_path / "in" / "secret").write_bytes(held)
    monkeypatch.chdir(tmp_path / "in")
    for where in ("secret", "../secret", "/etc/hostname"):
        place = length(13, length(1, b"location") + length(2, where.encode())) + number(14, 1)
        with pytest.raises(Corrupt, match="no model that ONNX Runtime can read"):
            scorer_of("onnx", onnx_product(place), "regression")
    for end in range(0, len(data), 5):
        with pytest.raises(Corrupt, match="no model that ONNX Runtime can read"):
            scorer_of("onnx", data[:end], "regression")


SAVE_WITH_MLFLOW = """
import sys, warnings; warnings.filterwarnings("ignore")
import numpy as np, mlflow, lightgbm, xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.ensemble import HistGradientBoostingClassifier
out = sys.argv[1]
X = np.load(out + "/x.npy"); y = (X[:, 0] > 0).astype(int); none = {"pip_requirements": []}
quiet = {"objective": "binary", "verbose": -1}
models = {
    "sklearn": (mlflow.sklearn, LogisticRegression().fit(X, y), {}),
    "pickle": (mlflow.sklearn, LogisticRegression().fit(X, y), {"serialization_format": "cloudpickle"}),
    "lightgbm": (mlflow.lightgbm, lightgbm.train(quiet, lightgbm.Dataset(X, y), 5), {}),
    "lightgbm-sklearn": (mlflow.lightgbm, lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y), {}),
    "xgboost": (mlflow.xgboost, xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, y), 5), {}),
    "xgboost-sklearn": (mlflow.xgboost, xgboost.XGBClassifier(n_estimators=5).fit(X, y), {}),
}
for name, (flavor, model, more) in models.items():
    flavor.save_model(model, f"{out}/{name}", **none, **more)
    answer = model.predict_proba(X)[:, 1] if hasattr(model, "predict_proba") else (
        model.predict(xgboost.DMatrix(X)) if name == "xgboost" else model.predict(X))
    np.save(f"{out}/{name}.npy", np.asarray(answer, dtype=float))
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as the real MLflow writes them."""
    folder = tmp_path_factory.mktemp("mlflow")
    np.save(folder / "x.npy", np.nan_to_num(X))
    command = [str(CLIENTS), "-c", SAVE_WITH_MLFLOW, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sklearn", "lightgbm", "lightgbm-sklearn", "xgboost", "xgboost-sklearn"])
def test_a_model_logged_with_mlflow_answers_as_it_did_there(logged: Path, name: str) -> None:
    scorer = scorer_from("mlflow", files_of(logged / name), "binary")
    assert scorer.score(np.nan_to_num(X)) == pytest.approx(np.load(logged / f"{name}.npy"), abs=1e-6)


@pytest.mark.slow
def test_a_pickle_of_mlflow_is_refused_by_name(logged: Path) -> None:
    with pytest.raises(Refused, match=r"model\.pkl is a pickle.*serialization_format='skops'") as caught:
        scorer_from("mlflow", files_of(logged / "pickle"), "binary")
    assert caught.value.field == "model.pkl"


def described(data: str) -> bytes:
    return f"flavors:\n  sklearn:\n    pickled_model: {data}\n".encode()


def test_an_mlflow_package_without_its_model_is_refused_by_name() -> None:
    with pytest.raises(Corrupt, match="no file MLmodel"):
        scorer_from("mlflow", {"model.skops": b""}, "binary")
    for named in ("model.skops", "../model.skops", "/etc/passwd"):
        with pytest.raises(Corrupt, match="names no model file of the package"):
            scorer_from("mlflow", {"MLmodel": described(named)}, "binary")
    with pytest.raises(Refused, match=r"model\.bin is of no format"):
        scorer_from("mlflow", {"MLmodel": described("model.bin"), "model.bin": b"x"}, "binary")
    with pytest.raises(Corrupt, match="names no model file"):
        scorer_from("mlflow", {"MLmodel": b"\xff\xfe" + msgspec.json.encode("flavors")}, "binary")
