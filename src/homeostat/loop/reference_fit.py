"""From rows that a model was trained or tried on to what its later rows are compared with: columns, bins, metrics.

However many rows there are, at most `MOST_ROWS` are held (fewer when they are wide): from then on every second, every
fourth, ... of them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.evaluation.metrics import compute, metrics_of
from homeostat.features.encoding import MOST_CATEGORIES, category_text
from homeostat.ground.errors import Invalid
from homeostat.ground.records import ColumnBins, FeatureColumn, InputColumn
from homeostat.loop.intake_files import Chunk
from homeostat.loop.intake_values import Bad, vector_of
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.truth import Truth

MOST_ROWS = 200_000
MOST_CELLS = 20_000_000
LEAST_ROWS = 2
MOST_IDENTITIES = 0.5
"""A text column with more different values than this share of its rows names things; every window has others."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What later rows are compared with."""

    inputs: tuple[InputColumn, ...]
    columns: tuple[FeatureColumn, ...]
    bins: tuple[ColumnBins, ...]
    metrics: dict[str, float | None]
    """What the model scored on these rows, when they have both a label and a score."""
    rows: int
    left_out: dict[str, str]
    """Columns that are not watched, and why."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of the rows are what."""

    score: str = "score"
    prediction: str = "prediction"
    label: str = "label"
    others: frozenset[str] = frozenset()
    """Columns that are no features: ids, times, keys."""


def fit_reference(
    chunks: Iterable[Chunk], *, task: str, truth: Truth, names: Names, features: Sequence[InputColumn] = ()
) -> Reference:
    """Fit reference bins to rows. Without `features` every column that is not something else is one.

    Raises:
        Invalid: when there are hardly any rows, a named feature is not there, or a value is not of its column's type.
    """
    held = _hold(chunks)
    if held.rows < LEAST_ROWS:
        raise Invalid(
            f"the reference has {held.rows} rows", field="reference", next_step="send rows like those it will answer"
        )
    chosen, left_out = _features(held, names, features)
    columns = tuple(_column(one, held) for one in chosen)
    if not columns:
        raise Invalid(
            "no column of the reference can be watched",
            field="reference",
            next_step="; ".join(f"{name}: {why}" for name, why in left_out.items())[:500] or "send features",
        )
    matrix = np.column_stack([_vector(column, one, held) for column, one in zip(columns, chosen, strict=True)])
    scores = _scores(held, names, truth)
    return Reference(
        inputs=chosen,
        columns=columns,
        bins=fit_bins(columns, matrix, scores),
        metrics=_metrics(held, names, truth, task, scores),
        rows=held.seen,
        left_out=left_out,
    )


class _Held:
    """Rows by column, thinned out evenly when there are too many."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.times: set[str] = set()
        self.skipped: dict[str, None] = {}
        self.is_text = False
        self.rows = 0
        self.seen = 0
        self._step = 1

    def add(self, chunk: Chunk) -> None:
        start = -self.seen % self._step
        count = len(range(start, len(chunk.places), self._step))
        for name in chunk.columns:  # in their order, so that the same reference gives the same version
            if name not in self.columns:
                self.columns[name] = [None] * self.rows
        for name, values in self.columns.items():
            given = chunk.columns.get(name)
            values.extend([None] * count if given is None else given[start :: self._step])
        self.times |= chunk.times
        self.skipped |= dict.fromkeys(chunk.skipped)
        self.is_text |= chunk.is_text
        self.rows += count
        self.seen += len(chunk.places)
        while self.rows > LEAST_ROWS and (self.rows > MOST_ROWS or self.rows * len(self.columns) > MOST_CELLS):
            self._step *= 2
            self.columns = {name: values[::2] for name, values in self.columns.items()}
            self.rows = len(range(0, self.rows, 2))


def _hold(chunks: Iterable[Chunk]) -> _Held:
    held = _Held()
    for chunk in chunks:
        if chunk.bad:
            bad = chunk.bad[0]
            raise Invalid(f"{bad.row}: {bad.error}", field=bad.field, next_step="mend the reference")
        held.add(chunk)
    return held


def _features(
    held: _Held, names: Names, features: Sequence[InputColumn]
) -> tuple[tuple[InputColumn, ...], dict[str, str]]:
    left_out = dict.fromkeys(held.skipped, "its type is none of numbers, texts, true and false")
    if features:
        missing = next((one.name for one in features if one.name not in held.columns), None)
        if missing is not None:
            raise Invalid(
                f"the reference has no column {missing!r:.80}",
                field=missing[:80],
                next_step=f"its columns are {', '.join(held.columns)}"[:500],
            )
        return tuple(one if one.dtype else _guessed(one.name, held)[0] for one in features), left_out
    taken = {names.score, names.prediction, names.label, *names.others}
    chosen = []
    for name in held.columns:
        if name in taken:
            continue
        column, why = _guessed(name, held)
        if why:
            left_out[name] = why
        else:
            chosen.append(column)
    return tuple(chosen), left_out


def _guessed(name: str, held: _Held) -> tuple[InputColumn, str]:
    """What a column is, by its values; and why it is better not watched."""
    values = [value for value in held.columns[name] if value is not None]
    kinds = {type(value) for value in values}
    if name in held.times:
        return InputColumn(name=name, dtype="time"), "a time moves on by itself"
    if not values:
        return InputColumn(name=name, dtype="number"), "it is empty"
    if kinds == {bool}:
        return InputColumn(name=name, dtype="boolean"), ""
    if kinds <= {int, float, bool} or (held.is_text and all(map(_is_number, values))):
        return InputColumn(name=name, dtype="number"), ""
    if kinds - {str, int, float, bool}:
        return InputColumn(name=name, dtype="string"), "it holds lists or objects"
    distinct = len({category_text(value) for value in values})
    if distinct > max(MOST_CATEGORIES, MOST_IDENTITIES * len(values)):
        return InputColumn(name=name, dtype="string"), f"{distinct} different texts in {len(values)} rows name things"
    return InputColumn(name=name, dtype="string"), ""


def _column(one: InputColumn, held: _Held) -> FeatureColumn:
    if one.dtype != "string":
        return FeatureColumn(name=one.name, kind="number")
    counts: dict[str, int] = {}
    for value in held.columns[one.name]:
        text = category_text(value) if isinstance(value, str | int | float) else None
        if text is not None:
            counts[text] = counts.get(text, 0) + 1
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
    return FeatureColumn(name=one.name, kind="category", categories=tuple(sorted(frequent)))


def _vector(column: FeatureColumn, one: InputColumn, held: _Held) -> NDArray[np.float64]:
    bad: Bad = {}
    found = vector_of(column, held.columns[one.name], is_text=held.is_text, is_time=one.dtype == "time", bad=bad)
    if bad:
        _row, (field, why) = next(iter(sorted(bad.items())))
        raise Invalid(f"column {field!r:.80}: {why}", field=field[:80], next_step="say its dtype, or mend it")
    return found


def _scores(held: _Held, names: Names, truth: Truth) -> NDArray[np.float64] | None:
    if names.score in held.columns:
        column = FeatureColumn(name=names.score, kind="number")
        return _vector(column, InputColumn(name=names.score, dtype="number"), held)
    if names.prediction in held.columns:
        return _read(held.columns[names.prediction], truth, names.prediction)
    return None


def _metrics(
    held: _Held, names: Names, truth: Truth, task: str, scores: NDArray[np.float64] | None
) -> dict[str, float | None]:
    if scores is None or names.label not in held.columns or task == "multiclass":
        return {}
    y = _read(held.columns[names.label], truth, names.label)
    known = np.isfinite(y) & np.isfinite(scores)
    if not known.any():
        return {}
    found = compute(task, y[known], scores[known], list(metrics_of(task)))
    return {name: value for name, value in found.items() if value is not None}


def _read(values: Sequence[Any], truth: Truth, name: str) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if value is None else truth.read(value) for value in values], dtype=np.float64)
    except Invalid as error:
        raise Invalid(f"column {name!r:.80}: {error.message}", field=name[:80], next_step=error.next_step) from error


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
