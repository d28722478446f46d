"""What a declaration compiles to: plans that the training join and the online store both follow.

Light on purpose: serving reads these without loading a frame library.
"""

from typing import Any

import msgspec

from homeostat.features.types import OnDemand, Source
from homeostat.ground.errors import Conflict
from homeostat.ground.records import InputColumn


class ViewColumn(msgspec.Struct, frozen=True):
    """One selected column of a latest-value view."""

    feature: str
    column: str
    dtype: str


class Window(msgspec.Struct, frozen=True):
    """One aggregate over one window; lengths in microseconds."""

    feature: str
    function: str
    column: str | None
    length: int


class ViewPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A view with everything resolved: what it reads, by which request columns, and how far back."""

    name: str
    source: Source
    key: tuple[str, ...]
    request: tuple[str, ...]
    """Request column for each key column."""
    ttl: int | None = None
    columns: tuple[ViewColumn, ...] = ()
    hop: int = 0
    windows: tuple[Window, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what it yields, in order."""
        return tuple(column.feature for column in self.columns) + tuple(window.feature for window in self.windows)

    @property
    def reads(self) -> tuple[str, ...]:
        """The source's columns it needs, each once."""
        wanted = [*self.source.keys, *self.key]
        wanted += [time for time in (self.source.event_time, self.source.time) if time]
        wanted += [column for column, _ in self.source.filters]
        wanted += [column.column for column in self.columns]
        wanted += [window.column for window in self.windows if window.column is not None]
        return tuple(dict.fromkeys(wanted))

    @property
    def reach(self) -> int | None:
        """How far before a moment a row can still count at it; None = without limit."""
        if self.windows:
            return max(window.length for window in self.windows) + self.hop
        return self.ttl


class OnDemandPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An on-demand function, the kinds of its inputs and what it returns."""

    name: str
    call: OnDemand
    inputs: tuple[str, ...]
    times: tuple[bool, ...]
    """Which inputs are times, handed over as datetimes."""
    outputs: tuple[str, ...]
    """Keys of the dict it returns, in order."""

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(f"{self.name}.{output}" for output in self.outputs)


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the feed must know of a source to take its rows; plain data, the user's code is not needed."""

    name: str
    key: tuple[str, ...]
    times: tuple[str, ...] = ()
    """The source's own time first (each row must have it), then those of its `known_at` variants."""
    columns: tuple[InputColumn, ...] = ()


class FeatureSet(msgspec.Struct, frozen=True, kw_only=True):
    """What a model signs up for: ordered features, the request columns they need, and a hash of how they are made."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    """'number' or 'category', in the order of `names`."""
    inputs: tuple[InputColumn, ...]
    hash: str
    sources: tuple[Source, ...]
    views: tuple[ViewPlan, ...]
    functions: tuple[OnDemandPlan, ...]
    raw: tuple[str, ...]
    """Raw columns among the names."""
    schemas: dict[str, tuple[InputColumn, ...]]
    """Every usable column of each source, by source name."""
    keys: tuple[InputColumn, ...] = ()
    """Columns that identify an example and that no feature reads; a request may bring them, labels come by them."""

    def source_specs(self) -> list[SourceSpec]:
        """One spec for each source name; variants of a source share it."""
        return merge_specs(
            SourceSpec(
                name=source.name,
                key=source.keys,
                times=tuple(dict.fromkeys(time for time in (source.event_time, source.time) if time)),
                columns=self.schemas[source.name],
            )
            for source in self.sources
        )


def merge_specs(specs: Any) -> list[SourceSpec]:
    """One spec a name: the union of times and columns of all that share it.

    Raises:
        Conflict: when two of one name disagree about the key or the source's own time.
    """
    merged: dict[str, SourceSpec] = {}
    for spec in specs:
        have = merged.setdefault(spec.name, spec)
        if (have.key, have.times[:1]) != (spec.key, spec.times[:1]):
            raise Conflict(
                f"two sources are named {spec.name!r}, with key {', '.join(have.key)} and {', '.join(spec.key)},"
                f" time {', '.join(have.times[:1])} and {', '.join(spec.times[:1])}",
                field="name",
                next_step="give one of them another name=",
            )
        columns = {column.name: column for column in (*have.columns, *spec.columns)}
        merged[spec.name] = msgspec.structs.replace(
            have, times=tuple(dict.fromkeys(have.times + spec.times)), columns=tuple(columns.values())
        )
    return list(merged.values())


def source_to_dict(source: Source) -> dict[str, Any]:
    """A source as plain data, for another process or a database row."""
    return dict(msgspec.to_builtins(source))


def source_from_dict(data: dict[str, Any]) -> Source:
    """The source that `source_to_dict` wrote.

    >>> flights = Source("flights/*.parquet", time="ts", key="id").known_at("arr_ts").where(status="arrived")
    >>> source_from_dict(source_to_dict(flights)) == flights
    True
    """
    return msgspec.convert(data, Source)
