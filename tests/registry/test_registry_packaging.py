"""Packaging and loading: the scores survive, code does not."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from homeostat.ground.errors import Corrupt, Invalid, MissingExtra, Refused
from homeostat.registry import safe_sklearn
from homeostat.registry.formats.answers import positive_column
from homeostat.registry.packaging import package_model, store_package
from homeostat.registry.scorers import load_scorer, scorer_of
from homeostat.registry.types import StoredPackage
from homeostat.store.blobs import BlobStore

_random = np.random.default_rng(0)
X = _random.normal(size=(600, 6))
X[:, 3] = _random.integers(0, 5, 600)
Y = X[:, 0] + _random.normal(size=600) > 0
VALUES = X[:, 0] * 2 + _random.normal(size=600)
HOLES = X.copy()
HOLES[_random.random(X.shape) < 0.1] = np.nan

CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "hgb": lambda: HistGradientBoostingClassifier(max_iter=10),
    "hgb categorical": lambda: HistGradientBoostingClassifier(max_iter=10, categorical_features=[3]),
    "hgb early stop": lambda: HistGradientBoostingClassifier(max_iter=10, early_stopping=True),
    "logistic": lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(5, n_jobs=2),
    "gradient boosting": lambda: make_pipeline(SimpleImputer(), GradientBoostingClassifier(n_estimators=5)),
    "tree": lambda: DecisionTreeClassifier(max_depth=3),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(SimpleImputer(), LogisticRegression())),
    "dummy": DummyClassifier,
    "columns": lambda: make_pipeline(
        ColumnTransformer([("one", OneHotEncoder(handle_unknown="ignore"), [3])], remainder=SimpleImputer()),
        LogisticRegression(),
    ),
    "network": lambda: make_pipeline(SimpleImputer(), MLPClassifier((4,), max_iter=50, tol=1e9)),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "hgb": lambda: HistGradientBoostingRegressor(max_iter=10),
    "hgb absolute": lambda: HistGradientBoostingRegressor(max_iter=10, loss="absolute_error"),
    "hgb quantile": lambda: HistGradientBoostingRegressor(max_iter=10, loss="quantile", quantile=0.5),
    "forest": lambda: RandomForestRegressor(5),
    "gradient boosting": lambda: make_pipeline(
        SimpleImputer(), GradientBoostingRegressor(n_estimators=5, loss="huber")
    ),
    "ridge": lambda: make_pipeline(SimpleImputer(), Ridge()),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small fits are faster on one thread, above all when the machine is busy."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def reload(blobs: BlobStore, model: Any, task: str) -> Any:
    stored = store_package(blobs, package_model(model, task=task))
    return load_scorer(blobs, stored.flavor, stored.manifest, task)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_gives_the_probability_of_true(blobs: BlobStore, kind: str) -> None:
    model = CLASSIFIERS[kind]().fit(HOLES, Y)
    scorer = reload(blobs, model, "binary")
    for rows in (1, 64, 600):
        score = scorer.score(HOLES[:rows])
        assert score.dtype == np.float64 and score.shape == (rows,)
        assert score == pytest.approx(model.predict_proba(HOLES[:rows])[:, 1], abs=1e-12)
    assert scorer.score(HOLES[:0]).shape == (0,)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_gives_its_value(blobs: BlobStore, kind: str) -> None:
    model = REGRESSORS[kind]().fit(HOLES, VALUES)
    assert reload(blobs, model, "regression").score(HOLES) == pytest.approx(model.predict(HOLES), abs=1e-12)


def test_lightgbm_keeps_its_scores(blobs: BlobStore) -> None:
    import lightgbm

    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y.astype(int)), 5)
    wrapped = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(X, VALUES)
    classifier = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)
    assert reload(blobs, booster, "binary").score(X[:3]) == pytest.approx(booster.predict(X[:3]))
    assert reload(blobs, wrapped, "regression").score(X) == pytest.approx(wrapped.booster_.predict(X))
    assert reload(blobs, classifier, "binary").score(X) == pytest.approx(classifier.booster_.predict(X))
    with pytest.raises(Refused, match="objective 'regression'"):
        package_model(wrapped, task="binary")
    with pytest.raises(Refused, match="objective 'binary'"):
        package_model(booster, task="regression")
    with pytest.raises(Corrupt, match="LightGBM"):
        scorer_of("lightgbm", b"nonsense", "binary")


def test_a_model_that_saw_column_names_scores_a_matrix_without_warning(blobs: BlobStore) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=["d"]).fit(frame, Y)
    assert reload(blobs, model, "binary").score(X) == pytest.approx(model.predict_proba(frame)[:, 1])


def test_onnx_without_its_runtime_names_the_extra() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match=r"\[onnx\]"):
            package_model(b"\x08\x07", task="binary")
    else:
        with pytest.raises(Refused, match="not a model"):
            package_model(b"not onnx", task="binary")


class Homemade(DummyClassifier):
    """A user's own class: its code would run when it is read."""


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Homemade().fit(X, Y), "Homemade"),
        (lambda: make_pipeline(FunctionTransformer(np.save), LogisticRegression()).fit(X, Y), "numpy"),
        (lambda: KNeighborsClassifier().fit(X, Y), "KDTree"),
        (LogisticRegression, "not fitted"),
        (lambda: {"weights": [1]}, "builtins.dict"),
        (lambda: len, "cannot be packaged"),
        (lambda: LinearSVC().fit(X, Y), "no predict_proba"),
        (lambda: Ridge().fit(X, VALUES), "no predict_proba"),
        (lambda: DecisionTreeClassifier().fit(X, X[:, 3]), "not False and True"),
        (lambda: DecisionTreeClassifier().fit(X, np.where(Y, "late", "fine")), "not False and True"),
    ],
)
def test_what_cannot_be_served_safely_is_refused_by_name(make: Callable[[], Any], named: str) -> None:
    model = object()
    if named == "numpy":
        step = FunctionTransformer(np.save).fit(X)
        model = make_pipeline(step, LogisticRegression().fit(X, Y))
    else:
        model = make()
    with pytest.raises(Refused, match=named) as caught:
        package_model(model, task="binary")
    assert caught.value.next_step


def test_a_classifier_cannot_answer_a_regression() -> None:
    with pytest.raises(Refused, match="does not predict numbers"):
        package_model(DummyClassifier().fit(X, Y), task="regression")


def test_the_positive_class_is_true_or_one() -> None:
    assert positive_column([False, True]) == positive_column([0, 1]) == positive_column(np.array([0.0, 1.0])) == 1
    assert positive_column([1]) == 0 and positive_column([False]) is None
    for classes in ([1, 2], ["0", "1"], [], [0, 1, 2]):
        with pytest.raises(Refused):
            positive_column(classes)


def test_a_model_that_saw_only_false_says_zero(blobs: BlobStore) -> None:
    model = DummyClassifier().fit(X, np.zeros(600, dtype=bool))
    assert reload(blobs, model, "binary").score(X[:2]).tolist() == [0.0, 0.0]


def test_a_tampered_blob_is_refused(blobs: BlobStore, tmp_path: Path) -> None:
    stored = store_package(blobs, package_model(Ridge().fit(X, VALUES)))
    path = next(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes().replace(b"Ridge", b"Lasso"))
    with pytest.raises(Corrupt, match="changed on disk"):
        load_scorer(blobs, stored.flavor, stored.manifest, "regression")


def test_flavors_and_files_that_are_not_ours_are_refused(blobs: BlobStore) -> None:
    with pytest.raises(Refused, match=r"'pickle' run code.*permission"):
        load_scorer(blobs, "pickle", {}, "binary")
    with pytest.raises(Corrupt, match=r"no file model\.skops"):
        load_scorer(blobs, "sklearn-skops", {}, "binary")
    with pytest.raises(Corrupt, match="cannot be read"):
        scorer_of("sklearn-skops", b"\x80\x04cposix\nsystem\n", "binary")
    with pytest.raises(Invalid, match="'ranking'"):
        scorer_of("lightgbm", b"", "ranking")


def test_a_package_digest_depends_on_the_files_not_their_order() -> None:
    stored = store_package(BlobStore("memory://packages"), package_model(Ridge().fit(X, VALUES)))
    assert StoredPackage(stored.flavor, dict(reversed(stored.manifest.items()))).digest == stored.digest
    assert StoredPackage("other", stored.manifest).digest != stored.digest


def rewritten(model: Any, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The skops file of a model with its schema changed: what an attacker would write."""
    import skops.io

    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    schema = json.loads(source.read("schema.json"))
    change(schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as out:
        for name in source.namelist():
            out.writestr(name, json.dumps(schema) if name == "schema.json" else source.read(name))
    return target.getvalue()


def attack_call(mark: Path, loader: str) -> Callable[[dict[str, Any]], None]:
    import skops.io

    def change(schema: dict[str, Any]) -> None:
        source = zipfile.ZipFile(io.BytesIO(skops.io.dumps((f"touch {mark}",))))
        args = json.loads(source.read("schema.json"))
        function = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "system"}
        call = {"__class__": "system", "__module__": "os", "__loader__": loader, "content": args, "__id__": 1}
        call["__reduce__"] = {"args": args}
        call["constructor"] = function
        schema["content"]["content"]["alpha"] = call

    return change


@pytest.mark.parametrize("loader", ["FunctionNode", "ObjectNode", "LossNode", "TypeNode"])
def test_a_file_that_would_call_os_system_is_refused_by_name(tmp_path: Path, loader: str) -> None:
    mark = tmp_path / "ran"
    data = rewritten(Ridge().fit(X, VALUES), attack_call(mark, loader))
    with pytest.raises(Refused, match=r"os\.system"):
        scorer_of("sklearn-skops", data, "regression")
    assert not mark.exists()


@pytest.mark.parametrize("loader", ["ReduceNode", "OperatorFuncNode", "NoSuchNode"])
def test_a_call_that_the_reader_does_not_know_is_not_made(tmp_path: Path, loader: str) -> None:
    mark = tmp_path / "ran"
    data = rewritten(Ridge().fit(X, VALUES), attack_call(mark, loader))
    with pytest.raises(Corrupt, match="cannot be read"):
        scorer_of("sklearn-skops", data, "regression")
    assert not mark.exists()


def test_a_partial_is_only_as_allowed_as_what_it_wraps() -> None:
    import skops.io

    harmless = FunctionTransformer(partial(np.add, 1.0)).fit(X)
    safe_sklearn.load(skops.io.dumps(harmless))
    for function in (os.system, eval, np.save):
        model = FunctionTransformer(partial(function, "x")).fit(X)
        with pytest.raises(Refused, match=function.__name__):
            safe_sklearn.load(skops.io.dumps(model))


def test_an_untrusted_class_in_a_file_is_refused_by_name() -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["__module__"], schema["__class__"] = "subprocess", "Popen"

    with pytest.raises(Refused, match=r"subprocess\.Popen"):
        scorer_of("sklearn-skops", rewritten(Ridge().fit(X, VALUES), change), "regression")


def first_tree(model: Any) -> Any:
    return model._predictors[0][0].nodes


@pytest.mark.parametrize("field", ["left", "right", "feature_idx"])
@pytest.mark.parametrize("value", [10**6, 0])
def test_a_boosted_tree_that_points_outside_is_refused(field: str, value: int) -> None:
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    if field == "feature_idx" and value == 0:
        value = -1
    first_tree(model)[field][0] = value
    with pytest.raises(Refused, match="TreePredictor of the model points outside"):
        package_model(model)


def test_a_category_set_that_is_not_there_is_refused() -> None:
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    first_tree(model)["is_categorical"][0] = 1
    first_tree(model)["bitset_idx"][0] = 9
    with pytest.raises(Refused, match="TreePredictor"):
        package_model(model)


def test_a_tree_of_a_forest_that_points_outside_is_refused() -> None:
    forest = RandomForestClassifier(3).fit(X, Y)
    forest.estimators_[1].tree_.children_left[0] = 10**6
    with pytest.raises(Refused, match="Tree of the model points outside"):
        package_model(forest)
    deep = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=3)).fit(X, Y)
    deep[-1].estimators_[2, 0].tree_.feature[0] = 99
    with pytest.raises(Refused, match="Tree of the model points outside"):
        package_model(deep)


def test_the_allow_list_holds_nothing_that_runs_commands() -> None:
    assert not [name for name in safe_sklearn.ALLOWED if name.split(".")[0] not in ("numpy", "sklearn", "functools")]
