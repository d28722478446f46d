"""The declaration: sources, views, aggregates, on-demand functions. Plain immutable data; nothing is read here.

flights = Source("flights/*.parquet", time="sched_dep_ts", key="flight_id")
history = View("carrier_history", flights.known_at("arr_ts"), key="carrier", hop="1h",
               aggregates=[mean("arr_delay_min", "1d", "7d"), count("7d")])
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import force_setattr, replace

from homeostat.ground.errors import Invalid
from homeostat.ground.ids import check_name

Scalar = str | int | float | bool
Names = str | Sequence[str]

_MEANINGLESS = {"", "part", "parts", "chunk", "data", "file"}


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


class _Path(msgspec.Struct, frozen=True):
    path: str


class Source(_Path, frozen=True, kw_only=True):
    """Files of one table: where they lie, what identifies a row, and when a row counts.

    A row is its key and its time; when both come again, the last one in file order (or pushed last) holds.
    A source without time is a table that was always known. `later` names columns that are filled only once another
    timestamp of the row has passed, for example `{"arr_ts": ["arr_delay_min"]}`.

    >>> Source("flights/*.parquet", time="sched_dep_ts", key="flight_id").name
    'flights'
    """

    key: Names
    time: str | None = None
    name: str = ""
    later: Mapping[str, Names] = msgspec.field(default_factory=dict)
    event_time: str | None = None
    """The time the source was declared with; differs from `time` after `known_at`."""
    filters: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "key", _names(self.key))
        force_setattr(self, "name", check_name(self.name or _name_of(self.path), what="source"))
        force_setattr(self, "later", {time: _names(columns) for time, columns in (self.later or {}).items()})
        force_setattr(self, "event_time", self.event_time or self.time)
        if not self.key or not all(self.key):
            raise Invalid(
                f"source {self.name} has no key", field="key", next_step="name the column that identifies a row"
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns."""
        return _names(self.key)

    @property
    def late_columns(self) -> dict[str, tuple[str, ...]]:
        """Columns known only once the timestamp they stand under has passed."""
        return {time: _names(columns) for time, columns in self.later.items()}

    def known_at(self, column: str) -> "Source":
        """The same rows, each counting from the time in `column`; rows without one never count."""
        return replace(self, time=column)

    def where(self, **equal: Scalar | Sequence[Scalar]) -> "Source":
        """The rows whose columns equal a value, or one of a list of values.

        >>> Source("f.parquet", key="id").where(status="arrived", origin=["JFK", "LGA"]).filters
        (('status', ('arrived',)), ('origin', ('JFK', 'LGA')))
        """
        added = tuple((column, _filter_values(self.name, column, wanted)) for column, wanted in equal.items())
        return replace(self, filters=self.filters + added)


def _filter_values(source: str, column: str, wanted: Scalar | Sequence[Scalar]) -> tuple[Scalar, ...]:
    values = (wanted,) if isinstance(wanted, (str, int, float)) or wanted is None else tuple(wanted)
    for value in values:
        if not isinstance(value, (str, int, float)):
            raise Invalid(
                f"source {source} cannot be filtered by {column} = {value!r}",
                field=column,
                next_step="compare with a text, a number, true or false, or a list of them",
            )
    return values


def _name_of(path: str) -> str:
    """The last part of the path that says something: 'flights/*.parquet' and 'data/flights-*.csv' are both flights."""
    for part in reversed(re.split(r"[/\\]+", path)):
        if "=" in part:  # the folder of a hive partition
            continue
        stem = re.split(r"[*?\[{]", part)[0].split(".")[0]
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("-_")
        if name.lower() not in _MEANINGLESS:
            return name
    raise Invalid(f"no name can be read from the path {path!r}", field="name", next_step="give the source a name=")


class Aggregate(msgspec.Struct, frozen=True):
    """One function over one column and several windows."""

    function: str
    column: str | None
    windows: tuple[str, ...]


def mean(column: str, *windows: str) -> Aggregate:
    """The mean of a column's values within each window; missing when there are none."""
    return Aggregate("mean", column, windows)


def total(column: str, *windows: str) -> Aggregate:
    """The sum of a column's values within each window; missing when there are none."""
    return Aggregate("total", column, windows)


def minimum(column: str, *windows: str) -> Aggregate:
    """The smallest of a column's values within each window."""
    return Aggregate("minimum", column, windows)


def maximum(column: str, *windows: str) -> Aggregate:
    """The largest of a column's values within each window."""
    return Aggregate("maximum", column, windows)


def count(*windows: str) -> Aggregate:
    """The number of rows within each window; 0 when there are none."""
    return Aggregate("count", None, windows)


class _View(msgspec.Struct, frozen=True):
    name: str
    source: "Source | View | str"


class View(_View, frozen=True, kw_only=True):
    """A named feature computation: the newest row per key (`select`), or windows over its rows (`hop`, `aggregates`).

    The source may be another view, or its name: then `select` narrows it and `ttl` shortens it.
    A value older than `ttl` is missing; without one, a value never grows old.

    >>> View("weather_now", Source("weather.parquet", time="ts", key="airport"), ttl="3h", select=["temp_f"]).name
    'weather_now'
    """

    key: Names | None = None
    ttl: str | None = None
    select: Sequence[str] | Mapping[str, str] | None = None
    hop: str | None = None
    aggregates: Sequence[Aggregate] = ()

    def __post_init__(self) -> None:
        check_name(self.name, what="view")

    def on(self, **columns: str) -> "BoundView":
        """Look this view up by other columns of the request: `.on(airport="origin")`."""
        return BoundView(self, columns)


class BoundView(msgspec.Struct, frozen=True):
    """A view whose key columns are bound to columns of the request."""

    view: View
    columns: dict[str, str]


class Column(msgspec.Struct, frozen=True):
    """A column of the request that the model sees as it is."""

    name: str
    kind: str | None = None


def column(name: str, *, kind: str | None = None) -> Column:
    """A raw column with its kind spelt out: `column("gate", kind="category")` for a number that is a name."""
    return Column(name, kind)


class OnDemand(msgspec.Struct, frozen=True):
    """A function of request columns and other features; the same object runs in training and in serving."""

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Any]

    def __call__(self, *values: Any) -> Any:
        return self.function(*values)


def on_demand(*, inputs: Sequence[str]) -> Callable[[Callable[..., Any]], OnDemand]:
    """Compute features from one row's values at the moment they are asked for.

    The function gets the inputs in order (times as aware UTC datetimes, missing values as None) and returns a dict
    of numbers, texts or booleans. It must be pure: equal inputs are computed once.

    >>> @on_demand(inputs=["sched_dep_ts"])
    ... def calendar(ts): return {"hour": ts.hour}
    >>> calendar.name, calendar.inputs
    ('calendar', ('sched_dep_ts',))
    """

    def declare(function: Callable[..., Any]) -> OnDemand:
        return OnDemand(check_name(function.__name__, what="on-demand function"), tuple(inputs), function)

    return declare


Feature = View | BoundView | OnDemand | Column | str
