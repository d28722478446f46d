"""The calibrated decision: how often it is wrong on equal tables, and how often it sees a change."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated import subtests
from homeostat.monitoring.calibrated.columns import ColumnPair, ColumnVerdict, judge
from homeostat.monitoring.calibrated.combine import cauchy, holm
from homeostat.monitoring.calibrated.tables import table_of
from homeostat.testing.drift import CATEGORIES, kind, mixed, pairs, seen

ALPHA = 0.05
NUMBERS = [name for name in mixed(np.random.default_rng(0), 1) if kind(name) == "num"]


def one(reference: Any, current: Any, kind: str = "num", **options: Any) -> ColumnVerdict:
    keep = {key: options.pop(key) for key in ("form", "missing") if key in options}
    [verdict] = judge([ColumnPair("x", kind, np.asarray(reference), np.asarray(current), **keep)], **options)
    return verdict


def allowed(repeats: int, alpha: float = ALPHA) -> float:
    """1.5 x nominal, and what chance alone adds to it once in a hundred."""
    return float(stats.binom.ppf(0.99, repeats, 1.5 * alpha)) / repeats


# How often in vain ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "repeats"),
    [((200, 200), 300), ((500, 500), 300), ((5_000, 5_000), 80), ((50_000, 500), 60), ((200, 5_000), 100)],
    ids=str,
)
def test_equal_tables_are_called_drifted_no_more_often_than_stated(rows: tuple[int, int], repeats: int) -> None:
    assert seen(rows, repeats, categories=(*CATEGORIES, 1000), seed=11).any_column <= allowed(repeats)


@pytest.mark.slow
def test_equal_tables_of_fifty_thousand_rows() -> None:
    assert seen((50_000, 50_000), 60, seed=5).any_column <= allowed(60)


@pytest.mark.parametrize("rows", [(100, 100), (500, 5_000), (30, 1_000)], ids=str)
def test_rare_values_ties_and_sparse_categories_do_not_alarm(rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    shares = np.arange(1, 5_001) ** -1.1

    def columns(rows: int) -> list[tuple[str, Any]]:
        return [
            ("num", (rng.uniform(size=rows) < 0.01) * 1.0),
            ("num", rng.poisson(0.05, rows)),
            ("num", np.where(rng.uniform(size=rows) < 0.95, 0, rng.lognormal(size=rows))),
            ("num", np.where(rng.uniform(size=rows) < 0.01, np.inf, rng.standard_cauchy(rows))),
            ("num", np.where(rng.uniform(size=rows) < 0.01, np.nan, rng.normal(size=rows))),
            ("cat", rng.choice(5_000, rows, p=shares / shares.sum())),
            ("cat", rng.integers(0, 1_000_000, rows)),
            ("cat", rng.choice(3, rows, p=[0.99, 0.009, 0.001])),
        ]

    repeats = 250
    alarms = sum(
        any(
            verdict.drifted
            for verdict in judge(
                [
                    ColumnPair(str(place), kind, then, now)
                    for place, ((kind, then), (_, now)) in enumerate(
                        zip(columns(rows[0]), columns(rows[1]), strict=True)
                    )
                ],
                effect=0.0,
            )
        )
        for _ in range(repeats)
    )
    assert alarms / repeats <= allowed(repeats)


# How often a change is seen ------------------------------------------------------------------------------------------


def bonferroni_ks(rows: int, repeats: int, shift: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(repeats):
        then, now = rng.normal(size=rows), rng.normal(shift, 1, size=rows)
        found += stats.ks_2samp(then, now).pvalue <= ALPHA / 20
    return found / repeats


@pytest.mark.parametrize(("rows", "shift"), [(200, 0.5), (500, 0.2), (500, 0.3), (5_000, 0.1)])
def test_a_shift_of_one_column_is_seen_at_least_as_often_as_by_corrected_ks(rows: int, shift: float) -> None:
    ours = seen((rows, rows), 120, shift=shift, names=["normal 0"], seed=3)
    theirs = bonferroni_ks(rows, 300, shift, seed=4)
    assert ours.moved >= theirs - 0.05


def test_a_small_shift_of_all_numbers_is_seen_where_corrected_ks_hardly_sees_it() -> None:
    assert seen((500, 500), 60, shift=0.2, names=NUMBERS, seed=8).columns > 6
    assert seen((500, 500), 60, shift=0.2, names=NUMBERS, seed=8).any_column == 1


def test_spread_and_missing_rows_and_new_categories_are_changes_too() -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        then, now = mixed(rng, 800), mixed(rng, 800)
        now["normal 0"] *= 1.5
        now["normal 1"][::8] = np.nan
        now["category 5"][::20] = 5
        now["category 100"][::40] = 170
        verdicts = {verdict.name: verdict for verdict in judge(pairs(then, now))}
        moved = ("normal 0", "normal 1", "category 5", "category 100")
        assert [verdicts[name].status for name in moved] == ["drift"] * 4
        assert verdicts["normal 1"].measure == "missing"


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (np.full(50_000, 3.0), np.where(np.arange(500) % 50 == 0, 3.1, 3.0)),  # a constant that starts to vary
        (np.full(300, 3.0), np.full(300, 3.0000001)),  # or jumps
        (np.random.default_rng(0).normal(size=400), np.full(400, 0.01)),  # a column that sticks in its middle
        (np.random.default_rng(0).normal(size=2_000), np.round(np.random.default_rng(1).normal(size=2_000), 1)),
        (np.random.default_rng(0).normal(size=400), np.full(400, np.nan)),
    ],
    ids=["starts to vary", "jumps", "sticks", "is rounded", "is lost"],
)
def test_broken_columns_are_drift(then: Any, now: Any) -> None:
    assert one(then, now, effect=0.0).status == "drift"


def test_ids_of_other_people_are_drift_and_other_ids_of_the_same_range_are_not() -> None:
    rng = np.random.default_rng(1)
    same = [one(rng.integers(0, 300, 900), rng.integers(0, 300, 900), "cat").drifted for _ in range(100)]
    others = one(rng.integers(0, 300, 900), rng.integers(300, 600, 900), "cat")
    assert np.mean(same) <= allowed(100) and others.drifted
    assert others.effect == pytest.approx(1)


# What is said --------------------------------------------------------------------------------------------------------


def test_small_changes_of_many_rows_are_held_back_by_the_floor_alone() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=400_000), rng.normal(0.02, 1, size=400_000)
    loud, calm = one(reference, current, effect=0.0), one(reference, current)
    assert loud.drifted and not calm.drifted and calm.status == "ok"
    assert calm.p == loud.p and calm.effect == pytest.approx(0.008, abs=0.004)


def test_too_few_rows_are_insufficient_and_never_no_drift() -> None:
    few = one(np.arange(10.0), np.arange(10.0) + 100)
    assert (few.status, few.p, few.drifted) == ("insufficient", None, False)
    emptied = one(np.arange(30.0), np.where(np.arange(30) < 15, np.nan, 1.0))
    assert emptied.status == "drift" and emptied.measure == "missing"
    never = one(np.full(30, np.nan), np.full(30, np.nan))
    assert (never.status, never.effect) == ("insufficient", 0.0)
    assert one([], [], "cat").effect is None
    assert judge([]) == []


def test_equal_constants_are_no_drift() -> None:
    assert (one(np.ones(50), np.ones(50)).p, one(np.ones(50), np.ones(50)).status) == (1.0, "ok")


def test_raw_values_sorted_values_and_counts_say_the_same() -> None:
    rng = np.random.default_rng(2)
    then, now = rng.integers(0, 12, 3_000).astype(float), rng.integers(1, 12, 900).astype(float)
    then[:40] = np.nan
    raw = one(then, now)
    by_bin = [np.bincount(side[~np.isnan(side)].astype(int), minlength=12) for side in (then, now)]
    assert one(np.sort(then), np.sort(now), form="sorted") == raw
    counted = one(by_bin[0], by_bin[1], form="counts", missing=(40, 0))
    assert (counted.p, counted.parts, counted.rows) == (raw.p, raw.parts, raw.rows)
    codes = one(np.where(np.isnan(then), -1, then), now, "cat")
    assert (
        one(then.astype(object).astype(float), now, "cat")
        == codes
        == one(by_bin[0], by_bin[1], "cat", form="counts", missing=(40, 0))
    )


def test_large_columns_are_cut_into_cells_without_losing_their_distance() -> None:
    rng = np.random.default_rng(3)
    then, now = rng.lognormal(size=60_000), np.round(rng.lognormal(0.02, size=30_000), 1)
    exact = stats.ks_2samp(then, now).statistic
    assert one(then, now).effect == pytest.approx(exact, abs=1e-3)
    assert len(table_of("x", "num", "values", then, now).pooled) < 5_000


def test_the_sub_tests_agree_with_scipy() -> None:
    rng = np.random.default_rng(4)
    then, now = np.round(rng.normal(size=700), 1), np.round(rng.normal(0.1, 1, size=500), 1)
    parts = one(then, now).parts
    assert parts["location"] == pytest.approx(stats.mannwhitneyu(then, now, use_continuity=False).pvalue, rel=1e-2)
    assert parts["ks"] == pytest.approx(stats.ks_2samp(then, now, method="asymp").pvalue, rel=0.15)
    a, b = np.array([40, 30, 30]), np.array([60, 25, 15])
    assert subtests.chi_square(a, b) == pytest.approx(stats.chi2_contingency([a, b]).pvalue, rel=0.1)
    assert subtests.share(400, 600, 450, 550) == pytest.approx(
        stats.chi2_contingency([[400, 600], [450, 550]], correction=False).pvalue, rel=1e-2
    )
    assert subtests.share(0, 1000, 8, 992) == pytest.approx(stats.fisher_exact([[0, 1000], [8, 992]]).pvalue, rel=0.1)


def test_the_chi_square_has_the_moments_of_all_splits_of_the_pooled_rows() -> None:
    pooled = np.array([1, 1, 2, 3, 10, 20, 63])
    now = np.random.default_rng(5).multivariate_hypergeometric(pooled, 30, size=50_000)
    statistics = ((now - pooled * 0.3) ** 2 / pooled).sum(axis=1) / (0.3 * 0.7)
    mean, variance = subtests.chi_square_moments(70, 30, pooled.astype(float))
    assert statistics.mean() == pytest.approx(mean, rel=0.01)
    assert statistics.var() == pytest.approx(variance, rel=0.03)


def test_p_values_are_combined_by_cauchy_and_corrected_by_holm() -> None:
    assert cauchy({}, {}) == 1
    assert cauchy({"a": 0.03}, {"a": 0.2, "b": 0.8}) == pytest.approx(0.03)
    assert cauchy({"a": 1e-250, "b": 1.0}, {"a": 1, "b": 1}) == pytest.approx(2e-250)
    assert holm([0.04, 0.01, None, 0.03]) == [0.06, 0.03, None, 0.06]


@pytest.mark.parametrize(
    ("options", "field"),
    [({"alpha": 2}, "alpha"), ({"effect": -0.1}, "effect"), ({"form": "codes"}, "x"), ({"form": "counts"}, "x")],
)
def test_a_wrong_option_names_its_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        one(np.arange(30), np.arange(31), **options)
    assert error.value.field == field and error.value.next_step
