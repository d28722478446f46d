"""Compiled scorers answer as the original does: on any rows, on split points, on gaps; and raise where it raises."""

from functools import cache
from typing import Any

import compiling_models
import numpy as np
import pytest
from compiling_models import COLUMNS, Case, case
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.ground.errors import Invalid
from homeostat.serving.compiling.artifact import decode_artifact
from homeostat.serving.compiling.compiler import Compiled, compile_scorer
from homeostat.serving.compiling.forest import at_most_in_single, below_in_single
from homeostat.serving.compiling.questions import answer_or_none
from homeostat.serving.compiling.running import proven_scorer
from homeostat.serving.compiling.tolerance import differing, rank_agreement
from homeostat.serving.compiling.ways import thresholds_of

ORDINARY = st.one_of(
    st.floats(-5, 5),
    st.integers(-1, 7).map(float),
    st.sampled_from([np.nan, 0.0, -0.0, 0.5, 255.0, 256.0, 1e-36, -1e-36, 1e6, -1e6]),
)


@cache
def compiled(name: str) -> Compiled:
    found = case(name)
    return compile_scorer(found.subject, found.native, found.reference)


@cache
def scorer(name: str) -> Any:
    data = compiled(name).data
    assert data is not None, compiled(name).report.why
    return proven_scorer(decode_artifact(data))


@cache
def split_points(name: str) -> list[tuple[int, float]]:
    return list(thresholds_of(case(name).subject)) or [(0, 0.0)]


def agree(found: Case, faster: Any, rows: Any) -> None:
    wanted, answer = answer_or_none(found.native, rows), answer_or_none(faster, rows)
    if wanted is None:
        # Some row is refused: each has to be refused by both, or answered by both.
        for row in rows:
            wanted, answer = answer_or_none(found.native, row[None, :]), answer_or_none(faster, row[None, :])
            assert (wanted is None) == (answer is None)
            if wanted is not None and answer is not None:
                assert not differing(wanted, answer, 1e-6).any()
        return
    assert answer is not None and answer.shape == wanted.shape
    assert not differing(wanted, answer, 1e-6).any()


@pytest.mark.parametrize("name", compiling_models.LINEAR)
def test_linear_models_become_one_product(name: str) -> None:
    report = compiled(name).report
    assert (report.kind, [one.status for one in report.candidates][:2]) == ("linear", ["chosen", "not tried"])
    chosen = report.candidates[0]
    assert chosen.differing == 0 and chosen.rank_agreement == 1.0
    assert chosen.max_abs_diff is not None and chosen.max_abs_diff < 1e-12


@pytest.mark.parametrize("name", compiling_models.GRAPHS)
def test_the_others_become_a_graph_in_float64(name: str) -> None:
    report = compiled(name).report
    chosen = next(one for one in report.candidates if one.status == "chosen")
    assert (report.kind, chosen.name, chosen.differing) == ("onnx", "float64 graph", 0)
    single = "xgboost" in name  # whose own sums are float32
    assert chosen.max_abs_diff is not None and chosen.max_abs_diff < (1e-4 if single else 1e-12)


@pytest.mark.parametrize("name", compiling_models.ALL)
def test_any_rows_are_answered_as_by_the_original(name: str) -> None:
    found, faster = case(name), scorer(name)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.lists(st.lists(ORDINARY, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=9))
    def check(rows: list[list[float]]) -> None:
        agree(found, faster, np.array(rows))

    check()


@pytest.mark.parametrize("name", compiling_models.GRAPHS)
def test_values_on_a_split_point_and_beside_it_go_the_original_way(name: str) -> None:
    found, faster = case(name), scorer(name)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(
        st.lists(st.sampled_from(split_points(name)), min_size=1, max_size=20),
        st.integers(0, len(found.rows) - 1),
        st.sampled_from([-np.inf, 0.0, np.inf]),
    )
    def check(splits: list[tuple[int, float]], place: int, direction: float) -> None:
        rows = np.repeat(found.rows[place : place + 1], len(splits), axis=0)
        for row, (column, value) in zip(rows, splits, strict=True):
            row[column] = np.nextafter(value, direction) if direction else value
        agree(found, faster, rows)

    check()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(-1e30, 1e30), st.integers(-3, 3))
def test_a_float32_comparison_is_the_same_one_in_float64(threshold: float, steps: int) -> None:
    at_most, below = float(at_most_in_single(threshold)), float(below_in_single(np.float32(threshold)))
    for start in (threshold, at_most, below):
        value = start
        for _ in range(abs(steps)):
            value = float(np.nextafter(value, np.inf if steps > 0 else -np.inf))
        assert (float(np.float32(value)) <= threshold) == (value <= at_most)
        assert (np.float32(value) < np.float32(threshold)) == (value <= below)


@pytest.mark.parametrize("name", ["logistic regression", "scaled", "ridge", "lasso with zeros", "boosting"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_makes_the_original_raise_is_refused_and_named(name: str, value: float) -> None:
    rows = case(name).rows[:3].copy()
    rows[1, 2] = value
    with pytest.raises(ValueError, match="contains"):
        case(name).native.score(rows)
    expected = r"column 2 of row 1 holds (a missing|an infinite) value"
    with np.errstate(invalid="ignore"), pytest.raises(Invalid, match=expected) as caught:
        scorer(name).score(rows)
    assert caught.value.field == "columns[2]"


def test_a_number_beyond_float32_is_refused_where_the_original_refuses_it() -> None:
    rows = case("random forest").rows[:2].copy()
    rows[0, 3] = 1e39
    assert answer_or_none(case("random forest").native, rows) is None
    with pytest.raises(Invalid, match="beyond what float32 holds"):
        scorer("random forest").score(rows)


def test_a_column_that_is_imputed_may_be_missing_and_the_one_beside_it_may_not() -> None:
    model = compiling_models.make_pipeline(
        compiling_models.make_column_transformer(
            (compiling_models.SimpleImputer(), [0]), ("passthrough", [1]), remainder="drop"
        ),
        compiling_models.LogisticRegression(),
    ).fit(compiling_models.data()["full"], compiling_models.data()["binary"])
    native = compiling_models.sklearn_native(model, "binary")
    subject = compiling_models.Subject(library="sklearn", model=model, task="binary")
    full = compiling_models.data()["full"]
    done = compile_scorer(subject, native, compiling_models.Reference(matrix=full, source="training rows"))
    assert done.report.kind == "linear" and done.data is not None
    faster = proven_scorer(decode_artifact(done.data))
    for column, is_refused in ((0, False), (1, True), (5, False)):
        rows = full[:2].copy()
        rows[0, column] = np.nan
        assert (answer_or_none(native, rows) is None, answer_or_none(faster, rows) is None) == (is_refused, is_refused)


@pytest.mark.parametrize("name", ["logistic regression", "three classes", "histograms", "lightgbm of classes"])
def test_no_rows_give_no_answers_in_the_same_shape(name: str) -> None:
    shape = case(name).native.score(case(name).rows[:2]).shape
    assert scorer(name).score(np.empty((0, COLUMNS))).shape == (0, *shape[1:])


@pytest.mark.parametrize("name", ["logistic regression", "histograms"])
def test_a_matrix_of_another_width_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="takes 6 columns, the matrix has 5"):
        scorer(name).score(np.zeros((2, 5)))


def test_order_counts_only_where_the_original_has_one() -> None:
    assert rank_agreement(np.array([0.1, 0.1, 0.2]), np.array([0.1, 0.05, 0.2])) == 1.0
    assert rank_agreement(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.1, 0.3])) == 0.5
    assert rank_agreement(np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([[0.2, 0.9], [0.1, 0.8]])) == 0.5
