"""The nouns of evaluation."""

import msgspec

Values = dict[str, float | None]
"""Metric name to value; None where it is not defined (a single class, no rows)."""


class SliceScore(msgspec.Struct, frozen=True):
    """The metrics of the rows that share a value of a column."""

    rows: int
    challenger: Values
    champion: Values | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger is worth on one set of labelled rows, beside the champion and the trivial baseline."""

    task: str
    rows: int
    challenger: Values
    champion: Values | None
    """None while there is no champion."""
    baseline: Values | None
    """Metrics of always answering `baseline_score`."""
    baseline_score: float | None
    """The base rate (binary) or mean (regression) of the TRAINING labels."""
    slices: dict[str, dict[str, SliceScore]]
    """Column to value to scores; only values with enough rows, the largest first."""
    notes: dict[str, str]
    """`challenger.roc_auc` and the like: why a value is None."""


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """A gate's verdict with its numbers; a failed gate is a value, not an error."""

    gate: str
    """The gate as text: `roc_auc >= 0.62`."""
    passed: bool
    value: float | None
    """What was measured; None when it could not be."""
    threshold: float | None
    detail: str = ""
    numbers: dict[str, float] = {}

    def line(self) -> str:
        """One line for people.

        >>> GateResult(gate="roc_auc >= 0.62", passed=True, value=0.7012, threshold=0.62).line()
        'roc_auc >= 0.62: 0.701 passed'
        """
        value = "" if self.value is None else f" {self.value:.3g}" if abs(self.value) < 0.1 else f" {self.value:.3f}"
        verdict = "passed" if self.passed else "failed"
        return f"{self.gate}:{value} {verdict}" + (f" ({self.detail})" if self.detail else "")


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation as the catalogue keeps it, one for a run. `at` is microseconds UTC."""

    id: str
    run_id: str
    dataset: str | None
    evaluation: Evaluation
    gates: list[GateResult]
    at: int
