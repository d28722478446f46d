"""On any doubt the original serves: wrong artifacts, rounding, changed bytes, models that no way leads to."""

from typing import Any

import compiling_models
import lightgbm
import msgspec
import numpy as np
import pytest
from compiling_models import COLUMNS, Native, case, data
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from homeostat.ground.errors import Corrupt
from homeostat.serving.compiling.artifact import (
    Artifact,
    LinearForm,
    OnnxForm,
    Refusals,
    decode_artifact,
    encode_artifact,
    pack,
    unpack,
)
from homeostat.serving.compiling.checking import check
from homeostat.serving.compiling.compiler import Compiled, compile_scorer
from homeostat.serving.compiling.patience import limited
from homeostat.serving.compiling.questions import Reference, ask
from homeostat.serving.compiling.refused import CannotCompile
from homeostat.serving.compiling.report import Candidate
from homeostat.serving.compiling.running import proven_scorer, scorer_of
from homeostat.serving.compiling.ways import Subject

ABOUT = Candidate(name="a way", kind="linear", status="verified")


def compile_case(name: str, **options: Any) -> Compiled:
    found = case(name)
    return compile_scorer(found.subject, found.native, found.reference, **options)


def artifact_of(name: str) -> Artifact:
    done = compile_case(name)
    assert done.data is not None, done.report.why
    return decode_artifact(done.data)


def weights_changed(artifact: Artifact, by: float) -> Artifact:
    assert isinstance(artifact.form, LinearForm)
    weights = unpack(artifact.form.weights, -1)
    weights[0] += by
    return msgspec.structs.replace(artifact, form=msgspec.structs.replace(artifact.form, weights=pack(weights)))


def test_a_wrong_artifact_is_refused_by_the_check() -> None:
    found = case("scaled")
    asked, _ = ask(found.native, found.reference, [])
    right = check(scorer_of(artifact_of("scaled")), asked, 1e-6, ABOUT)
    assert (right.status, right.differing) == ("verified", 0)
    wrong = check(scorer_of(weights_changed(artifact_of("scaled"), 1e-3)), asked, 1e-6, ABOUT)
    assert wrong.status == "refused" and "off by more than 1.0e-06" in wrong.why
    assert wrong.differing and wrong.max_abs_diff and wrong.max_abs_diff > 1e-5


def test_answers_in_another_order_are_refused_even_within_the_tolerance() -> None:
    # Scores that lie closer together than the tolerance: only their order says that something is wrong.
    rows = np.linspace(0, 1, 400)[:, None] @ np.ones((1, 2))
    native = Native(lambda matrix: 0.5 + matrix[:, 0] * 1e-8)
    asked, _ = ask(native, Reference(matrix=rows, source="training rows"), [])
    turned = check(Native(lambda matrix: 0.5 - matrix[:, 0] * 1e-8), asked, 1e-6, ABOUT)
    assert turned.status == "refused"
    assert turned.rank_agreement == 0.0 or "another order" in turned.why


def test_an_artifact_that_answers_where_the_original_raises_is_refused() -> None:
    found = case("scaled")
    asked, refusals = ask(found.native, found.reference, [])
    assert refusals == Refusals(nan=tuple(range(COLUMNS)), infinite=tuple(range(COLUMNS)))
    lenient = msgspec.structs.replace(artifact_of("scaled"), refusals=Refusals())
    judged = check(scorer_of(lenient), asked, 1e-6, ABOUT)
    assert judged.status == "refused" and "that the original raises on" in judged.why


def test_float32_rounding_at_split_points_is_seen_and_the_float64_graph_serves() -> None:
    moments = 1.6e15 + 1e3 * np.arange(1200.0)  # microseconds: float32 holds every 134 millionth
    rows = np.column_stack([moments, data()["full"]])
    model = HistGradientBoostingRegressor(max_iter=15).fit(rows, np.sin(np.arange(1200) / 50))
    subject = Subject(library="sklearn", model=model, task="regression")
    native = compiling_models.sklearn_native(model, "regression")
    done = compile_scorer(subject, native, Reference(matrix=rows, source="training rows"), thorough=True)
    by_name = {one.name: one for one in done.report.candidates}
    assert by_name["float64 graph"].status == "chosen" and by_name["float64 graph"].differing == 0
    assert by_name["skl2onnx float32"].status == "refused"
    assert (by_name["skl2onnx float32"].differing or 0) > 100


def test_the_report_says_of_every_way_what_it_was_asked_and_how_it_did() -> None:
    report = compile_case("histograms", thorough=True).report
    assert report.rows is not None
    assert (report.rows.source, report.rows.reference) == ("training rows", 1200)
    assert report.rows.edges > 300 and report.rows.missing > 60 and report.rows.refused == 0
    assert [one.name for one in report.candidates] == [
        "folded product",
        "float64 graph",
        "skl2onnx float64",
        "skl2onnx float32",
        "treelite",
    ]
    for one in report.candidates:
        measured = (one.max_abs_diff, one.rank_agreement, one.one_row_us, one.many_rows_us)
        assert one.why if one.status == "refused" else None not in measured
    assert report.native_one_row_us and report.native_many_rows_us
    assert report.line().startswith("onnx serves (float64 graph): one row ")


def test_a_model_of_texts_is_left_to_its_original() -> None:
    texts = np.array([["a"], ["b"], ["a"], ["c"]], dtype=object)
    model = make_pipeline(make_column_transformer((OneHotEncoder(), [0])), LogisticRegression()).fit(
        texts, [0, 1, 0, 1]
    )
    subject = Subject(library="sklearn", model=model, task="binary")
    done = compile_scorer(
        subject,
        compiling_models.sklearn_native(model, "binary"),
        Reference(matrix=np.zeros((9, 1)), source="generated"),
    )
    assert (done.report.kind, done.data) == ("native", None)
    assert "the original raises on the generated" in done.report.why


def test_unknown_categories_that_make_the_original_raise_keep_it_in_service() -> None:
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), [5]), remainder="passthrough"), LogisticRegression(max_iter=500)
    ).fit(data()["full"], data()["binary"])
    done = compile_scorer(
        Subject(library="sklearn", model=model, task="binary"),
        compiling_models.sklearn_native(model, "binary"),
        Reference(matrix=data()["full"], source="training rows"),
    )
    assert done.report.kind == "native"
    assert "OneHotEncoder raises on unknown values" in done.report.why


class Shifted(LogisticRegression):
    """A user's own class, which answers what it likes."""

    def predict_proba(self, X: Any) -> Any:
        return np.clip(super().predict_proba(X) + np.array([-0.1, 0.1]), 0, 1)


def test_a_subclass_is_not_taken_for_what_it_was_made_from() -> None:
    model = Shifted().fit(data()["full"], data()["binary"])
    done = compile_scorer(
        Subject(library="sklearn", model=model, task="binary"),
        compiling_models.sklearn_native(model, "binary"),
        Reference(matrix=data()["full"], source="training rows"),
    )
    assert done.report.kind == "native"
    assert all(one.status == "refused" for one in done.report.candidates)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"zero_as_missing": True}, "takes zeros for missing values"), ({"linear_tree": True}, "linear models")],
)
def test_trees_with_rules_of_their_own_keep_their_original(options: dict[str, Any], why: str) -> None:
    full = np.where(np.abs(data()["full"]) < 0.3, 0.0, data()["full"])
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, **options}, lightgbm.Dataset(full, data()["regression"]), 9
    )
    done = compile_scorer(
        Subject(library="lightgbm", model=booster, task="regression"),
        Native(booster.predict),
        Reference(matrix=full, source="training rows"),
    )
    assert done.report.kind == "native"
    assert why in done.report.candidates[0].why


class Remembering:
    """An original that has every answer by heart."""

    def __init__(self, native: Any, rows: Any) -> None:
        self._native = native
        self._known = {row.tobytes(): answer[None] for row, answer in zip(rows, native.score(rows), strict=True)}

    def score(self, matrix: Any) -> Any:
        known = self._known.get(matrix.tobytes()) if len(matrix) == 1 else None
        return self._native.score(matrix) if known is None else known


def test_what_is_not_faster_does_not_serve() -> None:
    found = case("random forest")
    done = compile_scorer(found.subject, Remembering(found.native, found.rows), found.reference)
    assert (done.report.kind, done.data) == ("native", None)
    assert "float64 graph: it is not faster than the original" in done.report.why


@pytest.mark.parametrize("library", ["network", "onnx", "custom"])
def test_libraries_without_a_way_keep_their_original(library: str) -> None:
    found = case("scaled")
    subject = Subject(library=library, model=None, task="binary")
    done = compile_scorer(subject, found.native, found.reference)
    assert (done.report.kind, done.report.why) == ("native", f"there is no way to compile a model of {library}")


def test_changed_bytes_of_an_artifact_are_not_read() -> None:
    whole = encode_artifact(artifact_of("scaled"))
    for data_ in (whole[:-9], b"", b"\x00" * 40, whole.replace(b"sigmoid", b"sigmoia")):
        with pytest.raises(Corrupt, match="cannot be read"):
            decode_artifact(data_)
    later = msgspec.structs.replace(artifact_of("scaled"), format=99)
    with pytest.raises(Corrupt, match="it has format 99"):
        decode_artifact(encode_artifact(later))


def test_numbers_that_do_not_fit_together_are_not_served() -> None:
    artifact = artifact_of("scaled")
    assert isinstance(artifact.form, LinearForm)
    short = msgspec.structs.replace(artifact.form, weights=artifact.form.weights[:-8])
    with pytest.raises(Corrupt, match="cannot be read"):
        scorer_of(msgspec.structs.replace(artifact, form=short))
    graph = msgspec.structs.replace(artifact, form=OnnxForm(model=b"no graph", single=False))
    with pytest.raises(Corrupt, match="ONNX Runtime cannot read"):
        scorer_of(graph)


def test_an_artifact_that_answers_otherwise_on_this_machine_is_not_served() -> None:
    assert proven_scorer(artifact_of("scaled"))
    with pytest.raises(Corrupt, match=r"answers otherwise here than where it was made \(numpy "):
        proven_scorer(weights_changed(artifact_of("scaled"), 1e-3))


def endless() -> None:
    while True:
        pass


def test_a_way_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(CannotCompile, match="it takes longer than 0 s"), limited(0.05):
        endless()
    with limited(5):
        pass  # and the clock is off again
