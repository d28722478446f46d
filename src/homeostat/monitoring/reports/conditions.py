"""Conditions on a metric's value: `MissingValueCount(column="x", tests=[lt(5)])`, and their verdicts."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid

_WORDS = {
    "lt": "less than",
    "lte": "at most",
    "gt": "greater than",
    "gte": "at least",
    "eq": "equal to",
    "not_eq": "not equal to",
    "in": "one of",
    "not_in": "none of",
    "between": "between",
}


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The metric's value on the reference, give or take: lt(Reference(relative=0.1)) is at most 10 % above it."""

    relative: float | None = None
    absolute: float | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a value has to be; made by `lt`, `gt`, `between`, ..."""

    op: str
    bound: Any
    is_critical: bool = True
    """Whether a failure is a FAIL, or a WARNING."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict: what was looked at, what was wanted, and whether it held."""

    op: str
    name: str
    description: str
    status: str
    """'SUCCESS', 'FAIL', 'WARNING', 'SKIPPED' (too little data to say) or 'ERROR'."""
    metric: str
    """The metric's name, as in `MetricResult.name`."""
    params: dict[str, Any] = {}
    value: Any = None
    bound: Any = None


def lt(bound: float | Reference, *, is_critical: bool = True) -> Condition:
    """The value is less than `bound`."""
    return Condition(op="lt", bound=bound, is_critical=is_critical)


def lte(bound: float | Reference, *, is_critical: bool = True) -> Condition:
    """The value is at most `bound`."""
    return Condition(op="lte", bound=bound, is_critical=is_critical)


def gt(bound: float | Reference, *, is_critical: bool = True) -> Condition:
    """The value is greater than `bound`."""
    return Condition(op="gt", bound=bound, is_critical=is_critical)


def gte(bound: float | Reference, *, is_critical: bool = True) -> Condition:
    """The value is at least `bound`."""
    return Condition(op="gte", bound=bound, is_critical=is_critical)


def eq(bound: Any, *, is_critical: bool = True) -> Condition:
    """The value is `bound`; with a `Reference`, no farther from the reference's value than it allows."""
    return Condition(op="eq", bound=bound, is_critical=is_critical)


def not_eq(bound: Any, *, is_critical: bool = True) -> Condition:
    """The value is not `bound`."""
    return Condition(op="not_eq", bound=bound, is_critical=is_critical)


def between(low: float, high: float, *, is_critical: bool = True) -> Condition:
    """The value is at least `low` and at most `high`."""
    if low > high:
        raise Invalid(f"between({low}, {high}) holds for nothing", field="tests", next_step="give the lower one first")
    return Condition(op="between", bound=(low, high), is_critical=is_critical)


def is_in(values: Sequence[Any], *, is_critical: bool = True) -> Condition:
    """The value is one of `values`."""
    return Condition(op="in", bound=tuple(values), is_critical=is_critical)


def not_in(values: Sequence[Any], *, is_critical: bool = True) -> Condition:
    """The value is none of `values`."""
    return Condition(op="not_in", bound=tuple(values), is_critical=is_critical)


def check(
    condition: Condition,
    value: Any,
    *,
    metric: str,
    what: str,
    reference: float | None = None,
    params: dict[str, Any] | None = None,
) -> Check:
    """The verdict on a value. None (too little data) is skipped, which is no success.

    >>> check(lt(5), 3.0, metric="MissingValueCount(column=x)", what="missing values of x").status
    'SUCCESS'
    """
    bound, text = _resolve(condition, reference)
    if value is None or bound is None:
        missing = "there is no value to compare" if value is None else "there is no reference to compare with"
        status, description = "SKIPPED", f"{what}: {missing}"
    else:
        held = _holds(condition.op, value, bound)
        status = "SUCCESS" if held else ("FAIL" if condition.is_critical else "WARNING")
        description = f"{what} is {_short(value)}, wanted {text}"
    return Check(
        op=condition.op,
        name=f"{what}: {text}",
        description=description,
        status=status,
        metric=metric,
        params=params or {},
        value=value,
        bound=bound,
    )


def _resolve(condition: Condition, reference: float | None) -> tuple[Any, str]:
    bound = condition.bound
    if isinstance(bound, Reference):
        if reference is None:
            return None, f"{_WORDS[condition.op]} the reference"
        slack = bound.absolute or 0.0
        slack += abs(reference) * (bound.relative or 0.0)
        if condition.op in {"eq", "not_eq"}:
            bound = (reference - slack, reference + slack)
            return bound, f"{'within' if condition.op == 'eq' else 'outside'} {_short(bound[0])} and {_short(bound[1])}"
        bound = reference + slack if condition.op in {"lt", "lte"} else reference - slack
    if condition.op == "between":
        return bound, f"between {_short(bound[0])} and {_short(bound[1])}"
    return bound, f"{_WORDS[condition.op]} {_short(bound)}"


def _holds(op: str, value: Any, bound: Any) -> bool:
    match op:
        case "lt":
            return bool(value < bound)
        case "lte":
            return bool(value <= bound)
        case "gt":
            return bool(value > bound)
        case "gte":
            return bool(value >= bound)
        case "between":
            return bool(bound[0] <= value <= bound[1])
        case "in":
            return value in bound
        case "not_in":
            return value not in bound
        case _:
            same = bound[0] <= value <= bound[1] if isinstance(bound, tuple) else value == bound
            return bool(same) if op == "eq" else not same


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
