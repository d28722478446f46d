"""Running on-demand functions: one code path for a million training rows and for one request row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from homeostat.features.compiled import OnDemandPlan
from homeostat.ground.clock import to_datetime
from homeostat.ground.errors import UserCodeFailed


def run_functions(
    plans: Sequence[OnDemandPlan], columns: Mapping[str, Sequence[Any]], *, rows: int
) -> dict[str, list[Any]]:
    """Every output of every function by feature name; times in `columns` are microseconds, missing is None.

    Raises:
        UserCodeFailed: naming the function and its inputs, when it raises or returns something else than declared.
    """
    answers: dict[str, list[Any]] = {}
    for plan in plans:
        inputs = [answers[name] if name in answers else columns[name] for name in plan.inputs]
        seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        results = []
        for given in zip(*inputs, strict=True) if inputs else [()] * rows:
            # True, 1 and 1.0 are equal as dict keys but not as inputs; a column holds one type, so they never meet.
            result = seen.get(given)
            if result is None:
                result = seen[given] = call_once(plan, given)
            results.append(result)
        for position, feature in enumerate(plan.features):
            answers[feature] = [result[position] for result in results]
    return answers


def call_once(plan: OnDemandPlan, given: Sequence[Any]) -> tuple[Any, ...]:
    """One row's outputs, in the order of `plan.outputs`."""
    answer = call_function(plan, given)
    if answer.keys() != set(plan.outputs):
        raise _failed(plan, given, f"returned {', '.join(sorted(map(str, answer)))}, not {', '.join(plan.outputs)}")
    return tuple(_checked(plan, given, answer[output]) for output in plan.outputs)


def call_function(plan: OnDemandPlan, given: Sequence[Any]) -> dict[str, Any]:
    """The dict the user's function returns for one row."""
    values = [
        to_datetime(value) if is_time and value is not None else value
        for value, is_time in zip(given, plan.times, strict=True)
    ]
    try:
        answer = plan.call.function(*values)
    except Exception as error:
        raise _failed(plan, values, f"raised {type(error).__name__}: {error}") from error
    if not isinstance(answer, dict):
        raise _failed(plan, values, f"returned {type(answer).__name__}, not a dict")
    return answer


def _checked(plan: OnDemandPlan, given: Sequence[Any], value: Any) -> Any:
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, (bool, int, str)):
        return value
    raise _failed(plan, given, f"returned {value!r}, not a number, text, boolean or None")


def _failed(plan: OnDemandPlan, given: Sequence[Any], what: str) -> UserCodeFailed:
    shown = ", ".join(f"{name}={value!r}" for name, value in zip(plan.inputs, given, strict=True))
    return UserCodeFailed(
        f"on-demand function {plan.name} {what} for {shown}",
        field=plan.name,
        next_step="mend the function; a missing value comes as None",
    )
