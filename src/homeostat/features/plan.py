"""From declaration to plan: every name resolved, every mistake named with its mend, before anything runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from homeostat.features.compiled import FeatureSet, OnDemandPlan, ViewPlan, source_to_dict
from homeostat.features.fingerprint import code_of, content_hash
from homeostat.features.functions import direct_inputs, plan_functions
from homeostat.features.naming import Schema, check_column, schema_of
from homeostat.features.sources import check_times, read_schema
from homeostat.features.types import BoundView, Column, Feature, OnDemand, Source, View
from homeostat.features.views import chain_of, plan_view, source_of
from homeostat.ground.errors import Conflict, Invalid
from homeostat.ground.records import InputColumn

_KINDS = {"number": "number", "boolean": "number", "string": "category"}

_Item = BoundView | OnDemand | Column


def compile_features(features: Sequence[Feature], *, examples: Source, root: Path) -> FeatureSet:
    """Resolve a feature list against the files under `root`: schemas are read, and a few examples for functions.

    Raises:
        Invalid: naming the view, column, length or function that is wrong, with the closest right name.
        Refused: for views or functions that need each other in a circle.
        Conflict: when two sources share a name.
    """
    items = [_item(feature) for feature in features]
    _check_no_twins(items)
    request = schema_of(_checked_schema(examples, root))
    views, schemas = _plan_views([item for item in items if isinstance(item, BoundView)], request, root)
    functions, outputs = plan_functions(
        [item for item in items if isinstance(item, OnDemand)],
        examples=examples,
        request=request,
        views=views,
        root=root,
    )
    types = outputs | {column.feature: column.dtype for view in views for column in view.columns}
    types |= {window.feature: "number" for view in views for window in view.windows}
    kinds = _kinds(items, views, functions, types, request)
    sources = _distinct(view.source for view in views)
    compiled = FeatureSet(
        names=tuple(kinds),
        kinds=tuple(kinds.values()),
        inputs=_inputs(items, views, request),
        hash="",
        sources=sources,
        views=views,
        functions=functions,
        raw=tuple(item.name for item in items if isinstance(item, Column)),
        schemas=schemas,
    )
    compiled.source_specs()  # refuses sources that share a name and differ
    taken = {column.name for column in compiled.inputs}
    keys = tuple(
        InputColumn(name=name, dtype=request[name]) for name in examples.keys if name in request and name not in taken
    )
    return msgspec.structs.replace(compiled, hash=_hash(compiled), keys=keys)


def _item(feature: Feature) -> _Item:
    match feature:
        case View():
            return BoundView(feature, {})
        case str():
            return Column(feature)
        case BoundView() | OnDemand() | Column():
            return feature
    raise Invalid(  # users' files are not type-checked
        f"{feature!r} is not a feature",
        field="features",
        next_step="list views, on-demand functions and column names",
    )


def _name(item: _Item) -> str:
    return item.view.name if isinstance(item, BoundView) else item.name


def _check_no_twins(items: Iterable[_Item]) -> None:
    seen: set[str] = set()
    for item in items:
        name = _name(item)
        if name in seen:
            mend = (
                f"to look the same view up twice, derive one: View('{name}_2', {name}).on(...)"
                if isinstance(item, BoundView)
                else "list it once, or rename one of them"
            )
            raise Invalid(f"two features are named {name!r}", field=name, next_step=mend)
        seen.add(name)


def _plan_views(
    bound: Sequence[BoundView], request: Schema, root: Path
) -> tuple[tuple[ViewPlan, ...], dict[str, tuple[InputColumn, ...]]]:
    """The plans of all listed views, and the columns of each source they read."""
    named = {item.view.name: item.view for item in bound}
    schemas: dict[str, tuple[InputColumn, ...]] = {}
    paths: dict[str, str] = {}
    plans = []
    for item in bound:
        chain = chain_of(item.view, named)
        for view in chain:
            if named.setdefault(view.name, view) != view:
                raise Invalid(f"two views are named {view.name!r}", field=view.name, next_step="rename one of them")
        source = source_of(chain)
        if paths.setdefault(source.name, source.path) != source.path:
            raise Conflict(
                f"two sources are named {source.name!r}: {paths[source.name]} and {source.path}",
                field="name",
                next_step="give one of them another name=",
            )
        columns = _checked_schema(source, root)
        plans.append(plan_view(item, chain, schema=schema_of(columns), request=request))
        # A variant may know that a column of texts holds times.
        known = {column.name for column in schemas.get(source.name, ()) if column.dtype == "time"}
        schemas[source.name] = tuple(
            msgspec.structs.replace(column, dtype="time") if column.name in known else column for column in columns
        )
    return tuple(plans), schemas


def _checked_schema(source: Source, root: Path) -> tuple[InputColumn, ...]:
    """The source's columns, once every column it names is found among them."""
    columns = read_schema(source, root)
    schema = schema_of(columns)
    where, of = f"source {source.name}", source.path
    for name in source.keys:
        check_column(name, schema, where=where, of=of)
    for name, _ in source.filters:
        check_column(name, schema, where=f"{where}: where", of=of)
    for name in filter(None, (source.time, source.event_time, *source.late_columns)):
        word = check_column(name, schema, where=where, of=of)
        if word != "time":
            raise Invalid(
                f"{where}: {name} holds {word}, not times", field=name, next_step="name a column of timestamps"
            )
        check_times(source, root, name)
    for names in source.late_columns.values():
        for name in names:
            check_column(name, schema, where=f"{where}: later", of=of)
    return columns


def _kinds(
    items: Iterable[_Item],
    views: Sequence[ViewPlan],
    functions: Sequence[OnDemandPlan],
    types: dict[str, str],
    request: Schema,
) -> dict[str, str]:
    """Every feature in list order with its kind; a view's times that only feed functions are not features."""
    yields = {view.name: view.features for view in views} | {plan.name: plan.features for plan in functions}
    fed = {name for plan in functions for name in plan.inputs}
    kinds: dict[str, str] = {}
    for item in items:
        if isinstance(item, Column):
            found = {item.name: _raw_kind(item, request)}
        else:
            names = yields[_name(item)]
            found = {name: _kind(name, types[name]) for name in names if types[name] != "time" or name not in fed}
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise Invalid(f"feature {twice} is declared twice", field=twice, next_step="list each window once")
        kinds |= found
    if not kinds:
        raise Invalid("the feature list is empty", field="features", next_step="add views, functions or columns")
    return kinds


def _raw_kind(item: Column, request: Schema) -> str:
    word = check_column(item.name, request, where="features", of="the examples' source")
    kind = _kind(item.name, word)
    if item.kind not in (None, "number", "category"):
        raise Invalid(f"column {item.name}: {item.kind!r} is no kind", field="kind", next_step="use number or category")
    if item.kind == "number" and kind == "category":
        raise Invalid(f"column {item.name} holds texts, not numbers", field="kind", next_step="use kind='category'")
    return item.kind or kind


def _kind(name: str, word: str) -> str:
    if word == "time":
        raise Invalid(
            f"{name} is a time, which a model cannot take as it is",
            field=name,
            next_step="turn it into numbers with hs.on_demand(inputs=[...]), like its hour",
        )
    return _KINDS[word]


def _inputs(items: Iterable[_Item], views: Sequence[ViewPlan], request: Schema) -> tuple[InputColumn, ...]:
    """The request columns in the order in which the features need them."""
    plans = {plan.name: plan for plan in views}
    names: list[str] = []
    for item in items:
        match item:
            case BoundView():
                names += plans[item.view.name].request
            case OnDemand():
                names += direct_inputs(item, request)
            case Column():
                names.append(item.name)
    return tuple(InputColumn(name=name, dtype=request[name]) for name in dict.fromkeys(names))


def _distinct(sources: Iterable[Source]) -> tuple[Source, ...]:
    found: list[Source] = []
    for source in sources:
        if source not in found:
            found.append(source)
    return tuple(found)


def _hash(compiled: FeatureSet) -> str:
    plans = [
        {name: getattr(view, name) for name in view.__struct_fields__ if name != "source"}
        | {"source": source_to_dict(view.source)}
        for view in compiled.views
    ]
    functions = [
        (plan.name, plan.inputs, plan.times, plan.outputs, code_of(plan.call.function)) for plan in compiled.functions
    ]
    return content_hash([compiled.names, compiled.kinds, compiled.inputs, plans, functions])
