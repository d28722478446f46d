"""Which columns have drifted between two frames: by the calibrated decision, or by a test that was named."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated.columns import REPORT_FLOOR, REPORT_ROWS, ColumnPair, ColumnVerdict, judge
from homeostat.monitoring.reports.data import CATEGORY, NUMBER, TEXT, TIME, Compared, Frame
from homeostat.monitoring.reports.univariate.pair import Pair
from homeostat.monitoring.reports.univariate.tests import Spec, default_test, test_named

CALIBRATED, EVIDENTLY = "calibrated", "evidently"
CALIBRATED_TITLE = "calibrated p_value"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How columns are to be judged, as a user wrote it."""

    columns: tuple[str, ...] | None = None
    methods: Mapping[str, str | None] = {}
    """Test by kind ('num', 'cat'), where one was named for all columns of a kind."""
    thresholds: Mapping[str, float | None] = {}
    column_methods: Mapping[str, str] = {}
    column_thresholds: Mapping[str, float] = {}
    mode: str = CALIBRATED
    alpha: float = 0.05
    effect: float = REPORT_FLOOR

    def method(self, column: str, kind: str) -> str | None:
        return self.column_methods.get(column) or self.methods.get(kind)

    def threshold(self, column: str, kind: str) -> float | None:
        return self.column_thresholds.get(column, self.thresholds.get(kind))


class ColumnResult(NamedTuple):
    """What was found on one column. `score` is a p-value or a distance, None where nothing can be said."""

    name: str
    kind: str
    title: str
    threshold: float
    score: float | None
    drifted: bool
    pair: Pair | None
    verdict: ColumnVerdict | None = None
    note: str = ""

    @property
    def is_known(self) -> bool:
        return self.score is not None or self.drifted


def compare_columns(data: Compared, choice: Choice, *, kinds: Mapping[str, str]) -> list[ColumnResult]:
    """The verdict on each column that is to be looked at, in the reference's order."""
    reference = data.needs_reference("drift")
    names = _names(data, reference, choice, kinds)
    ready = [_ready(data, reference, name, kinds[name]) for name in names]
    judged = _judge([found for found in ready if isinstance(found, Pair)], choice)
    return [judged[found.name] if isinstance(found, Pair) else found for found in ready]


def left_out(data: Compared, choice: Choice) -> tuple[str, ...]:
    """What a drift preset does not look at, in words."""
    reference = data.needs_reference("drift")
    if choice.columns is not None:
        return ()
    notes = []
    if new := [name for name in data.current.columns if name not in reference.columns]:
        notes.append(f"columns that only the current data have: {_some(new)}")
    for kind, words in ((TEXT, "texts"), (TIME, "times")):
        if found := [name for name, its in data.kinds.items() if its == kind and name in reference.columns]:
            notes.append(f"columns of {words} are not compared here: {_some(found)}")
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _names(data: Compared, reference: Frame, choice: Choice, kinds: Mapping[str, str]) -> list[str]:
    if choice.columns is None:
        apart = {data.definition.id_column, data.definition.timestamp}
        return [name for name in reference.columns if name not in apart and kinds[name] in {NUMBER, CATEGORY}]
    for name in choice.columns:
        reference.column(name)
        if kinds[name] not in {NUMBER, CATEGORY}:
            raise Invalid(
                f"{name!r} is a {kinds[name]} column, and drift is told of numbers and categories",
                field=name,
                next_step="name it in numerical_columns or categorical_columns of a DataDefinition, or leave it out",
            )
    return list(choice.columns)


def _ready(data: Compared, reference: Frame, name: str, kind: str) -> Pair | ColumnResult:
    """The column's two sides, or what keeps it from being compared."""

    def broken(note: str) -> ColumnResult:
        return ColumnResult(name, kind, CALIBRATED_TITLE, 0.0, None, drifted=True, pair=None, note=note)

    if name not in data.current.columns:
        return broken("the current data do not have this column")
    then, now = reference.column(name), data.current.column(name)
    if kind == NUMBER:
        for series, which in ((then, "reference"), (now, "current")):
            if not _is_number_like(series):
                return broken(f"the {which} data hold {series.dtype} where numbers are expected")
    return Pair(then, now, kind=kind)


def _is_number_like(series: Any) -> bool:
    import polars as pl

    dtype = series.dtype
    return bool(dtype.is_numeric() or dtype in (pl.Boolean, pl.Null, pl.Duration))


def _judge(pairs: Sequence[Pair], choice: Choice) -> dict[str, ColumnResult]:
    found: dict[str, ColumnResult] = {}
    together = []
    for pair in pairs:
        method = choice.method(pair.name, pair.kind)
        if method is not None:
            found[pair.name] = _tested(pair, test_named(method, pair.kind), choice)
        elif choice.mode == EVIDENTLY:
            found[pair.name] = _by_default(pair, choice)
        else:
            together.append(pair)
    verdicts = judge([_calibrated(pair) for pair in together], alpha=choice.alpha, effect=choice.effect)
    for pair, verdict in zip(together, verdicts, strict=True):
        note = "" if verdict.status != "insufficient" else _too_few(pair, REPORT_ROWS)
        found[pair.name] = ColumnResult(
            pair.name,
            pair.kind,
            CALIBRATED_TITLE,
            choice.alpha,
            verdict.p,
            drifted=verdict.drifted,
            pair=pair,
            verdict=verdict,
            note=note,
        )
    return found


def _too_few(pair: Pair, wanted: int) -> str:
    return f"too few values to say: {pair.sizes[0]} against {pair.sizes[1]}, wanted {wanted} on each side"


def _by_default(pair: Pair, choice: Choice) -> ColumnResult:
    return _tested(pair, default_test(pair), choice)


def _tested(pair: Pair, spec: Spec, choice: Choice) -> ColumnResult:
    limit = choice.threshold(pair.name, pair.kind)
    threshold = spec.threshold if limit is None else limit
    head = (pair.name, pair.kind, spec.title, threshold)
    if not all(pair.sizes):
        return ColumnResult(*head, None, drifted=False, pair=pair, note=_too_few(pair, 1))
    score = (spec.quirky if choice.mode == EVIDENTLY else spec.right)(pair)
    if score is None or score != score:  # noqa: PLR0124  NaN
        return ColumnResult(*head, None, drifted=False, pair=pair, note=f"{spec.name} is not defined on these values")
    return ColumnResult(*head, score, drifted=spec.is_drift(score, threshold), pair=pair)


def _calibrated(pair: Pair) -> ColumnPair:
    then, now = pair.sides
    if pair.kind == NUMBER:
        reference, current = pair.numbers
        # What is left of a side's rows, such as texts among numbers, is missing too.
        missing = (then.rows - len(reference), now.rows - len(current))
        return ColumnPair(pair.name, "num", reference, current, form="sorted", missing=missing)
    _, counts_then, counts_now = pair.table
    missing = (then.missing, now.missing)
    return ColumnPair(pair.name, "cat", counts_then, counts_now, form="counts", missing=missing)


# Distributions -------------------------------------------------------------------------------------------------------


def small_distribution(values: npt.NDArray[np.float64], *, bins: int = 10) -> dict[str, list[float]]:
    """Ten bins of equal width over ascending values: edges `x` (11) and densities `y` (10), as numpy has."""
    if not len(values):
        return {"x": [], "y": []}
    density, edges = np.histogram(values, bins=bins, density=True)
    return {"x": edges.tolist(), "y": density.tolist()}


def common_edges(pair: Pair, *, bins: int = 24) -> npt.NDArray[np.float64]:
    """Edges over both sides; outliers (beyond the 0.5 % and 99.5 % quantiles of both) share the outermost bins."""
    ends = [np.quantile(values, [0.005, 0.995]) for values in pair.numbers if len(values)]
    if not ends:
        return np.array([0.0, 1.0])
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    if pair.is_integer and high - low < bins:
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
    edges: npt.NDArray[np.float64] = np.linspace(low, high, bins + 1)
    return edges


def shares_by_bin(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Share of ascending values by bin, those beyond the ends in the outermost bins."""
    if not len(values):
        return (0.0,) * (len(edges) - 1)
    inner = np.searchsorted(values, edges[1:-1], side="right")
    counts = np.diff(np.concatenate([[0], inner, [len(values)]]))
    return tuple(float(share) for share in np.round(counts / len(values), 5))
