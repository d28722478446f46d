"""Which columns have drifted between two frames: by the calibrated decision, or by a test that was named.

Columns are looked at one after the other, and their rows let go again: memory holds two columns, not two frames.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import polars as pl

from homeostat.ground.errors import Invalid
from homeostat.monitoring.calibrated.columns import REPORT_FLOOR, REPORT_ROWS, ColumnPair, ColumnVerdict, judge
from homeostat.monitoring.calibrated.subtests import share
from homeostat.monitoring.reports.data import CATEGORY, NUMBER, TEXT, TIME, Compared, Frame
from homeostat.monitoring.reports.drift_shape import Shape, shape_of
from homeostat.monitoring.reports.univariate.custom import Method, custom_test
from homeostat.monitoring.reports.univariate.pair import Pair
from homeostat.monitoring.reports.univariate.tests import Spec, default_test, test_named
from homeostat.monitoring.reports.univariate.texts import content

CALIBRATED, EVIDENTLY = "calibrated", "evidently"
CALIBRATED_TITLE = "calibrated p_value"
SCHEMA_TITLE = "columns and types"
COMPARED = (NUMBER, CATEGORY, TEXT)
"""Kinds of which drift can be told, in the order in which they are."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How columns are to be judged, as a user wrote it."""

    columns: tuple[str, ...] | None = None
    methods: Mapping[str, Any] = {}
    """Test by kind ('num', 'cat', 'text'), where one was named for all columns of a kind; see `Method`."""
    thresholds: Mapping[str, float | None] = {}
    column_methods: Mapping[str, Any] = {}
    column_thresholds: Mapping[str, float] = {}
    mode: str = CALIBRATED
    alpha: float = 0.05
    effect: float = REPORT_FLOOR

    def method(self, column: str, kind: str) -> Method | None:
        """The test that was named for a column, or None."""
        found: Method | None = self.column_methods.get(column, self.methods.get(kind))
        return found

    def threshold(self, column: str, kind: str) -> float | None:
        """The limit that was given for a column, or None."""
        return self.column_thresholds.get(column, self.thresholds.get(kind))


class ColumnResult(NamedTuple):
    """What was found on one column. `score` is a p-value or a distance, None where nothing can be said."""

    name: str
    kind: str
    title: str
    """The test's name for people."""
    threshold: float | None
    score: float | None
    drifted: bool
    shape: Shape | None = None
    """None when the column cannot be compared."""
    verdict: ColumnVerdict | None = None
    """The calibrated decision, where it was that."""
    note: str = ""
    method: str | None = None
    """The test as the user named it."""
    given_threshold: float | None = None
    words: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Of a text: words that are typical for the reference, and for the current rows."""

    @property
    def is_known(self) -> bool:
        """Whether anything can be said."""
        return self.score is not None or self.drifted


class _Task(NamedTuple):
    """One column that is to be compared: what it is, and what it is to be judged by."""

    name: str
    kind: str
    method: Method | None


def compare_columns(data: Compared, choice: Choice, *, kinds: Mapping[str, str]) -> list[ColumnResult]:
    """The verdict on each column that is to be looked at: as they were named, else numbers, categories, then texts."""
    reference = data.needs_reference("drift")
    tasks = [_Task(name, kinds[name], choice.method(name, kinds[name])) for name in _names(data, choice, kinds)]
    for task in tasks:
        if isinstance(task.method, str):
            test_named(task.method, task.kind)  # a wrong name is said before any work
    found: dict[str, ColumnResult] = {}
    kept: dict[str, tuple[str, Shape]] = {}
    retyped: dict[str, str] = {}
    texts = [task.name for task in tasks if task.kind == TEXT and task.method is None]

    def judged_together() -> Iterator[ColumnPair]:
        for task in tasks:
            reason = _incomparable(data, reference, task)
            if reason:
                found[task.name] = ColumnResult(
                    task.name, task.kind, SCHEMA_TITLE, None, None, drifted=True, note=reason
                )
                continue
            pair = Pair(reference.column(task.name), data.current.column(task.name), kind=task.kind)
            retyped[task.name] = _retyped(pair)
            if task.method is not None or choice.mode == EVIDENTLY:
                found[task.name] = _tested(pair, task, choice)
            elif task.kind == TEXT:
                found[task.name] = _text(pair, choice, len(tasks))
            else:
                kept[task.name] = (task.kind, shape_of(pair))
                yield _calibrated(pair)

    part = (len(tasks) - len(texts)) / max(len(tasks), 1)
    verdicts = judge(judged_together(), alpha=choice.alpha * (part or 1.0), effect=choice.effect)
    for verdict in verdicts:
        kind, shape = kept[verdict.name]
        found[verdict.name] = _of_verdict(verdict, kind, shape, choice, part)
    return [_with_note(found[task.name], retyped.get(task.name, "")) for task in tasks]


def left_out(data: Compared, choice: Choice) -> tuple[str, ...]:
    """What a drift preset does not look at, in words."""
    reference = data.needs_reference("drift")
    if choice.columns is not None:
        return ()
    notes = []
    if new := [name for name in data.current.columns if name not in reference.columns]:
        notes.append(f"columns that only the current data have: {_some(new)}")
    if found := [name for name, its in data.kinds.items() if its == TIME and name in reference.columns]:
        notes.append(f"columns of times are not compared here: {_some(found)}")
    if data.definition.embeddings:
        notes.append(f"embeddings are compared dimension by dimension here: {_some(list(data.definition.embeddings))}")
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _names(data: Compared, choice: Choice, kinds: Mapping[str, str]) -> list[str]:
    reference = data.needs_reference("drift")
    if choice.columns is None:
        apart = {data.definition.id_column, data.definition.timestamp}
        there = [name for name in reference.columns if name not in apart]
        return [name for kind in COMPARED for name in there if kinds[name] == kind]
    for name in choice.columns:
        if name not in reference.columns:
            reference.column(name)  # says what there is
        if kinds[name] not in COMPARED:
            raise Invalid(
                f"{name!r} is a {kinds[name]} column, and drift is told of numbers, categories and texts",
                field=name,
                next_step="name it in numerical_columns or categorical_columns of a DataDefinition, or leave it out",
            )
    return list(choice.columns)


def _incomparable(data: Compared, reference: Frame, task: _Task) -> str:
    """What keeps a column from being compared, in words; nothing when it can be."""
    if task.name not in data.current.columns:
        return "the current data do not have this column"
    if task.kind == NUMBER:
        for frame, which in ((reference, "reference"), (data.current, "current")):
            dtype = frame.dtype(task.name)
            if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null, pl.Duration)):
                return f"the {which} data hold {dtype} where numbers are expected"
    return ""


def _retyped(pair: Pair) -> str:
    """What is to be said of a category that holds texts on one side and something else on the other."""
    first, second = (side.dtype for side in pair.series)
    texts = (pl.String, pl.Categorical, pl.Enum, pl.Null)
    if pair.kind == NUMBER or (first in texts) == (second in texts):
        return ""
    return f"the reference holds {first} and the current data {second}: compared as they print"


def _with_note(result: ColumnResult, note: str) -> ColumnResult:
    return result._replace(note="; ".join(filter(None, (result.note, note))))


def _broken(task: _Task, reason: str) -> ColumnResult:
    """A column that is gone or has become something else has drifted."""
    return ColumnResult(task.name, task.kind, SCHEMA_TITLE, None, None, drifted=True, note=reason)


def _tested(pair: Pair, task: _Task, choice: Choice) -> ColumnResult:
    """By the test that was named, or the one that Evidently takes."""
    spec = _spec(pair, task.method)
    given = choice.threshold(pair.name, pair.kind)
    threshold = spec.threshold if given is None else given
    score, drifted, note = None, False, ""
    if not all(pair.sizes):
        note = _too_few(pair.sizes, 1)
    else:
        score, drifted = spec.verdict(pair, threshold, quirky=choice.mode == EVIDENTLY)
        if score is None:
            note = f"{spec.name} is not defined on these values" + (f": it needs {spec.needs}" if spec.needs else "")
    return ColumnResult(
        pair.name,
        pair.kind,
        spec.title,
        threshold,
        score,
        drifted=drifted,
        shape=shape_of(pair),
        note=note,
        method=None if task.method is None else spec.name,
        given_threshold=given,
    )


def _spec(pair: Pair, method: Method | None) -> Spec:
    if method is None:
        return default_test(pair)
    return test_named(method, pair.kind) if isinstance(method, str) else custom_test(method, pair.kind)


def _too_few(sizes: tuple[int, int], wanted: int) -> str:
    return f"too few values to say: {sizes[0]} against {sizes[1]}, wanted {wanted} on each side"


# The calibrated decision ---------------------------------------------------------------------------------------------


def _calibrated(pair: Pair) -> ColumnPair:
    """The column as `judge` takes it; infinities count as missing."""
    then, now = pair.sides
    missing = then.rows - pair.sizes[0], now.rows - pair.sizes[1]
    if pair.kind == NUMBER:
        return ColumnPair(pair.name, "num", *pair.numbers, form="sorted", missing=missing)
    return ColumnPair(pair.name, "cat", *pair.counts(), form="counts", missing=missing)


def _of_verdict(verdict: ColumnVerdict, kind: str, shape: Shape, choice: Choice, part: float) -> ColumnResult:
    """The result of a column that `judge` has looked at; texts have had their part of alpha, hence `part`."""
    sizes = verdict.rows[0] - verdict.missing[0], verdict.rows[1] - verdict.missing[1]
    return ColumnResult(
        verdict.name,
        kind,
        CALIBRATED_TITLE,
        choice.alpha,
        None if verdict.p is None else min(1.0, verdict.p / part),
        drifted=verdict.drifted,
        shape=shape,
        verdict=verdict,
        note=_too_few(sizes, REPORT_ROWS) if verdict.status == "insufficient" else "",
    )


def _text(pair: Pair, choice: Choice, columns: int) -> ColumnResult:
    """Whether texts have other words, or are missing more often; each text column has its equal part of alpha."""
    head = (pair.name, pair.kind, CALIBRATED_TITLE, choice.alpha)
    shape = shape_of(pair)
    found = content(pair) if min(pair.sizes) >= REPORT_ROWS else None
    if found is None:
        note = _too_few(pair.sizes, REPORT_ROWS) if min(pair.sizes) < REPORT_ROWS else "the texts hold no words"
        return ColumnResult(*head, None, drifted=False, shape=shape, note=note)
    rows = pair.sides[0].rows, pair.sides[1].rows
    gone = rows[0] - pair.sizes[0], rows[1] - pair.sizes[1]
    parts = {"words": found.p}
    if 0 < sum(gone) < sum(rows):
        parts["missing"] = share(gone[0], pair.sizes[0], gone[1], pair.sizes[1])
    raw = min(1.0, min(parts.values()) * len(parts))
    p = min(1.0, raw * columns)
    by_words, by_missing = max(2 * found.auc - 1, 0.0), abs(gone[1] / rows[1] - gone[0] / rows[0])
    effect, measure = max((by_words, "words"), (by_missing, "missing"))
    drifted = p <= choice.alpha and effect >= choice.effect
    verdict = ColumnVerdict(
        name=pair.name,
        kind=TEXT,
        status="drift" if drifted else "ok",
        drifted=drifted,
        p=p,
        p_raw=raw,
        effect=effect,
        measure=measure,
        floor=choice.effect,
        rows=rows,
        missing=gone,
        parts=parts,
    )
    words = found.words if drifted else ((), ())
    return ColumnResult(*head, p, drifted=drifted, shape=shape, verdict=verdict, words=words)
