"""What a candidate is asked before it may serve: known rows, values on split points, gaps, infinities, unseen codes."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.ground.ports import Scorer
from homeostat.serving.compiling.artifact import Matrix, Refusals
from homeostat.serving.compiling.refused import CannotCompile
from homeostat.serving.compiling.report import Rows

MOST_ROWS = 2_000
MOST_COLUMNS = 2_000
MOST_TRIED = 50
"""Columns that are tried one by one."""
_SEED = 7
_LARGE = (1e39, -1e39)
"""Beyond float32, where half of all scorers do their sums."""

Flags = NDArray[np.bool_]
Thresholds = Sequence[tuple[int, float]]
"""Column and value."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are like those to come, and where they come from."""

    matrix: Any
    source: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Questions with the original's answers; where it raised, the answer is NaN and `raised` says so."""

    rows: Any
    answers: Any
    raised: Any
    counts: Rows


def ask(native: Scorer, reference: Reference, thresholds: Thresholds) -> tuple[Asked, Refusals]:
    """The original's answers to everything that a candidate will be asked, and what it refuses.

    Raises:
        CannotCompile: when it raises on the reference rows themselves.
    """
    base = _checked(native, reference)
    refusals = find_refusals(native, base[0])
    rng = np.random.default_rng(_SEED)
    groups = {
        "reference": base,
        "edges": _edges(base, thresholds, rng),
        "missing": _with_gaps(base, refusals, rng),
        "extremes": _extremes(base, rng),
    }
    answered = [_answers(native, rows) for rows in groups.values()]
    raised = np.concatenate([refused for _, refused in answered])
    width = next(answers.shape[1:] for answers, _ in answered)
    asked = Asked(
        rows=np.concatenate(list(groups.values())),
        answers=np.concatenate([answers.reshape(-1, *width) for answers, _ in answered]),
        raised=raised,
        counts=Rows(
            source=reference.source,
            refused=int(raised.sum()),
            **{name: len(rows) for name, rows in groups.items()},
        ),
    )
    return asked, refusals


def find_refusals(native: Scorer, row: Matrix) -> Refusals:
    """What the original raises on, column by column, seen by trying."""
    nan = _refused_columns(native, row, [np.nan])
    infinite = _refused_columns(native, row, [np.inf, -np.inf])
    large = set(_refused_columns(native, row, _LARGE))
    return Refusals(nan=tuple(nan), infinite=tuple(infinite), single=tuple(sorted(large)))


def answer_or_none(scorer: Scorer, rows: Matrix) -> Matrix | None:
    """The answers; None when it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(scorer.score(rows), np.float64)
    except Exception:  # noqa: BLE001  models raise what they like; that they do is the finding
        return None


def _checked(native: Scorer, reference: Reference) -> Matrix:
    base = np.ascontiguousarray(reference.matrix, np.float64)
    if not len(base):
        raise CannotCompile("there are no rows to compare with")
    if base.shape[1] > MOST_COLUMNS:
        raise CannotCompile(f"it takes {base.shape[1]:,} columns, more than {MOST_COLUMNS:,}")
    if len(base) > MOST_ROWS:
        chosen = np.random.default_rng(_SEED).choice(len(base), MOST_ROWS, replace=False)
        base = base[np.sort(chosen)]
    try:
        native.score(base)
    except Exception as error:
        raise CannotCompile(
            f"the original raises on the {reference.source} ({type(error).__name__}: {error!s:.200}), "
            "so nothing can be compared"
        ) from error
    return base


def _refused_columns(native: Scorer, row: Matrix, values: Iterable[float]) -> list[int]:
    """Columns in which any of the values makes the original raise; one call when it takes them all."""
    refused: set[int] = set()
    for value in values:
        if answer_or_none(native, np.full((1, len(row)), value)) is None:
            refused |= _refusing(native, row, value)
    return sorted(refused)


def _refusing(native: Scorer, row: Matrix, value: float) -> set[int]:
    order = np.random.default_rng(_SEED).permutation(len(row)).tolist()
    refused: set[int] = set()
    for tried, column in enumerate(order, start=1):
        changed = row.copy()
        changed[column] = value
        if answer_or_none(native, changed[None, :]) is None:
            refused.add(column)
        if tried == len(refused) == MOST_TRIED:  # all of so many: it looks at the matrix, not at columns
            return set(order)
    return refused


def _answers(native: Scorer, rows: Matrix) -> tuple[Matrix, Flags]:
    """All at once, or one by one when some of them are refused."""
    whole = answer_or_none(native, rows)
    if whole is not None:
        return whole, np.zeros(len(rows), np.bool_)
    each = [answer_or_none(native, row[None, :]) for row in rows]
    shape = next((one.shape[1:] for one in each if one is not None), ())
    answers = np.stack([np.full(shape, np.nan) if one is None else one[0] for one in each])
    return answers, np.array([one is None for one in each])


def _edges(base: Matrix, thresholds: Thresholds, rng: np.random.Generator) -> Matrix:
    """A row before, on and behind a threshold, for as many thresholds as there is room for."""
    found = list(thresholds) or _neighbours(base)
    if not found:
        return base[:0]
    chosen = rng.permutation(len(found))[: MOST_ROWS // 3]
    rows = np.repeat(base[rng.integers(0, len(base), len(chosen))], 3, axis=0)
    for place, number in enumerate(chosen):
        column, value = found[number]
        rows[3 * place : 3 * place + 3, column] = np.nextafter(value, -np.inf), value, np.nextafter(value, np.inf)
    return rows


def _neighbours(base: Matrix) -> list[tuple[int, float]]:
    """Where trees split: at values, and in the middle between two of them."""
    found: list[tuple[int, float]] = []
    for column in range(base.shape[1]):
        known = np.unique(base[np.isfinite(base[:, column]), column])
        if len(known):
            middles = (known[1:] + known[:-1]) / 2
            found += [(column, float(value)) for value in np.concatenate([known, middles])]
    return found


def _with_gaps(base: Matrix, refusals: Refusals, rng: np.random.Generator) -> Matrix:
    """Each column taken away by itself, then several at once; refused ones, too: a candidate has to refuse them."""
    columns = base.shape[1]
    taken = rng.permutation(columns)[:MOST_TRIED]
    alone = base[rng.integers(0, len(base), len(taken))].copy()
    alone[np.arange(len(taken)), taken] = np.nan
    several = base[rng.integers(0, len(base), min(200, 10 * columns))].copy()
    open_to_gaps = np.ones(columns, np.bool_)
    open_to_gaps[list(refusals.nan)] = False
    several[(rng.random(several.shape) < 0.3) & open_to_gaps] = np.nan
    return np.concatenate([alone, several])


def _extremes(base: Matrix, rng: np.random.Generator) -> Matrix:
    """Infinities and numbers beyond float32 in each column; codes nobody has seen where all values are whole."""
    rows = []
    for column in rng.permutation(base.shape[1])[:MOST_TRIED]:
        row = base[column % len(base)]
        known = base[np.isfinite(base[:, column]), column]
        values = [np.inf, -np.inf, *_LARGE]
        if len(known) and (known == np.floor(known)).all() and np.abs(known).max() < 1e6:
            top = float(known.max())
            values += [-1.0, top + 1, top + 0.5, 255.0, 256.0, 1000.0]
        for value in values:
            changed = row.copy()
            changed[column] = value
            rows.append(changed)
    return np.array(rows).reshape(-1, base.shape[1])
