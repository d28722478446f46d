from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from homeostat.ground.errors import Invalid
from homeostat.ground.records import FeatureColumn
from homeostat.monitoring.bins import bins_id, count, fit_bins, width
from homeostat.monitoring.drift import compare, js_distance

NUMBERS = tuple(FeatureColumn(name=f"c{index}", kind="number") for index in range(10))


def table(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Any:
    matrix = rng.normal(size=(rows, 10))
    matrix[:, 0] += shift
    matrix[:, 9] = np.round(matrix[:, 9])
    return matrix


@given(st.lists(st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 3)), max_size=80))
def test_every_row_falls_into_exactly_one_bin(values: list[float]) -> None:
    matrix = np.array(values, dtype=np.float64).reshape(-1, 1)
    (bins,) = fit_bins(NUMBERS[:1], matrix)
    assert sum(bins.counts) == len(values)
    assert len(bins.counts) == width(bins) == len(bins.edges) + 2
    assert list(bins.edges) == sorted(set(bins.edges))
    assert bins.counts[-1] == np.isnan(matrix).sum()


def test_number_bins_follow_the_quantiles_of_the_training_rows() -> None:
    (bins,) = fit_bins(NUMBERS[:1], np.arange(1600.0).reshape(-1, 1))
    assert len(bins.edges) == 15
    assert set(bins.counts[:-1]) == {100}
    (again,) = count((bins,), np.array([[bins.edges[0]], [np.nextafter(bins.edges[0], 9e9)], [np.inf]]))
    assert (again[0], again[1], again[-2]) == (1, 1, 1)  # an edge belongs to the bin below it


def test_a_constant_column_that_starts_to_move_is_seen() -> None:
    (bins,) = fit_bins(NUMBERS[:1], np.full((500, 1), 3.0))
    moved = count((bins,), np.repeat([[2.9], [3.1]], 250, axis=0))
    assert compare((bins,), moved).drifted() == ["c0"]
    assert compare((bins,), count((bins,), np.full((500, 1), 3.0))).status == "ok"


def test_categories_are_counted_by_code_with_unknown_ones_and_nulls_apart() -> None:
    column = FeatureColumn(name="k", kind="category", categories=("a", "b"))
    (bins,) = fit_bins((column,), np.array([[0.0], [1.0], [1.0], [np.nan], [7.0], [-1.0]]))
    assert bins.counts == (1, 2, 2, 1)


def test_the_id_changes_with_the_bins_and_not_with_the_counts() -> None:
    rng = np.random.default_rng(0)
    (first,) = fit_bins(NUMBERS[:1], rng.normal(size=(300, 1)))
    (other,) = fit_bins(NUMBERS[:1], rng.normal(size=(300, 1)))
    assert bins_id(first) != bins_id(other)
    assert len(bins_id(first)) == 16


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(Invalid, match="2 columns"):
        fit_bins(NUMBERS[:2], np.zeros((3, 1)))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=20))
def test_the_distance_is_scipys(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs).T
    first[0] += 1
    second[-1] += 1
    assert float(js_distance(first, second)) == pytest.approx(float(jensenshannon(first, second)), abs=1e-7)


def test_equal_windows_alarm_in_about_one_of_twenty_cases_over_all_columns_together() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(100):
        bins = fit_bins(NUMBERS, table(rng, 800))
        alarms += compare(bins, count(bins, table(rng, 400)), floor=0.0).status == "drift"
    assert alarms <= 12  # nominal 5 of 100


def test_a_real_shift_is_named_and_alone() -> None:
    rng = np.random.default_rng(2)
    bins = fit_bins(NUMBERS, table(rng, 5000))
    report = compare(bins, count(bins, table(rng, 5000, shift=0.5)))
    assert report.drifted() == ["c0"]
    assert report.status == "drift"


def test_a_significant_shift_below_the_floor_is_no_drift() -> None:
    rng = np.random.default_rng(3)
    bins = fit_bins(NUMBERS, table(rng, 50_000))
    report = compare(bins, count(bins, table(rng, 50_000, shift=0.1)))
    first = report.columns[0]
    assert first.p is not None and first.p <= 0.05
    assert first.effect is not None and first.effect < 0.1 and not first.drifted
    assert report.status == "ok"


def test_the_same_counts_give_the_same_verdict() -> None:
    rng = np.random.default_rng(4)
    bins = fit_bins(NUMBERS, table(rng, 1000))
    now = count(bins, table(rng, 300))
    assert compare(bins, now) == compare(bins, now)


def test_few_rows_are_insufficient_and_never_no_drift() -> None:
    rng = np.random.default_rng(5)
    bins = fit_bins(NUMBERS, table(rng, 1000))
    report = compare(bins, count(bins, table(rng, 199, shift=9.0)))
    assert (report.status, report.rows, report.columns) == ("insufficient", 199, ())
