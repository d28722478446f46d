"""Compiling on-demand functions: their order, their inputs, and what they return on sampled rows."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from homeostat.features.compiled import OnDemandPlan, ViewPlan
from homeostat.features.naming import Schema, check_column
from homeostat.features.offline import moments_of, plain, view_columns
from homeostat.features.ondemand import call_function
from homeostat.features.sources import load_source, request_frame
from homeostat.features.types import OnDemand, Source
from homeostat.ground.errors import Invalid, Refused, UserCodeFailed
from homeostat.ground.records import InputColumn

SAMPLE = 50
_STAND_IN = {"number": 1.0, "string": "", "boolean": True, "time": 0}


def in_order(functions: Sequence[OnDemand]) -> list[OnDemand]:
    """Functions so that each comes after those whose outputs it takes.

    Raises:
        Refused: when they need each other in a circle, naming the chain.
    """
    named = {function.name: function for function in functions}
    done: dict[str, OnDemand] = {}

    def visit(function: OnDemand, chain: tuple[str, ...]) -> None:
        if function.name in chain:
            names = [*chain[chain.index(function.name) :], function.name]
            raise Refused(
                f"on-demand functions need each other in a circle: {' -> '.join(names)}",
                field=function.name,
                next_step="compute one of them from the request alone",
            )
        for name in function.inputs:
            if (upstream := named.get(name.split(".")[0])) is not None and "." in name:
                visit(upstream, (*chain, function.name))
        done.setdefault(function.name, function)

    for function in functions:
        visit(function, ())
    return list(done.values())


def direct_inputs(function: OnDemand, request: Schema) -> list[str]:
    """The request columns a function takes."""
    return [name for name in function.inputs if name in request]


def plan_functions(
    functions: Sequence[OnDemand], *, examples: Source, request: Schema, views: Sequence[ViewPlan], root: Path
) -> tuple[tuple[OnDemandPlan, ...], dict[str, str]]:
    """The plans in order, and the type of every output by feature name.

    Each function is run on sampled examples to learn what it returns.

    Raises:
        Invalid: for an unknown input. Refused: for a circle. UserCodeFailed: when a function fails on every row.
    """
    ordered = in_order(functions)
    if not ordered:
        return (), {}
    types = dict(request) | _view_types(views)
    for function in ordered:
        _check_inputs(function, types, {other.name for other in ordered})
    sample = _sample(ordered, examples, request, views, root)
    plans: list[OnDemandPlan] = []
    outputs: dict[str, str] = {}
    for function in ordered:
        for name in function.inputs:
            check_column(name, types, where=f"on-demand function {function.name}", of="the feature list")
        plan = OnDemandPlan(
            name=function.name,
            call=function,
            inputs=function.inputs,
            times=tuple(types[name] == "time" for name in function.inputs),
            outputs=(),
        )
        answers = _answers(plan, list(zip(*(sample[name] for name in plan.inputs), strict=False)), types)
        kinds = _output_types(plan, [answer for answer in answers if answer is not None])
        plans.append(msgspec.structs.replace(plan, outputs=tuple(kinds)))
        for key, kind in kinds.items():
            feature = f"{plan.name}.{key}"
            outputs[feature] = types[feature] = kind
            sample[feature] = [None if answer is None else answer.get(key) for answer in answers]
    return tuple(plans), outputs


def _view_types(views: Sequence[ViewPlan]) -> dict[str, str]:
    types = {column.feature: column.dtype for view in views for column in view.columns}
    return types | {window.feature: "number" for view in views for window in view.windows}


def _check_inputs(function: OnDemand, types: Mapping[str, str], functions: Iterable[str]) -> None:
    known = [*types, *(f"{name}.…" for name in functions if name != function.name)]
    for name in function.inputs:
        if name not in types and name.split(".")[0] not in functions:
            check_column(
                name, dict.fromkeys(known, ""), where=f"on-demand function {function.name}", of="the feature list"
            )


def _sample(
    functions: Sequence[OnDemand], examples: Source, request: Schema, views: Sequence[ViewPlan], root: Path
) -> dict[str, list[Any]]:
    """Values of every input that is not another function's output, for some early examples."""
    needed = {name for function in functions for name in function.inputs}
    used = [view for view in views if needed & set(view.features)]
    columns = {name for name in needed if name in request} | {name for view in used for name in view.request}
    columns |= {examples.time} if examples.time else set()
    rows = (
        load_source(examples, root, None, columns=sorted(columns | set(examples.keys))).head(20 * SAMPLE).tail(SAMPLE)
    )
    frame = request_frame([InputColumn(name=name, dtype=request[name]) for name in sorted(columns)], rows)
    values = {name: list(plain(frame[name])) for name in frame.columns}
    moments = moments_of(rows, examples.time) if examples.time else pl.Series([0] * len(rows), dtype=pl.Int64)
    for view in used:
        values |= {name: list(plain(column)) for name, column in view_columns(view, frame, moments, root).items()}
    return values


def _answers(
    plan: OnDemandPlan, rows: Sequence[tuple[Any, ...]], types: Mapping[str, str]
) -> list[dict[str, Any] | None]:
    """What the function returned for each row, None where it could not take a missing value.

    A row without missing values must work; if there is none, one is made up from the types.
    """
    answers: list[dict[str, Any] | None] = []
    for row in rows or [()]:
        try:
            answers.append(call_function(plan, row))
        except UserCodeFailed:
            if None not in row:
                raise
            answers.append(None)
    if not any(answer is not None for answer in answers):
        answers.append(call_function(plan, [_STAND_IN[types[name]] for name in plan.inputs]))
    return answers


def _output_types(plan: OnDemandPlan, answers: Sequence[dict[str, Any]]) -> dict[str, str]:
    keys = list(answers[0])
    types: dict[str, str] = {}
    for key in keys:
        values = [answer.get(key) for answer in answers]
        types[key] = _type_of(plan, key, next((value for value in values if value is not None), None))
    for answer in answers:
        if answer.keys() != types.keys():
            raise Invalid(
                f"on-demand function {plan.name} returns {', '.join(map(str, answer))} for one row"
                f" and {', '.join(map(str, keys))} for another",
                field=plan.name,
                next_step="return the same keys every time, None for what is missing",
            )
    if not types:
        raise Invalid(
            f"on-demand function {plan.name} returns an empty dict",
            field=plan.name,
            next_step="return at least one feature",
        )
    return types


def _type_of(plan: OnDemandPlan, key: Any, value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(key, str) and (value is None or isinstance(value, (bool, int, float))):
        return "number"
    if isinstance(key, str) and isinstance(value, str):
        return "string"
    raise Refused(
        f"on-demand function {plan.name} returns {key!r}: {value!r}",
        field=plan.name,
        next_step="return numbers, texts or booleans under text keys",
    )
