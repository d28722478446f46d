"""The words by which a model declares what a version must be: `gate=[at_least("roc_auc", 0.62), ...]`.

Light: declaring needs neither numpy nor a database. `judge` gives the verdicts.
"""

import math

import msgspec

from homeostat.ground.errors import Invalid


class AtLeast(msgspec.Struct, frozen=True, tag="at_least"):
    """The challenger's metric is `value` or more."""

    metric: str
    value: float

    def __post_init__(self) -> None:
        _check_finite("value", self.value)

    @property
    def text(self) -> str:
        return f"{self.metric} >= {self.value:g}"


class AtMost(msgspec.Struct, frozen=True, tag="at_most"):
    """The challenger's metric is `value` or less."""

    metric: str
    value: float

    def __post_init__(self) -> None:
        _check_finite("value", self.value)

    @property
    def text(self) -> str:
        return f"{self.metric} <= {self.value:g}"


class BeatsChampion(msgspec.Struct, frozen=True, tag="beats_champion"):
    """The challenger is better than the champion by more than `by`, beyond doubt at the stated confidence."""

    metric: str
    by: float = 0.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _check_margin(self.by)
        if not 0.5 <= self.confidence < 1:
            raise Invalid(
                f"confidence is {self.confidence!r}",
                field="confidence",
                next_step="use 0.5 up to (not) 1, such as 0.95",
            )

    @property
    def text(self) -> str:
        margin = f" by more than {self.by:g}" if self.by else ""
        return f"{self.metric} beats the champion{margin} ({self.confidence:.0%})"


class NoSliceWorse(msgspec.Struct, frozen=True, tag="no_slice_worse"):
    """In no slice of `column` is the challenger worse than the champion by more than `by`, beyond doubt."""

    column: str
    by: float
    metric: str | None = None
    """None: the task's own loss, log_loss or rmse."""

    def __post_init__(self) -> None:
        _check_margin(self.by)

    @property
    def text(self) -> str:
        return f"no slice of {self.column} worse by more than {self.by:g}" + (
            f" in {self.metric}" if self.metric else ""
        )


Gate = AtLeast | AtMost | BeatsChampion | NoSliceWorse


def at_least(metric: str, value: float) -> AtLeast:
    """The challenger's metric must be `value` or more.

    >>> at_least("roc_auc", 0.62).text
    'roc_auc >= 0.62'
    """
    return AtLeast(metric, value)


def at_most(metric: str, value: float) -> AtMost:
    """The challenger's metric must be `value` or less.

    >>> at_most("log_loss", 0.5).text
    'log_loss <= 0.5'
    """
    return AtMost(metric, value)


def beats_champion(metric: str, by: float = 0.0, confidence: float = 0.95) -> BeatsChampion:
    """The challenger must be better than the champion on the same rows by more than `by` (in the metric's own unit).

    >>> beats_champion("log_loss").text
    'log_loss beats the champion (95%)'
    """
    return BeatsChampion(metric, by, confidence)


def no_slice_worse(column: str, by: float, metric: str | None = None) -> NoSliceWorse:
    """In no slice of a column may the challenger be worse than the champion by more than `by`.

    >>> no_slice_worse("origin", by=0.03).text
    'no slice of origin worse by more than 0.03'
    """
    return NoSliceWorse(column, by, metric)


def _check_finite(field: str, value: float) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(f"{field} is {value!r}, not a number", field=field, next_step="give a number")


def _check_margin(by: float) -> None:
    _check_finite("by", by)
    if by < 0:
        raise Invalid(f"by is {by!r}", field="by", next_step="use 0 or more")
