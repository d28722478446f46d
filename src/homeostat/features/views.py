"""Compiling views: derived views are unrolled, names and lengths checked against the source's columns."""

from collections.abc import Mapping, Sequence

import msgspec

from homeostat.features.compiled import ViewColumn, ViewPlan, Window
from homeostat.features.naming import Schema, check_column, did_you_mean
from homeostat.features.types import Aggregate, BoundView, Source, View
from homeostat.ground.clock import SECOND, format_duration, parse_duration
from homeostat.ground.errors import Invalid, Refused

_NUMBERS = ("number", "boolean")


def chain_of(view: View, named: Mapping[str, View]) -> tuple[View, ...]:
    """A view and what it is derived from, down to the one that reads a source.

    Raises:
        Refused: when views are derived from each other in a circle, naming the chain.
        Invalid: when a base view is not known.
    """
    chain = [view]
    while not isinstance(base := chain[-1].source, Source):
        if isinstance(base, str):
            if base not in named:
                raise Invalid(
                    f"view {chain[-1].name}: there is no view {base!r}",
                    field=base,
                    next_step=f"{did_you_mean(base, named)} A base that is not a feature itself is passed as an object",
                )
            base = named[base]
        if base.name in [link.name for link in chain]:
            names = [link.name for link in chain[[link.name for link in chain].index(base.name) :]]
            raise Refused(
                f"views are derived from each other in a circle: {' -> '.join([*names, base.name])}",
                field=view.name,
                next_step="give one of them a source",
            )
        chain.append(base)
    return tuple(chain)


def source_of(chain: Sequence[View]) -> Source:
    """The source at the end of a chain."""
    source = chain[-1].source
    assert isinstance(source, Source)
    return source


def plan_view(bound: BoundView, chain: Sequence[View], *, schema: Schema, request: Schema) -> ViewPlan:
    """The plan of one view, bound to columns of the request.

    Raises:
        Invalid: naming the column, length or binding that is wrong.
    """
    *derived, base = chain
    plan = _plan_base(base, schema)
    for view in reversed(derived):
        plan = _narrow(plan, view)
    return _bind(plan, bound, schema=schema, request=request)


def _plan_base(view: View, schema: Schema) -> ViewPlan:
    source = source_of([view])
    key = source.keys if view.key is None else (view.key,) if isinstance(view.key, str) else tuple(view.key)
    for name in key:
        word = check_column(name, schema, where=f"view {view.name}", of=f"source {source.name}")
        if word == "time":
            raise Invalid(
                f"view {view.name}: key {name} is a time", field=name, next_step="use a number or a text as key"
            )
    plan = ViewPlan(name=view.name, source=source, key=key, request=key, ttl=_ttl(view, source))
    if view.aggregates:
        return _with_windows(plan, view, schema)
    if view.hop is not None:
        raise Invalid(f"view {view.name} has a hop but no aggregates", field="hop", next_step="add aggregates=[...]")
    return msgspec.structs.replace(plan, columns=_selected(view, schema, of=f"source {source.name}"))


def _ttl(view: View, source: Source | None) -> int | None:
    if view.ttl is None:
        return None
    if source is not None and source.time is None:
        raise Invalid(
            f"view {view.name} has a ttl but source {source.name} has no time",
            field="ttl",
            next_step="give the source time=, or leave the ttl out",
        )
    # 0 is "no limit" in other feature stores; here it would be a value that is gone as soon as it is there.
    return _positive(view.ttl, what=f"view {view.name}: ttl", field="ttl")


def _positive(text: str | int, *, what: str, field: str) -> int:
    try:
        length = parse_duration(text, field=field)
    except Invalid as error:
        raise Invalid(f"{what} {error.message}", field=field, next_step=error.next_step) from error
    if length <= 0:
        raise Invalid(f"{what} is {text!r}", field=field, next_step="write a length like '3h', or leave it out")
    return length


def _selected(view: View, schema: Schema, *, of: str) -> tuple[ViewColumn, ...]:
    if not view.select:
        raise Invalid(
            f"view {view.name} yields nothing",
            field="select",
            next_step="add select=[columns], or hop= and aggregates=[...]",
        )
    pairs = view.select.items() if isinstance(view.select, Mapping) else [(name, name) for name in view.select]
    return tuple(
        ViewColumn(f"{view.name}.{new}", column, check_column(column, schema, where=f"view {view.name}", of=of))
        for new, column in pairs
    )


def _with_windows(plan: ViewPlan, view: View, schema: Schema) -> ViewPlan:
    if plan.source.time is None:
        raise Invalid(
            f"view {view.name} has windows but source {plan.source.name} has no time",
            field="time",
            next_step="give the source time=",
        )
    for name, given in (("ttl", view.ttl), ("select", view.select)):
        if given is not None:
            raise Invalid(
                f"view {view.name} has both {name} and aggregates",
                field=name,
                next_step=f"windows have their own length; leave {name} out or make two views",
            )
    if view.hop is None:
        raise Invalid(
            f"view {view.name} has aggregates but no hop", field="hop", next_step="add hop=, for example '1h'"
        )
    hop = _positive(view.hop, what=f"view {view.name}: hop", field="hop")
    if hop < SECOND:
        raise Invalid(f"view {view.name}: hop {view.hop} is under a second", field="hop", next_step="use '1s' or more")
    windows = tuple(window for aggregate in view.aggregates for window in _windows(view, aggregate, hop, plan, schema))
    return msgspec.structs.replace(plan, hop=hop, windows=windows)


def _windows(view: View, aggregate: Aggregate, hop: int, plan: ViewPlan, schema: Schema) -> list[Window]:
    what = f"view {view.name}: {aggregate.function}"
    if aggregate.column is not None:
        word = check_column(aggregate.column, schema, where=f"view {view.name}", of=f"source {plan.source.name}")
        if word not in _NUMBERS:
            raise Invalid(
                f"{what} of {aggregate.column}, which holds {word}",
                field=aggregate.column,
                next_step="aggregate a number, or count rows",
            )
    if not aggregate.windows:
        raise Invalid(f"{what} has no window", field="window", next_step="add one or more, for example '7d'")
    windows = []
    for text in aggregate.windows:
        length = _positive(text, what=f"{what}: window", field="window")
        if length % hop:
            raise Invalid(
                f"{what}: window {text} is not a multiple of the hop {format_duration(hop)}",
                field="window",
                next_step=f"use {format_duration(length // hop * hop + hop)}, or a hop that divides it",
            )
        prefix = f"{aggregate.column}_" if aggregate.column is not None else ""
        name = f"{view.name}.{prefix}{aggregate.function}_{str(text).strip()}"
        windows.append(Window(name, aggregate.function, aggregate.column, length))
    return windows


def _narrow(plan: ViewPlan, view: View) -> ViewPlan:
    """A derived view: fewer columns and a shorter ttl of its base, under its own name."""
    for name, given in (("key", view.key), ("hop", view.hop), ("aggregates", view.aggregates)):
        if given:
            raise Invalid(
                f"view {view.name} is derived from view {plan.name} and cannot set {name}",
                field=name,
                next_step="give it the source instead of the view",
            )
    outputs = {feature.removeprefix(f"{plan.name}."): feature for feature in plan.features}
    pairs = view.select if isinstance(view.select, Mapping) else {name: name for name in view.select or outputs}
    renamed: dict[str, list[str]] = {}
    for new, old in pairs.items():
        check_column(old, dict.fromkeys(outputs, ""), where=f"view {view.name}", of=f"view {plan.name}")
        renamed.setdefault(outputs[old], []).append(f"{view.name}.{new}")
    ttl = _ttl(view, plan.source)
    if ttl is not None and plan.windows:
        raise Invalid(f"view {view.name}: windows take no ttl", field="ttl", next_step="leave the ttl out")
    return msgspec.structs.replace(
        plan,
        name=view.name,
        ttl=min((length for length in (ttl, plan.ttl) if length is not None), default=None),
        columns=tuple(
            msgspec.structs.replace(column, feature=name)
            for column in plan.columns
            for name in renamed.get(column.feature, [])
        ),
        windows=tuple(
            msgspec.structs.replace(window, feature=name)
            for window in plan.windows
            for name in renamed.get(window.feature, [])
        ),
    )


def _bind(plan: ViewPlan, bound: BoundView, *, schema: Schema, request: Schema) -> ViewPlan:
    for name in bound.columns:
        if name not in plan.key:
            raise Invalid(
                f"view {plan.name} is bound by {name!r}, which is not its key",
                field=name,
                next_step=f"{did_you_mean(name, plan.key)} Write .on({plan.key[0]}=...)",
            )
    columns = tuple(bound.columns.get(name, name) for name in plan.key)
    for name, column in zip(plan.key, columns, strict=True):
        if column not in request:
            raise Invalid(
                f"view {plan.name}: the examples have no column {column!r} to look up key {name} by",
                field=column,
                next_step=f"{did_you_mean(column, request)} Bind it with .on({name}=...)",
            )
        if request[column] != schema[name]:
            raise Invalid(
                f"view {plan.name}: key {name} holds {schema[name]}, the examples' {column} holds {request[column]}",
                field=column,
                next_step="bind a column of the same type",
            )
    return msgspec.structs.replace(plan, request=columns)
