"""The rows of one view in memory, by key and in order of time: the newest as of a moment, and running windows.

Rules and the order of additions are those of `offline.py` and `windows.py`. Rows may come in any order.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from homeostat.features.compiled import ViewPlan
from homeostat.features.windows import IDENTITY, merge_run, partials_of
from homeostat.ground.clock import DAY

LOOK_BACK = 2 * DAY
"""Reads reach at most this far behind the newest time; what only older reads could need is let go."""

_ALWAYS = -(2**62)
"""The time of a row that was always known."""

_NONE_YET = -(2**63)
"""Below every floor."""

_CACHED = 256

Identity = tuple[Any, ...]
Row = dict[str, Any]


class _History:
    """Rows of one key in order of time; at the same time, in order of their identity."""

    __slots__ = ("at", "identities", "rows")

    def __init__(self) -> None:
        self.at: list[int] = []
        self.identities: list[Identity] = []
        self.rows: list[tuple[Any, ...]] = []

    def insert(self, at: int, identity: Identity, row: tuple[Any, ...]) -> int:
        """Put a row where it belongs; says where."""
        place = len(self.at)
        if place and at <= self.at[-1]:
            place = bisect_left(self.identities, identity, bisect_left(self.at, at), bisect_right(self.at, at))
        self.at.insert(place, at)
        self.identities.insert(place, identity)
        self.rows.insert(place, row)
        return place

    def remove(self, at: int, identity: Identity) -> int:
        """Take a row out; says where it was."""
        place = bisect_left(self.identities, identity, bisect_left(self.at, at), bisect_right(self.at, at))
        del self.at[place], self.identities[place], self.rows[place]
        return place

    def forget(self, count: int) -> list[Identity]:
        """Let the oldest rows go; says which."""
        gone = self.identities[:count]
        del self.at[:count], self.identities[:count], self.rows[:count]
        return gone


class _Tiles(_History):
    """Rows of one key with the running partials of their tiles; `rows` holds the aggregated columns."""

    __slots__ = ("cache", "last", "newest", "running", "shape", "stale", "tiles", "totals")

    def __init__(self, shape: "_Shape") -> None:
        super().__init__()
        self.shape = shape
        self.running: list[list[float]] = [[] for _ in shape.partials]
        self.tiles: list[int] = []
        self.totals = [array("d") for _ in shape.partials]
        self.cache: dict[int, list[float]] = {}
        self.newest = _NONE_YET
        """The highest floor in the cache."""
        self.last: tuple[int, int, tuple[Any, ...]] | None = None
        self.stale: int | None = None
        """The first row whose running partials are not right any more; mended by the next read, once for many rows."""

    def insert(self, at: int, identity: Identity, row: tuple[Any, ...]) -> int:
        place = super().insert(at, identity, row)
        self._changed(place, at)
        return place

    def remove(self, at: int, identity: Identity) -> int:
        place = super().remove(at, identity)
        self._changed(place, at)
        return place

    def _changed(self, place: int, at: int) -> None:
        self.stale = place if self.stale is None else min(self.stale, place)
        self.last = None
        tile = -(-at // self.shape.hop)
        if tile <= self.newest:  # seldom: most rows fall into the open hop, which no merged floor holds
            self.cache = {floor: merged for floor, merged in self.cache.items() if floor < tile}
            self.newest = max(self.cache, default=_NONE_YET)

    def _mend(self, place: int) -> None:
        """Bring running partials and tiles up to date from a row's place on."""
        before = -(-self.at[place - 1] // self.shape.hop) if place else None
        while self.tiles and (before is None or self.tiles[-1] > before):
            self.tiles.pop()
            for totals in self.totals:
                totals.pop()
        for running, totals in zip(self.running, self.totals, strict=True):
            del running[place:]
            if totals:
                totals[-1] = running[-1]
        for position in range(place, len(self.at)):
            self._extend(position)
        self.stale = None

    def _extend(self, position: int) -> None:
        tile = -(-self.at[position] // self.shape.hop)
        opens = not self.tiles or self.tiles[-1] != tile
        if opens:
            self.tiles.append(tile)
        row = self.rows[position]
        for (what, column), running, totals in zip(self.shape.partials, self.running, self.totals, strict=True):
            value = 1.0 if column is None else row[column]
            if value is None:
                value = IDENTITY[what]
            elif what == "n":
                value = 1.0
            if opens:
                totals.append(value)
            else:
                value = totals[-1] = _combine(what, running[-1], value)
            running.append(value)

    def forget(self, count: int) -> list[Identity]:
        if self.stale is not None:
            self._mend(self.stale)
        gone = super().forget(count)
        self.last = None
        kept = bisect_left(self.tiles, -(-self.at[0] // self.shape.hop)) if self.at else len(self.tiles)
        del self.tiles[:kept]
        for running, totals in zip(self.running, self.totals, strict=True):
            del running[:count], totals[:kept]
        return gone

    def features(self, moment: int) -> tuple[Any, ...]:
        """Every window's aggregate as of a moment."""
        if self.stale is not None:
            self._mend(self.stale)
        hop = self.shape.hop
        floor = moment // hop
        place = bisect_right(self.at, moment) - 1
        if self.last is not None and self.last[0] == place and self.last[1] == floor:
            return self.last[2]
        closed = self.cache.get(floor)
        if closed is None:
            closed = self._closed(floor)
        in_head = place >= 0 and self.at[place] > floor * hop
        head = [running[place] for running in self.running] if in_head else self.shape.nothing
        answer = self.shape.finish(closed, head)
        self.last = (place, floor, answer)
        return answer

    def _closed(self, floor: int) -> list[float]:
        """Each window's closed tiles merged: one number for each (window length, partial)."""
        high = bisect_right(self.tiles, floor)
        merged = []
        for span in self.shape.spans:
            low = bisect_right(self.tiles, floor - span)
            for (what, _), totals in zip(self.shape.partials, self.totals, strict=True):
                merged.append(merge_run(what, np.array(totals[low:high])))
        if len(self.cache) >= _CACHED:
            self.cache.clear()
        self.cache[floor] = merged
        self.newest = max(self.newest, floor)
        return merged


def _combine(what: str, one: float, other: float) -> float:
    if what == "min":
        return min(one, other)
    if what == "max":
        return max(one, other)
    return one + other


class _Shape:
    """A plan's windows as positions, worked out once."""

    def __init__(self, plan: ViewPlan) -> None:
        self.hop = plan.hop
        names = partials_of(plan.windows)
        self.columns = tuple(dict.fromkeys(column for _, column in names if column is not None))
        self.partials = [(what, None if column is None else self.columns.index(column)) for what, column in names]
        self.nothing = [IDENTITY[what] for what, _ in names]
        self.spans = list(dict.fromkeys(window.length // plan.hop for window in plan.windows))
        self.steps: list[tuple[str, int, int, int, int]] = []
        for window in plan.windows:
            offset = self.spans.index(window.length // plan.hop) * len(names)
            first, second = {
                "count": (("rows", None), ("rows", None)),
                "mean": (("n", window.column), ("sum", window.column)),
                "total": (("n", window.column), ("sum", window.column)),
                "minimum": (("min", window.column), ("min", window.column)),
                "maximum": (("max", window.column), ("max", window.column)),
            }[window.function]
            one, two = names.index(first), names.index(second)
            self.steps.append((window.function, offset + one, one, offset + two, two))

    def finish(self, closed: list[float], head: list[float]) -> tuple[Any, ...]:
        """Closed tiles and head together, for each window."""
        answer: list[float | None] = []
        for function, closed_one, one, closed_two, two in self.steps:
            if function == "count":
                answer.append(closed[closed_one] + head[one])
            elif function == "minimum":
                low = min(closed[closed_one], head[one])
                answer.append(None if low == np.inf else low)
            elif function == "maximum":
                high = max(closed[closed_one], head[one])
                answer.append(None if high == -np.inf else high)
            else:
                n = closed[closed_one] + head[one]
                total = closed[closed_two] + head[two]
                answer.append(None if n == 0 else total / n if function == "mean" else total)
        return tuple(answer)


class ViewState:
    """One view's rows by key, and its features as of any moment that is still held."""

    def __init__(self, plan: ViewPlan) -> None:
        self.plan = plan
        self._shape = _Shape(plan) if plan.windows else None
        self.newest: int | None = None
        """The newest time of any row; None for a table without time."""
        self._histories: dict[Any, Any] = {}
        self._places: dict[Identity, tuple[Any, int]] = {}
        self._columns = self._shape.columns if self._shape else tuple(column.column for column in plan.columns)
        self._nothing: tuple[Any, ...] = (None,) * len(plan.columns)
        if self._shape:
            self._nothing = self._shape.finish(self._shape.nothing * len(self._shape.spans), self._shape.nothing)

    def __len__(self) -> int:
        """How many rows are held."""
        return len(self._places)

    def apply(self, row: Row) -> None:
        """Take in a row; one that is there already, by source key and own time, is replaced."""
        plan, source = self.plan, self.plan.source
        identity = tuple([row.get(name) for name in source.keys])
        if source.event_time is not None:
            identity += (row.get(source.event_time),)
        self._remove(identity)
        at = _ALWAYS if source.time is None else row.get(source.time)
        key = tuple([row.get(name) for name in plan.key])
        if at is None or None in key or not all(row.get(column) in wanted for column, wanted in source.filters):
            return
        self._insert(key[0] if len(key) == 1 else key, at, identity, row)

    def _insert(self, key: Any, at: int, identity: Identity, row: Row) -> None:
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = _Tiles(self._shape) if self._shape else _History()
        values = [row.get(name) for name in self._columns]
        if isinstance(history, _Tiles):
            history.insert(at, identity, tuple([None if value is None else float(value) for value in values]))
        else:
            history.insert(at, identity, tuple(values))
        self._places[identity] = (key, at)
        if at != _ALWAYS and (self.newest is None or at > self.newest):
            self.newest = at

    def _remove(self, identity: Identity) -> None:
        known = self._places.pop(identity, None)
        if known is None:
            return
        key, at = known
        history = self._histories[key]
        history.remove(at, identity)
        if not history.at:
            del self._histories[key]

    def read(self, keys: Sequence[Any], times: Sequence[int]) -> list[tuple[Any, ...]]:
        """For each key and moment the view's features, in the plan's order; None = missing."""
        histories, nothing = self._histories, self._nothing
        if self._shape:
            found = map(histories.get, keys)
            return [
                nothing if history is None else history.features(moment)
                for history, moment in zip(found, times, strict=True)
            ]
        ttl, answers = self.plan.ttl, []
        for key, moment in zip(keys, times, strict=True):
            history = histories.get(key)
            if history is None:
                answers.append(nothing)
                continue
            at = history.at
            place = len(at) - 1 if at[-1] <= moment else bisect_right(at, moment) - 1
            if place < 0 or (ttl is not None and moment - at[place] > ttl):
                answers.append(nothing)
            else:
                answers.append(history.rows[place])
        return answers

    def trim(self, horizon: int) -> None:
        """Let go of what no read at or after `horizon` can need."""
        if self.plan.source.time is None:
            return
        for key in list(self._histories):
            history = self._histories[key]
            for identity in history.forget(self._needless(history.at, horizon)):
                del self._places[identity]
            if not history.at:
                del self._histories[key]

    def _needless(self, at: list[int], horizon: int) -> int:
        """How many of the oldest rows no read at or after `horizon` can touch."""
        if self._shape:
            hop = self._shape.hop
            return bisect_right(at, (horizon // hop - max(self._shape.spans)) * hop)
        newest = bisect_right(at, horizon) - 1
        if newest < 0:
            return 0
        expired = self.plan.ttl is not None and at[newest] < horizon - self.plan.ttl
        return newest + 1 if expired else newest
