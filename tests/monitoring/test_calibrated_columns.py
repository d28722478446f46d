"""The calibrated decision: how often it is wrong on equal tables, and how often it sees a change."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated.columns import ColumnPair, judge

Columns = dict[str, npt.NDArray[np.float64]]
ALPHA = 0.05


def mixed(rng: np.random.Generator, rows: int) -> Columns:
    """20 columns: 15 numbers (normal, lognormal, uniform, rounded gamma with ties, one with nulls), 5 categories."""
    columns: Columns = {f"normal {i}": rng.normal(size=rows) for i in range(6)}
    columns |= {f"lognormal {i}": rng.lognormal(size=rows) for i in range(3)}
    columns |= {f"uniform {i}": rng.uniform(size=rows) for i in range(3)}
    columns |= {f"gamma {i}": np.round(rng.gamma(2, size=rows), 1) for i in range(2)}
    columns["with nulls"] = np.where(rng.uniform(size=rows) < 0.05, np.nan, rng.normal(size=rows))
    for values in (2, 3, 5, 20, 100):
        shares = 1 / np.arange(1, values + 1) ** 0.8
        columns[f"category {values}"] = rng.choice(values, size=rows, p=shares / shares.sum()).astype(np.float64)
    return columns


def pairs(reference: Columns, current: Columns) -> list[ColumnPair]:
    kinds = {name: "cat" if name.startswith("category") else "num" for name in reference}
    return [
        ColumnPair(
            name,
            kind,
            reference[name].astype(np.int64) if kind == "cat" else reference[name],
            current[name].astype(np.int64) if kind == "cat" else current[name],
        )
        for name, kind in kinds.items()
    ]


def share_drifted(
    rows: tuple[int, int],
    repeats: int,
    *,
    change: Callable[[Columns], None] | None = None,
    column: str = "",
    seed: int = 0,
) -> tuple[float, float]:
    """Share of repeats in which (any column, this column) is called drifted, without a floor."""
    rng = np.random.default_rng(seed)
    any_of_them = this = 0
    for _ in range(repeats):
        reference, current = mixed(rng, rows[0]), mixed(rng, rows[1])
        if change is not None:
            change(current)
        drifted = {
            verdict.name for verdict in judge(pairs(reference, current), alpha=ALPHA, effect=0.0) if verdict.drifted
        }
        any_of_them += bool(drifted)
        this += column in drifted
    return any_of_them / repeats, this / repeats


@pytest.mark.parametrize(
    ("rows", "repeats"),
    [((200, 200), 400), ((500, 500), 400), ((5_000, 5_000), 200), ((50_000, 500), 150), ((200, 5_000), 250)],
    ids=str,
)
def test_equal_tables_are_called_drifted_no_more_often_than_stated(rows: tuple[int, int], repeats: int) -> None:
    found, _ = share_drifted(rows, repeats, seed=11)
    # 1.5 x nominal, and what chance alone adds to it once in a hundred.
    assert found * repeats <= stats.binom.ppf(0.99, repeats, 1.5 * ALPHA)


@pytest.mark.slow
def test_equal_tables_of_fifty_thousand_rows() -> None:
    found, _ = share_drifted((50_000, 50_000), 60, seed=5)
    assert found <= stats.binom.ppf(0.99, 60, 1.5 * ALPHA) / 60


def bonferroni_ks(rows: tuple[int, int], repeats: int, shift: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(repeats):
        a, b = rng.normal(size=rows[0]), rng.normal(shift, 1, size=rows[1])
        found += stats.ks_2samp(a, b).pvalue <= ALPHA / 20
    return found / repeats


@pytest.mark.parametrize(("rows", "shift"), [(500, 0.2), (500, 0.3), (5_000, 0.1)])
def test_a_shift_of_one_column_is_seen_at_least_as_often_as_by_corrected_ks(rows: int, shift: float) -> None:
    def move(columns: Columns) -> None:
        columns["normal 0"] = columns["normal 0"] + shift

    _, ours = share_drifted((rows, rows), 120, change=move, column="normal 0", seed=3)
    theirs = bonferroni_ks((rows, rows), 300, shift, seed=4)
    assert ours >= theirs - 0.03, (ours, theirs)


def test_spread_and_missing_rows_and_new_categories_are_changes_too() -> None:
    def widen(columns: Columns) -> None:
        columns["normal 0"] = columns["normal 0"] * 1.5

    def lose(columns: Columns) -> None:
        columns["normal 1"] = np.where(np.arange(len(columns["normal 1"])) % 8 == 0, np.nan, columns["normal 1"])

    def extend(columns: Columns) -> None:
        columns["category 5"] = np.where(np.arange(len(columns["category 5"])) % 20 == 0, 5.0, columns["category 5"])

    for change, column in ((widen, "normal 0"), (lose, "normal 1"), (extend, "category 5")):
        _, seen = share_drifted((800, 800), 15, change=change, column=column, seed=6)
        assert seen >= 0.9, column


def test_small_changes_of_many_rows_are_told_by_the_floor_alone() -> None:
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=400_000), rng.normal(0.02, 1, size=400_000)
    [loud] = judge([ColumnPair("x", "num", reference, current)], effect=0.0)
    [calm] = judge([ColumnPair("x", "num", reference, current)])
    assert loud.drifted and not calm.drifted
    assert calm.p == loud.p and calm.effect == pytest.approx(0.008, abs=0.004)


def test_too_few_rows_are_insufficient_and_options_are_checked() -> None:
    [verdict] = judge([ColumnPair("x", "num", np.arange(10.0), np.arange(10.0) + 100)])
    assert (verdict.status, verdict.p, verdict.drifted) == ("insufficient", None, False)
    assert judge([]) == []
    with pytest.raises(Invalid) as error:
        judge([], alpha=2)
    assert error.value.field == "alpha"
