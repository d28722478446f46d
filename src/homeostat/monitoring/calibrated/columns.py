"""Two tables, column by column: which columns have moved? At most `alpha` of equal tables have any column named.

How a caller uses it:

    verdicts = judge([ColumnPair("age", "num", reference_ages, current_ages),
                      ColumnPair("city", "cat", reference_rows_by_city, current_rows_by_city, form="counts",
                                 missing=(nulls_in_reference, nulls_in_current))])
    drifted = [verdict.name for verdict in verdicts if verdict.drifted]

What a `ColumnPair` holds depends on `kind` and `form`:

| kind  | form       | reference and current |
|-------|------------|------------------------------------------------------------------------------------------|
| 'num' | 'values'   | numbers in any order, NaN where missing; infinities are values like any other            |
| 'num' | 'sorted'   | the same in ascending order, NaN last: spares the sort                                   |
| 'num' | 'counts'   | rows by bin, over the same bins in ascending order                                       |
| 'cat' | 'values'   | whole numbers 0, 1, 2, ...: codes of one vocabulary for both sides; negative = missing   |
| 'cat' | 'counts'   | rows by category, over the same categories, in any order; 0 where a side has none        |

`missing` are rows without a value that are in neither array (nulls that the caller dropped, or the null counter of a
profile); NaN and negative codes in the arrays are added to it. Nothing of the caller's is changed.

One `ColumnVerdict` comes back for each pair, in the same order:

- `status`: 'drift', 'ok', or 'insufficient' (fewer than `min_rows` values on a side, and no change in what is missing);
- `p_raw`: of the column alone; `p`: adjusted for all columns (Holm, valid under any dependence between columns). None
  when insufficient;
- `effect`: how far, from 0 to 1, whatever the number of rows: the Kolmogorov-Smirnov D of numbers, the total variation
  of categories, or the difference of the shares of missing rows where that is larger; `measure` says which of them:
  'ks', 'tv' or 'missing';
- `drifted`: p <= alpha AND effect >= floor. The p-value decides what is chance; the floor is a choice of the smallest
  change worth telling (0.02 in reports, since at a million rows everything is significant; 0.1 on live windows);
- `parts`: p-value by sub-test, for whoever wants to see what spoke.

The sub-tests are in `subtests.py`, how they become one p-value in `combine.py`; docs/calibrated-drift.md has the
false-alarm and power tables.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import numpy.typing as npt

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated import subtests
from homeostat.monitoring.calibrated.combine import cauchy, holm
from homeostat.monitoring.calibrated.tables import Table, table_of

REPORT_FLOOR = 0.02
"""The smallest effect that a report names."""
LIVE_FLOOR = 0.1
"""The smallest effect that live monitoring names: about a quarter of a standard deviation."""
REPORT_ROWS = 20
"""With fewer values on a side a report says 'insufficient'."""
LIVE_ROWS = 200
"""With fewer rows in a window live monitoring says 'insufficient'."""

WEIGHTS = {
    "num": {"location": 0.25, "spread": 0.2, "shape": 0.15, "ks": 0.15, "bins": 0.1, "value": 0.1, "missing": 0.05},
    "cat": {"categories": 0.55, "value": 0.2, "new": 0.15, "missing": 0.1},
}
"""What each sub-test gets of the error: shifts of location and spread are what happens most."""


class ColumnPair(NamedTuple):
    """One column on both sides; see the module's table for what the arrays hold."""

    name: str
    kind: str
    """'num' or 'cat'."""
    reference: npt.NDArray[Any]
    current: npt.NDArray[Any]
    form: str = "values"
    """'values', 'sorted' or 'counts'."""
    missing: tuple[int, int] = (0, 0)
    """Rows without a value that the arrays do not show: of the reference, of the current side."""


class ColumnVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of one column."""

    name: str
    kind: str
    """'num' or 'cat'."""
    status: str
    """'ok', 'drift' or 'insufficient'; the last is never 'no drift'."""
    drifted: bool
    p: float | None
    """Adjusted for all columns judged together: at most alpha of tables that are equal have any at or below alpha."""
    p_raw: float | None
    """Of this column alone."""
    effect: float | None
    """0 (same) to 1 (nothing in common); see `measure`. None when a side is empty."""
    measure: str
    """What `effect` is: 'ks', 'tv' or 'missing'."""
    floor: float
    """The smallest effect that counts."""
    rows: tuple[int, int]
    """Rows of the reference and of the current side, missing ones included."""
    missing: tuple[int, int]
    """How many of them have no value."""
    parts: dict[str, float]
    """p-value by sub-test."""


def judge(
    pairs: Iterable[ColumnPair], *, alpha: float = 0.05, effect: float = REPORT_FLOOR, min_rows: int = REPORT_ROWS
) -> list[ColumnVerdict]:
    """The verdict on each column, in the order given; together they err in at most `alpha` of equal tables.

    Of an iterator each pair is looked at and let go before the next is asked for.

    Rows are taken to be drawn independently of each other. Where they are not (hours of a day that share its weather),
    `windows.py` compares windows with windows.

    Raises:
        Invalid: when a kind, a form, `alpha` or `effect` is none, or counts are not over the same bins.
    """
    _check(alpha, effect)
    tables = [table_of(pair.name, pair.kind, pair.form, pair.reference, pair.current, pair.missing) for pair in pairs]
    parts = [_parts(table, min_rows) for table in tables]
    raw = [
        cauchy(found, WEIGHTS[table.kind]) if found or min(table.values) >= min_rows else None
        for table, found in zip(tables, parts, strict=True)
    ]
    adjusted = holm(raw)
    return [
        _verdict(table, found, one, together, alpha, effect, min_rows)
        for table, found, one, together in zip(tables, parts, raw, adjusted, strict=True)
    ]


def _check(alpha: float, effect: float) -> None:
    if not 0 < alpha < 1:
        raise Invalid(f"alpha is {alpha}", field="alpha", next_step="give a share of false alarms, such as 0.05")
    if not 0 <= effect < 1:
        raise Invalid(f"effect is {effect}", field="effect", next_step="give a floor from 0 to below 1, such as 0.02")


def _parts(table: Table, min_rows: int) -> dict[str, float]:
    """p-value by sub-test, of those that can be made: a column of one value has no spread."""
    if min(table.rows) < min_rows:
        return {}
    found = subtests.missing(table)
    if min(table.values) >= min_rows:
        found |= subtests.numbers(table) if table.kind == "num" else subtests.categories(table)
    return found


def _verdict(
    table: Table,
    parts: dict[str, float],
    raw: float | None,
    together: float | None,
    alpha: float,
    floor: float,
    min_rows: int,
) -> ColumnVerdict:
    measure, size = table.effect(few=min_rows)
    enough = min(table.values) >= min_rows
    has_drifted = together is not None and together <= alpha and size is not None and size >= floor
    known = (
        together if enough or has_drifted else None
    )  # nothing but its nulls is known: equal nulls are not "no drift"
    return ColumnVerdict(
        name=table.name,
        kind=table.kind,
        status="drift" if has_drifted else "ok" if enough else "insufficient",
        drifted=has_drifted,
        p=known,
        p_raw=None if known is None else raw,
        effect=size,
        measure=measure,
        floor=floor,
        rows=table.rows,
        missing=table.missing,
        parts=parts,
    )
