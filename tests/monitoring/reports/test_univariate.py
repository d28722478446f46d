"""Every test agrees with scipy, where scipy has it, on whatever two samples it is given."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from homeostat.monitoring.reports.univariate import counts, distances, divergences, kolmogorov, samples
from homeostat.monitoring.reports.univariate import mean_discrepancy as mmd
from homeostat.monitoring.reports.univariate.pair import Pair
from homeostat.monitoring.reports.univariate.tests import Score

floats = st.floats(-1e6, 1e6, allow_nan=False, width=32)
many = st.lists(floats, min_size=2, max_size=60)
few = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=80)
numbers = st.one_of(many, few)
labels = st.lists(st.sampled_from("abcde"), min_size=1, max_size=80)
SETTINGS = settings(max_examples=60, deadline=None)


def number_pair(first: Any, second: Any) -> Pair:
    return Pair(pl.Series("x", first, dtype=pl.Float64), pl.Series("x", second, dtype=pl.Float64), kind="num")


def label_pair(first: Any, second: Any) -> Pair:
    return Pair(pl.Series("x", first, dtype=pl.String), pl.Series("x", second, dtype=pl.String), kind="cat")


SAME: dict[str, tuple[Score, Callable[..., float]]] = {
    "ks": (kolmogorov.kolmogorov_smirnov, lambda a, b: stats.ks_2samp(a, b).pvalue),
    "ed": (distances.energy, stats.energy_distance),
    "mannw": (samples.mann_whitney, lambda a, b: stats.mannwhitneyu(a, b).pvalue),
    "cramer_von_mises": (samples.cramer_von_mises, lambda a, b: stats.cramervonmises_2samp(a, b).pvalue),
    "wasserstein": (
        distances.wasserstein_normed,
        lambda a, b: stats.wasserstein_distance(a, b) / max(float(np.std(a)), 0.001),
    ),
}


@pytest.mark.parametrize("name", SAME)
@SETTINGS
@given(first=numbers, second=numbers)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers(name: str, first: list[float], second: list[float]) -> None:
    ours, theirs = SAME[name]
    a, b = np.array(first), np.array(second)
    assert ours(number_pair(first, second)) == pytest.approx(float(theirs(a, b)), rel=1e-6, abs=1e-9 * (1 + np.ptp(a)))


@pytest.mark.parametrize("n", [200, 12_000])
@pytest.mark.filterwarnings("ignore")
def test_tests_of_numbers_on_many_rows(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(0.05, 1.1, size=n + 100)
    pair = number_pair(a, b)
    wanted = {
        kolmogorov.kolmogorov_smirnov: stats.ks_2samp(a, b).pvalue,
        samples.anderson_darling: stats.anderson_ksamp([a, b]).pvalue,
        samples.epps_singleton: stats.epps_singleton_2samp(a, b).pvalue,
        samples.students_t: stats.ttest_ind(a, b).pvalue,
        samples.mann_whitney_one_sided: stats.mannwhitneyu(a, b, alternative="less").pvalue,
        distances.wasserstein_normed: stats.wasserstein_distance(a, b) / np.std(a),
    }
    for ours, theirs in wanted.items():
        assert ours(pair) == pytest.approx(float(theirs), rel=1e-6), ours.__name__


@SETTINGS
@given(first=labels, second=labels)
def test_categories(first: list[str], second: list[str]) -> None:
    pair = label_pair(first, second)
    names = sorted(set(first) | set(second))
    then, now = (np.array([side.count(name) for name in names]) for side in (first, second))
    if len(names) > 1:
        table = stats.chi2_contingency([then, now], correction=False)
        assert counts.chi_square(pair) == pytest.approx(table.pvalue, rel=1e-9, abs=1e-12)
        likely = stats.chi2_contingency([then, now], correction=False, lambda_="log-likelihood")
        assert counts.g_test(pair) == pytest.approx(likely.pvalue, rel=1e-9, abs=1e-12)
    if len(names) == 2:
        assert counts.fisher_exact(pair) == pytest.approx(stats.fisher_exact([then, now]).pvalue)
    shares = then / then.sum(), now / now.sum()
    assert divergences.jensen_shannon(pair) == pytest.approx(float(distance.jensenshannon(*shares)), abs=1e-7)
    if (then > 0).all():
        expected = then * (now.sum() / then.sum())
        if len(names) > 1:
            assert counts.chi_square_one_sample(pair) == pytest.approx(stats.chisquare(now, expected).pvalue, abs=1e-12)


@SETTINGS
@given(first=labels, second=labels)
def test_distances_are_nought_of_equals_the_same_both_ways_and_bounded(first: list[str], second: list[str]) -> None:
    pair, back, same = label_pair(first, second), label_pair(second, first), label_pair(first, first)
    for score, most in ((divergences.jensen_shannon, np.sqrt(np.log(2))), (divergences.hellinger, 1.0)):
        assert score(same) == pytest.approx(0, abs=1e-7)
        assert score(pair) == pytest.approx(score(back), abs=1e-9)
        assert 0 <= score(pair) <= most + 1e-9
    assert divergences.population_stability(pair) == pytest.approx(divergences.population_stability(back))
    assert divergences.population_stability(same) == pytest.approx(0)


def test_permutation_tests_hold_their_level_and_see_a_change() -> None:
    rng = np.random.default_rng(1)
    quiet = 0
    for _ in range(60):
        a, b = rng.normal(size=60), rng.normal(size=60)
        quiet += mmd.mean_discrepancy(number_pair(a, b)) <= 0.1  # type: ignore[operator]
    assert quiet <= 13
    assert mmd.mean_discrepancy(number_pair(rng.normal(size=200), rng.normal(1, 1, size=150))) == 1 / 200
    same = label_pair(["a"] * 50 + ["b"] * 50, ["a"] * 48 + ["b"] * 52)
    moved = label_pair(["a"] * 50 + ["b"] * 50, ["a"] * 10 + ["c"] * 90)
    assert counts.total_variation(same) > 0.5 and counts.total_variation(moved) == 1 / 1001
