"""What a package takes and gives is found out from the package, and its scorer answers as its own library does."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from homeostat.ground.errors import Invalid, Refused
from homeostat.ground.records import InputColumn, Signature
from homeostat.registry.formats.answers import Asked
from homeostat.registry.formats.network import Network
from homeostat.registry.formats.onnx_graph import read_graph
from homeostat.registry.inference import infer_signature, look_at
from homeostat.registry.packaging import package_model
from homeostat.registry.scorers import scorer_from
from homeostat.registry.types import Package
from homeostat.registry.versions import NO_SIGNATURE

_random = np.random.default_rng(1)
X = _random.normal(size=(200, 4))
KIND = _random.integers(0, 3, 200)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[KIND]
LATE = X[:, 0] + _random.normal(size=200) > 0
VALUES = X[:, 0] * 2 + _random.normal(size=200)
PAIRS = np.stack([VALUES, X[:, 1]], axis=1)
FRAME = pd.DataFrame(
    {
        "age": np.where(_random.random(200) < 0.1, np.nan, 40 + 10 * X[:, 0]),
        "sex": _random.choice(["m", "f"], 200),
        "deck": _random.integers(1, 4, 200),
        "port": _random.choice(["S", "C", "Q"], 200),
    }
)


class Codes:
    """Codes of texts, as serving hands them out."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def matrix(self, signature: Signature, rows: Any) -> NDArray[np.float64]:
        table = np.asarray(rows, dtype=object)
        columns = [self._column(column.kind, table[:, place]) for place, column in enumerate(signature.columns)]
        return np.array(columns, dtype=np.float64).T

    def _column(self, kind: str, values: Any) -> list[Any]:
        return [value if kind != "text" or not isinstance(value, str) else self._code(value) for value in values]

    def _code(self, text: str) -> int:
        self.texts.append(text)
        return len(self.texts) - 1

    def text_of(self, code: float) -> str:
        return self.texts[int(code)]


def answers(package: Package, signature: Signature, rows: Any) -> Any:
    """What a worker would answer."""
    codes = Codes()
    asked = Asked(
        task=signature.task,
        classes=signature.classes,
        outputs=signature.outputs,
        columns=signature.columns,
        text_of=codes.text_of,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return scorer_from(package.flavor, package.files, asked).score(codes.matrix(signature, rows))


def inferred(model: Any, example: Sequence[Any] = (), **said: Any) -> tuple[Package, Signature]:
    package = package_model(model)
    told = msgspec.structs.replace(NO_SIGNATURE, **said)
    return package, infer_signature(package.flavor, package.files, told, example=example)


def names_of(signature: Signature) -> list[str]:
    return [column.name for column in signature.inputs]


def test_a_pipeline_of_several_classes_gives_a_probability_for_each() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, SPECIES)
    package, signature = inferred(model)
    assert (signature.task, signature.classes) == ("multiclass", ("setosa", "versicolor", "virginica"))
    assert names_of(signature) == ["x0", "x1", "x2", "x3"] and signature.feature_hash == ""
    assert answers(package, signature, X) == pytest.approx(model.predict_proba(X))
    assert not any(column.nullable for column in signature.inputs), "a scaler takes holes, this regression does not"
    assert scorer_from(package.flavor, package.files, "multiclass").score(X[:0]).shape == (0, 3)


@pytest.mark.parametrize("labels", [LATE, LATE.astype(int), LATE.astype(float), np.where(LATE, "late", "fine")])
def test_the_score_of_two_classes_is_the_probability_of_the_second(labels: Any) -> None:
    model = HistGradientBoostingClassifier(max_iter=5).fit(X, labels)
    package, signature = inferred(model)
    assert signature.task == "binary" and len(signature.classes) == 2
    assert signature.classes in {("false", "true"), ("0", "1"), ("fine", "late")}
    assert answers(package, signature, X) == pytest.approx(model.predict_proba(X)[:, 1])
    assert all(column.nullable for column in signature.inputs)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_forest_that_saw_a_frame_has_its_names(classes: int) -> None:
    frame = pd.DataFrame(X, columns=["a b", "b", "c", "d"])
    model = RandomForestClassifier(5).fit(frame, np.minimum(KIND, classes - 1))
    package, signature = inferred(model)
    assert names_of(signature) == ["a b", "b", "c", "d"]
    wanted = model.predict_proba(frame)
    assert answers(package, signature, X) == pytest.approx(wanted[:, 1] if classes == 2 else wanted)


def test_several_outputs_are_named() -> None:
    for model in (RandomForestRegressor(5).fit(X, PAIRS), LinearRegression().fit(X, PAIRS)):
        package, signature = inferred(model, outputs=("delay", "taxi"))
        assert (signature.task, signature.outputs) == ("regression", ("delay", "taxi"))
        assert answers(package, signature, X) == pytest.approx(model.predict(X))
    assert inferred(RandomForestRegressor(5).fit(X, PAIRS))[1].outputs == ("y0", "y1")
    assert inferred(RandomForestRegressor(5).fit(X, VALUES))[1].outputs == ()


def test_several_labels_are_as_many_outputs() -> None:
    labels = np.stack([LATE, X[:, 1] > 0], axis=1)
    many = OneVsRestClassifier(LogisticRegression()).fit(X, labels)
    package, signature = inferred(many)
    assert (signature.task, len(signature.outputs)) == ("regression", 2)
    assert answers(package, signature, X) == pytest.approx(many.predict_proba(X))
    forest = RandomForestClassifier(5).fit(X, labels)
    package, signature = inferred(forest)
    assert answers(package, signature, X)[:, 1] == pytest.approx(forest.predict_proba(X)[1][:, 1])


def test_a_classifier_without_probabilities_is_certain_of_its_label() -> None:
    model = LinearSVC().fit(X, SPECIES)
    package, signature = inferred(model)
    table = answers(package, signature, X)
    assert signature.task == "multiclass" and set(table.ravel()) == {0.0, 1.0}
    assert (np.array(signature.classes)[table.argmax(axis=1)] == model.predict(X)).all()


def test_whatever_predicts_numbers_is_served_as_a_value() -> None:
    model = KMeans(3, n_init=1).fit(X)
    package, signature = inferred(model)
    assert signature.task == "regression" and (answers(package, signature, X) == model.predict(X)).all()


# Columns of text.


def mixed(last: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("numbers", numbers, ["age"]), ("texts", texts, ["sex", "port", "deck"])])
    return make_pipeline(columns, last)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mixed(LogisticRegression()),
        lambda: CalibratedClassifierCV(mixed(LogisticRegression()), cv=2),
        lambda: GridSearchCV(mixed(DecisionTreeClassifier()), {"decisiontreeclassifier__max_depth": [2, 3]}, cv=2),
    ],
)
def test_text_columns_of_a_pipeline_are_sent_as_text(make: Callable[[], Any]) -> None:
    model = make().fit(FRAME, SPECIES)
    package, signature = inferred(model)
    assert [(column.name, column.dtype) for column in signature.inputs] == [
        ("age", "number"),
        ("sex", "string"),
        ("deck", "number"),
        ("port", "string"),
    ]
    assert signature.columns[1].categories == ("f", "m")
    unseen = FRAME.head(20).assign(sex="x", port="elsewhere")
    for frame in (FRAME, unseen):
        assert answers(package, signature, frame) == pytest.approx(model.predict_proba(frame))


def test_encoders_that_refuse_what_they_have_not_seen_refuse_it_here() -> None:
    model = make_pipeline(OneHotEncoder(), DecisionTreeClassifier()).fit(FRAME[["sex", "port"]], LATE)
    package, signature = inferred(model)
    rows = FRAME[["sex", "port"]]
    assert answers(package, signature, rows) == pytest.approx(model.predict_proba(rows)[:, 1])
    with pytest.raises(ValueError, match="unknown categories"):
        answers(package, signature, [["x", "S"]])


def test_categories_of_a_frame_are_sent_by_their_names() -> None:
    frame = FRAME.astype({"sex": "category", "port": "category"})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(frame, LATE)
    package, signature = inferred(model)
    assert [column.dtype for column in signature.inputs] == ["number", "string", "number", "string"]
    assert answers(package, signature, FRAME) == pytest.approx(model.predict_proba(frame)[:, 1])
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    coded = make_pipeline(ordinal, RandomForestClassifier(5)).fit(FRAME[["sex", "port"]], LATE)
    package, signature = inferred(coded)
    assert answers(package, signature, [["m", "nowhere"]]) == pytest.approx(
        coded.predict_proba(pd.DataFrame([["m", "nowhere"]], columns=["sex", "port"]))[:, 1]
    )


def test_a_model_of_free_text_takes_one_column() -> None:
    texts = [f"{a} {b}" for a, b in zip(SPECIES, FRAME["port"], strict=True)]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, LATE)
    package, signature = inferred(model)
    assert [(column.name, column.dtype) for column in signature.inputs] == [("text", "string")]
    rows = [[text] for text in texts]
    assert answers(package, signature, rows) == pytest.approx(model.predict_proba(texts)[:, 1])


# Boosters.


def test_lightgbm_says_its_columns_objective_and_categories() -> None:
    frame = FRAME.assign(port=FRAME["port"].astype("category"))[["age", "port", "deck"]]
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, min_child_samples=5).fit(frame, VALUES)
    package, signature = inferred(model)
    assert [(column.name, column.dtype) for column in signature.inputs] == [
        ("age", "number"),
        ("port", "string"),
        ("deck", "number"),
    ]
    assert signature.columns[1].categories == ("C", "Q", "S")
    coded = frame.assign(port=frame["port"].cat.codes).to_numpy(dtype=np.float64)
    assert answers(package, signature, coded) == pytest.approx(model.predict(frame))


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_lightgbm_gives_a_probability_for_each_class(objective: str) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, objective=objective).fit(X, KIND)
    package, signature = inferred(model)
    assert (signature.task, signature.classes) == ("multiclass", ("0", "1", "2"))
    assert names_of(signature) == ["x0", "x1", "x2", "x3"]
    assert answers(package, signature, X) == pytest.approx(np.asarray(model.predict_proba(X)))
    _, named = inferred(model, classes=("a", "b", "c"))
    assert named.classes == ("a", "b", "c")


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_xgboost_gives_a_probability_for_each_class(objective: str) -> None:
    model = xgboost.XGBClassifier(n_estimators=5, objective=objective).fit(X, KIND)
    package, signature = inferred(model)
    assert (signature.task, signature.classes) == ("multiclass", ("0", "1", "2"))
    assert answers(package, signature, X) == pytest.approx(model.predict_proba(X), abs=1e-6)


def test_xgboost_gives_probabilities_values_and_several_outputs() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    binary = xgboost.XGBClassifier(n_estimators=5).fit(frame, LATE)
    package, signature = inferred(binary)
    assert (signature.task, names_of(signature)) == ("binary", ["a", "b", "c", "d"])
    assert answers(package, signature, X) == pytest.approx(binary.predict_proba(frame)[:, 1])
    pairs = xgboost.XGBRegressor(n_estimators=5).fit(X, PAIRS)
    package, signature = inferred(pairs)
    assert signature.outputs == ("y0", "y1") and answers(package, signature, X) == pytest.approx(pairs.predict(X))


# ONNX and networks.


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [KIND, SPECIES, LATE.astype(int)])
def test_an_onnx_classifier_names_its_classes(zipmap: bool, labels: Any) -> None:  # noqa: FBT001  a parameter
    model = RandomForestClassifier(5).fit(X, labels)
    proto = to_onnx(model, X[:1].astype(np.float32), options={"zipmap": zipmap})
    package, signature = inferred(proto)
    assert signature.classes == tuple(str(label) for label in model.classes_)
    wanted = model.predict_proba(X)
    wanted = wanted[:, 1] if len(model.classes_) == 2 else wanted
    assert answers(package, signature, X) == pytest.approx(wanted, abs=1e-5)


def test_an_onnx_regressor_gives_one_value_or_several() -> None:
    for target in (VALUES, PAIRS):
        model = LinearRegression().fit(X, target)
        package, signature = inferred(to_onnx(model, X[:1].astype(np.float32)))
        assert (signature.task, len(signature.outputs)) == ("regression", 0 if target.ndim == 1 else 2)
        assert answers(package, signature, X) == pytest.approx(model.predict(X), abs=1e-4)


def test_an_onnx_model_of_many_inputs_takes_them_as_columns() -> None:
    frame = FRAME[["age", "sex"]].fillna(40.0).astype({"age": np.float32})
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("sex", OneHotEncoder(), ["sex"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, LATE)
    taken = [("age", FloatTensorType([None, 1])), ("sex", StringTensorType([None, 1]))]
    proto = to_onnx(model, initial_types=taken, options={"zipmap": False})
    with pytest.raises(Refused, match=r"Unknown Category.*example=") as caught:
        inferred(proto)
    assert caught.value.field == "model"
    package, signature = inferred(proto, example=[30.0, "f"])
    assert [(column.name, column.dtype) for column in signature.inputs] == [("age", "number"), ("sex", "string")]
    assert answers(package, signature, frame) == pytest.approx(model.predict_proba(frame)[:, 1], abs=1e-5)


def test_an_onnx_model_that_does_not_say_how_wide_it_is_needs_names() -> None:
    proto = to_onnx(LinearRegression().fit(X, VALUES), initial_types=[("X", FloatTensorType([None, None]))])
    with pytest.raises(Refused, match="how many columns"):
        inferred(proto)
    said = tuple(InputColumn(name=name, dtype="number") for name in "abcd")
    assert names_of(inferred(proto, inputs=said)[1]) == ["a", "b", "c", "d"]


def test_a_graph_that_is_cut_off_or_no_graph_says_nothing() -> None:
    data = to_onnx(RandomForestClassifier(5).fit(X, KIND), X[:1].astype(np.float32)).SerializeToString()
    assert read_graph(data).classes == ("0", "1", "2")
    for cut in range(0, len(data), 97):
        read_graph(data[:cut])
    assert read_graph(b"\xff" * 50) == read_graph(b"") == read_graph(b"PK\x03\x04")


def test_the_last_step_of_a_network_says_its_task() -> None:
    tensors = {"0.weight": np.ones((3, 4), np.float32)}
    for last, task, classes in (("softmax", "multiclass", ("0", "1", "2")), ("relu", "regression", ())):
        package, signature = inferred(Network(tensors, ["linear:0", last]))
        assert (signature.task, signature.classes) == (task, classes)
        assert answers(package, signature, X).shape == (200, 3)
    one = {"0.weight": np.ones((1, 4), np.float32)}
    assert inferred(Network(one, ["linear:0", "sigmoid"]))[1].task == "binary"


# What does not fit is said.


def test_names_follow_the_models_own_order() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    said = tuple(InputColumn(name=name, dtype="number") for name in "dcba")
    assert names_of(inferred(LinearRegression().fit(frame, VALUES), inputs=said)[1]) == ["a", "b", "c", "d"]
    assert names_of(inferred(LinearRegression().fit(X, VALUES), inputs=said)[1]) == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"inputs": tuple(InputColumn(name=name, dtype="number") for name in "abc")}, "takes 4 columns, 3 are named"),
        ({"inputs": tuple(InputColumn(name=name, dtype="number") for name in "abca")}, "'a' of a column stands twice"),
        (
            {"inputs": tuple(InputColumn(name=name, dtype="number") for name in ("a", "b", "c", "request_id"))},
            "'request_id' of a column belongs to serving",
        ),
        ({"classes": ("a", "b")}, "2 classes are named, the model has 3"),
        ({"classes": ("a", "b", "a")}, "two classes have one name"),
        ({"task": "regression"}, "does not predict numbers"),
        ({"task": "ranking"}, "'ranking' is not a task"),
    ],
)
def test_what_is_said_and_does_not_fit_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises((Invalid, Refused), match=message):
        inferred(DecisionTreeClassifier().fit(X, KIND), **said)


def test_what_cannot_answer_says_why() -> None:
    package = package_model(StandardScaler().fit(X))
    looked = look_at(package.flavor, package.files)
    assert looked.task == "" and "does not predict numbers" in looked.obstacle
    assert "no model that ONNX Runtime can read" in look_at("onnx", {"model.onnx": b"x"}).obstacle
    assert "run code" in look_at("pickle", {"model.pkl": b"x"}).obstacle
