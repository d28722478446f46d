"""Tests of single columns at their edges: equal and huge sizes, one value, nothing at all, a million categories."""

import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.univariate.custom import custom_test
from homeostat.monitoring.reports.univariate.distances import BLOCK, wasserstein
from homeostat.monitoring.reports.univariate.kolmogorov import kolmogorov_smirnov
from homeostat.monitoring.reports.univariate.pair import Pair
from homeostat.monitoring.reports.univariate.tests import TESTS
from homeostat.monitoring.reports.univariate.texts import content

TYPES: dict[str, Any] = {"num": pl.Float64, "cat": pl.String, "text": pl.String}


def pair(first: Any, second: Any, kind: str = "num") -> Pair:
    return Pair(pl.Series("x", first, dtype=TYPES[kind]), pl.Series("x", second, dtype=TYPES[kind]), kind=kind)


@pytest.mark.filterwarnings("ignore:ks_2samp")
@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 9), min_size=n, max_size=n)] * 2)))
def test_the_exact_p_of_equal_sizes_is_that_of_scipy(sides: tuple[list[int], list[int]]) -> None:
    first, second = ([float(value) for value in side] for side in sides)
    ours, theirs = kolmogorov_smirnov(pair(first, second)), stats.ks_2samp(first, second).pvalue
    # Where the exact p is 1, scipy may round to above it, call its own result a failure and take the asymptotic one.
    assert ours == pytest.approx(theirs, rel=1e-9) or (ours == 1.0 and theirs > 0.999)


@pytest.mark.parametrize("size", [1, 2, 9_999, 10_000])
@pytest.mark.parametrize("shift", [0.0, 0.04, 3.0])
def test_so_it_is_up_to_the_largest_size_and_the_smallest_p(size: int, shift: float) -> None:
    rng = np.random.default_rng(size)
    first, second = rng.normal(size=size), rng.normal(size=size) + shift
    wanted = stats.ks_2samp(first, second).pvalue
    assert kolmogorov_smirnov(pair(first, second)) == pytest.approx(wanted, rel=1e-9, abs=1e-300)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9))
def test_earth_movers_distance_needs_no_merge(first: list[float], second: list[float]) -> None:
    a, b = np.sort(first), np.sort(second)
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9, abs=1e-9)


def test_nor_does_it_when_it_goes_block_by_block() -> None:
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.normal(size=BLOCK + 7)), np.sort(rng.normal(0.3, 1, size=90_001))
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)
    assert wasserstein(b, a) == pytest.approx(wasserstein(a, b), rel=1e-9)


EDGES: dict[str, tuple[Any, Any]] = {
    "one row": ([1.0], [2.0]),
    "one row against many": ([1.0], list(range(50))),
    "one value": ([7.0] * 30, [7.0] * 40),
    "two single values": ([7.0] * 30, [8.0] * 40),
    "a constant that varies": ([7.0] * 30, list(range(40))),
    "nothing in common": (list(range(30)), list(range(100, 140))),
    "holes": ([None, 1.0, float("nan"), float("inf"), 2.0, 3.0], [float("-inf"), 1.0, 2.0, None]),
    "huge numbers": ([1e300, -1e300, 5e299, 1e290] * 5, [1e300, 2e299, 0.0, 1.0] * 6),
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", TESTS)
def test_no_test_raises_on_any_values(name: str, edge: str) -> None:
    spec = TESTS[name]
    first, second = EDGES[edge]
    if spec.kinds[0] != "num":
        first, second = ([None if value is None else f"word {value}" for value in side] for side in (first, second))
    column = pair(first, second, spec.kinds[0])
    for quirky in (False, True):
        score, drifted = spec.verdict(column, spec.threshold, quirky=quirky)
        assert isinstance(drifted, bool)
        assert score is None or np.isfinite(score)
        assert score is not None or not drifted


@pytest.mark.parametrize("name", [name for name, spec in TESTS.items() if "text" not in spec.kinds])
def test_equal_samples_are_no_drift_and_strangers_are(name: str) -> None:
    spec = TESTS[name]
    kind = "cat" if "cat" in spec.kinds else "num"
    rng = np.random.default_rng(3)
    values = rng.normal(size=400) if kind == "num" else rng.choice(["a", "b"], size=400)
    other = rng.normal(2, 1, size=400) if kind == "num" else rng.choice(["a", "b"], size=400, p=[0.9, 0.1])
    for quirky in (False, True):
        assert not spec.verdict(pair(values, values, kind), spec.threshold, quirky=quirky)[1]
        assert spec.verdict(pair(values, other, kind), spec.threshold, quirky=quirky)[1]


def test_a_million_categories_are_no_matter_of_minutes() -> None:
    labels = [f"user {number}" for number in range(1_000_000)]
    column = pair(labels[:600_000], labels[400_000:], "cat")
    began = time.process_time()
    for name in ("chisquare", "jensenshannon", "psi", "hellinger", "g_test"):
        assert TESTS[name].verdict(column, 0.05, quirky=False)[0] is not None
    assert time.process_time() - began < 10


def test_texts_are_told_apart_by_their_words_and_p_holds_its_level() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "green", "cat", "dog", "house", "tree", "sun", "rain", "road"])

    def texts(rows: int, shares: Any = None) -> list[str]:
        return [" ".join(rng.choice(words, 8, p=shares)) for _ in range(rows)]

    quiet = [content(pair(texts(120), texts(90), "text")) for _ in range(200)]
    assert sum(found.p <= 0.05 for found in quiet if found is not None) <= 18  # 5 % of 200, and three sigmas
    other = np.array([3.0, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    found = content(pair(texts(600), texts(600, other / other.sum()), "text"))
    assert found is not None
    assert found.p < 1e-6
    assert found.words[1][0] == "red"


def test_a_function_is_a_test_too_and_anything_else_is_not() -> None:
    def far(reference: Any, current: Any, kind: str, threshold: float) -> tuple[float, bool]:
        apart = abs(float(reference.mean()) - float(current.mean()))
        return apart, apart > threshold and kind == "num"

    spec = custom_test(far, "num")
    assert spec.title == "custom function 'far'"
    assert spec.verdict(pair([1.0, None, 2.0], [5.0, 6.0]), 0.5, quirky=True) == (4.0, True)
    assert custom_test(TESTS["psi"], "num") is TESTS["psi"]
    with pytest.raises(Invalid, match="is no test"):
        custom_test(7, "num")
