"""Evaluating a challenger, and judging it by its gates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from homeostat.evaluation.gates import AtLeast, AtMost, BeatsChampion, Gate, NoSliceWorse
from homeostat.evaluation.metrics import (
    PRIMARY,
    Array,
    as_rows,
    check_metric,
    compute,
    unusable,
    value_of,
    why_undefined,
)
from homeostat.evaluation.paired import MIN_ROWS, Difference, paired_difference
from homeostat.evaluation.types import Evaluation, GateResult, SliceScore, Values
from homeostat.ground.errors import Invalid

SHOWN_SLICES = 50
"""Values of a column that an evaluation keeps, the largest first; gates look at all of them."""
SLICE_CONFIDENCE = 0.95

Slices = Mapping[str, Sequence[Any]]
"""Column to the value of each row."""


class _Rows(msgspec.Struct, frozen=True):
    """What a gate looks at. `trouble` says why no gate can pass; empty when one can."""

    task: str
    y: Array
    challenger: Array
    champion: Array | None
    slices: Slices
    trouble: str


def evaluate(
    task: str,
    y: ArrayLike,
    challenger_score: ArrayLike,
    *,
    champion_score: ArrayLike | None = None,
    baseline_score: float | None = None,
    slices: Slices | None = None,
    metrics: Sequence[str] | None = None,
) -> Evaluation:
    """Metrics of challenger, champion and trivial baseline on the same rows, and of each slice with 50 rows or more.

    `baseline_score` is the constant a trivial model answers: base rate or mean of the training labels.

    >>> evaluate("binary", [0, 1, 1], [0.2, 0.9, 0.6], baseline_score=0.5, metrics=["accuracy"]).challenger
    {'accuracy': 1.0}
    """
    rows = _rows(task, y, challenger_score, champion_score, slices or {})
    scores = {"challenger": rows.challenger, "champion": rows.champion}
    scores["baseline"] = None if baseline_score is None else np.full(len(rows.y), float(baseline_score))
    values = {who: None if s is None else compute(task, rows.y, s, metrics) for who, s in scores.items()}
    notes = {
        f"{who}.{metric}": reason
        for who, score in scores.items()
        if score is not None
        for metric, reason in why_undefined(task, rows.y, score, metrics).items()
    }
    return Evaluation(
        task=task,
        rows=len(rows.y),
        challenger=values["challenger"] or {},
        champion=values["champion"],
        baseline=values["baseline"],
        baseline_score=baseline_score,
        slices={column: _slice_scores(rows, column, metrics) for column in rows.slices},
        notes=notes,
    )


def judge(
    gates: Sequence[Gate],
    task: str,
    y: ArrayLike,
    challenger_score: ArrayLike,
    *,
    champion_score: ArrayLike | None = None,
    slices: Slices | None = None,
) -> list[GateResult]:
    """The verdict of every gate, in order. No rows, or a score that is NaN, passes no gate.

    Raises:
        Invalid: when a gate names a metric the task does not have.
    """
    rows = _rows(task, y, challenger_score, champion_score, slices or {})
    return [_judge(gate, rows) for gate in gates]


def check_gates(gates: Sequence[Gate], task: str) -> None:
    """See that every gate names a metric the task has: to be called when a model is declared.

    Raises:
        Invalid: naming the metric; the next step lists those the task has.
    """
    for gate in gates:
        check_metric(gate.metric or PRIMARY[task], task)


def _judge(gate: Gate, rows: _Rows) -> GateResult:
    metric = check_metric(gate.metric or PRIMARY[rows.task], rows.task)
    threshold = gate.by if isinstance(gate, BeatsChampion | NoSliceWorse) else gate.value
    if rows.trouble:
        return GateResult(gate=gate.text, passed=False, value=None, threshold=threshold, detail=rows.trouble)
    if isinstance(gate, AtLeast | AtMost):
        return _judge_level(gate, rows, value_of(metric, rows.y, rows.challenger))
    if rows.champion is None:
        return GateResult(gate=gate.text, passed=True, value=None, threshold=threshold, detail="no champion yet")
    return _judge_better(gate, rows) if isinstance(gate, BeatsChampion) else _judge_slices(gate, rows)


def _judge_level(gate: AtLeast | AtMost, rows: _Rows, value: float | None) -> GateResult:
    if value is None:
        reason = why_undefined(rows.task, rows.y, rows.challenger, [gate.metric])[gate.metric]
        return GateResult(gate=gate.text, passed=False, value=None, threshold=gate.value, detail=reason)
    passed = value >= gate.value if isinstance(gate, AtLeast) else value <= gate.value
    numbers = {"rows": float(len(rows.y))}
    return GateResult(gate=gate.text, passed=passed, value=value, threshold=gate.value, numbers=numbers)


def _judge_better(gate: BeatsChampion, rows: _Rows) -> GateResult:
    assert rows.champion is not None  # the caller looked
    metric = check_metric(gate.metric, rows.task)
    found = paired_difference(metric, rows.y, rows.challenger, rows.champion, confidence=gate.confidence)
    if isinstance(found, str):
        return GateResult(gate=gate.text, passed=False, value=None, threshold=gate.by, detail=found)
    enough = len(rows.y) >= MIN_ROWS
    detail = (
        f"challenger minus champion as a loss {found.value:+.4g}, at most {found.upper:+.4g} ({found.how})"
        if enough
        else f"{len(rows.y)} rows are too few, {MIN_ROWS} are needed"
    )
    numbers = _numbers(found, len(rows.y)) | {"confidence": gate.confidence}
    passed = enough and found.upper < -gate.by
    return GateResult(
        gate=gate.text, passed=passed, value=found.value, threshold=gate.by, detail=detail, numbers=numbers
    )


def _judge_slices(gate: NoSliceWorse, rows: _Rows) -> GateResult:
    if gate.column not in rows.slices:
        known = ", ".join(rows.slices) or "none"
        detail = f"there is no slice column {gate.column!r}; known: {known}"
        return GateResult(gate=gate.text, passed=False, value=None, threshold=gate.by, detail=detail)
    found = _slice_differences(gate, rows)
    if not found:
        detail = f"no slice has {MIN_ROWS} rows on which to compare"
        return GateResult(gate=gate.text, passed=True, value=None, threshold=gate.by, detail=detail)
    worst = max(found, key=lambda value: found[value].value)
    failed = [value for value, difference in found.items() if difference.lower > gate.by]
    numbers = {"slices": float(len(found)), "failed": float(len(failed)), **_bounds(found[worst])}
    named = ", ".join(f"{value} {found[value].value:+.4g}" for value in failed[:5]) or f"worst: {worst}"
    detail = f"{named}; {len(found)} slices compared"
    value = found[worst].value
    return GateResult(gate=gate.text, passed=not failed, value=value, threshold=gate.by, detail=detail, numbers=numbers)


def _slice_differences(gate: NoSliceWorse, rows: _Rows) -> dict[str, Difference]:
    assert rows.champion is not None  # the caller looked
    metric = check_metric(gate.metric or PRIMARY[rows.task], rows.task)
    parts = dict(_parts(rows.slices[gate.column]))
    # Bonferroni: many slices must not fail one model in twenty by chance alone.
    confidence = 1 - (1 - SLICE_CONFIDENCE) / max(len(parts), 1)
    found = {
        value: paired_difference(
            metric, rows.y[part], rows.challenger[part], rows.champion[part], confidence=confidence
        )
        for value, part in parts.items()
    }
    return {value: difference for value, difference in found.items() if isinstance(difference, Difference)}


def _slice_scores(rows: _Rows, column: str, metrics: Sequence[str] | None) -> dict[str, SliceScore]:
    def values(score: Array | None, part: np.ndarray) -> Values | None:
        return None if score is None else compute(rows.task, rows.y[part], score[part], metrics)

    largest = sorted(_parts(rows.slices[column]), key=lambda pair: -len(pair[1]))[:SHOWN_SLICES]
    return {
        value: SliceScore(len(part), values(rows.challenger, part) or {}, values(rows.champion, part))
        for value, part in largest
    }


def _parts(column: Sequence[Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of a column that has enough rows, as text, with the positions of its rows."""
    places: dict[str, list[int]] = {}
    for place, value in enumerate(column):
        places.setdefault("null" if value is None else str(value), []).append(place)
    return ((value, np.array(found)) for value, found in sorted(places.items()) if len(found) >= MIN_ROWS)


def _rows(
    task: str, y: ArrayLike, challenger_score: ArrayLike, champion_score: ArrayLike | None, slices: Slices
) -> _Rows:
    truth, challenger = as_rows(y, challenger_score)
    champion = None if champion_score is None else as_rows(y, champion_score)[1]
    if task == "binary" and not np.isin(truth, (0, 1)).all():
        raise Invalid("a binary label is neither 0 nor 1", field="y", next_step="give False and True, or 0 and 1")
    for column, values in slices.items():
        if len(values) != len(truth):
            raise Invalid(
                f"slice column {column!r} has {len(values)} values for {len(truth)} rows",
                field=column,
                next_step="give one value for each row",
            )
    return _Rows(task, truth, challenger, champion, slices, _trouble(task, challenger, champion))


def _trouble(task: str, challenger: Array, champion: Array | None) -> str:
    if not len(challenger):
        return "no labelled rows"
    broken = {"challenger": challenger} | ({} if champion is None else {"champion": champion})
    return "; ".join(f"{who}: {bad}" for who, score in broken.items() if (bad := unusable(task, score)))


def _numbers(found: Difference, rows: int) -> dict[str, float]:
    return {"rows": float(rows), **_bounds(found)}


def _bounds(found: Difference) -> dict[str, float]:
    return {"difference": found.value, "lower": found.lower, "upper": found.upper}
