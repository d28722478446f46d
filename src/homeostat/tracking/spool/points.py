"""The fast path of logging: a point a key, packed into one record, in a few microseconds."""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from homeostat.ground.clock import Clock
from homeostat.tracking.spool.records import APART, APART_HEAD, KEYS, POINT, POINT_HEAD, SERIES, SERIES_HEAD
from homeostat.tracking.spool.writer import SpoolWriter
from homeostat.tracking.values import as_number, check_key, check_step

Keys = tuple[str, ...]
BULK_POINTS = 1 << 15
"""Points of one record of `log_arrays`: 0.8 MB, which the usual proxy lets through."""


class _Shape:
    """Keys that are logged together: how their record is packed, and the step they have reached."""

    __slots__ = ("ahead", "keys", "number", "pack", "pack_apart", "step")

    def __init__(self, keys: Keys, number: int) -> None:
        self.keys = keys
        self.number = number
        self.pack = struct.Struct(f"{POINT_HEAD.format}{len(keys)}d").pack
        self.pack_apart = struct.Struct(f"{APART_HEAD.format}{len(keys)}q{len(keys)}d").pack
        self.step = 0
        self.ahead: list[int] | None = None
        """By how much each key is ahead of `step`; None when they all stand there."""

    def record(self, step: int, at: int, values: Iterable[Any]) -> bytes:
        if self.ahead is None:
            return self.pack(POINT, self.number, step, at, *values)
        return self.pack_apart(APART, self.number, at, *[step + more for more in self.ahead], *values)

    def steps(self) -> dict[str, int]:
        if self.ahead is None:
            return dict.fromkeys(self.keys, self.step)
        return {key: self.step + more for key, more in zip(self.keys, self.ahead, strict=True)}


class PointLog:
    """Counts steps and writes points. Without a step each series counts by itself, from 0."""

    def __init__(self, writer: SpoolWriter, clock: Clock, *, steps: Mapping[str, int] | None = None) -> None:
        self._writer = writer
        self._now = clock.now
        self._shapes: dict[Keys, _Shape] = {}
        self._steps: dict[str, int] = dict(steps or {})
        self._current: _Shape | None = None
        """The shape that was logged last: its step is newer than what `_steps` says of its keys."""

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        """Write one point for each key.

        Raises:
            Invalid: when a value is not a number, or a key or step is not usable; nothing is written then.
        """
        if not values:
            return
        if step is not None and type(step) is not int:
            step = check_step(next(iter(values)), step)
        with self._writer.lock:
            keys = tuple(values)
            shape = self._shapes.get(keys) or self._define(keys)
            if shape is not self._current:
                self._switch(shape)
            if step is None:
                at_step = shape.step
            else:
                at_step, shape.ahead = step, None
            try:
                record = shape.record(at_step, self._now(), values.values())
            except Exception:  # noqa: BLE001  whatever a value does when asked for its number: the slow path names it
                numbers = [as_number(key, value) for key, value in values.items()]
                record = shape.record(check_step(keys[0], at_step), self._now(), numbers)
            shape.step = at_step + 1
            self._writer.append(record)

    def log_arrays(self, key: str, steps: Any, at: Any, values: Any) -> None:
        """Write many points of one series: arrays of int64, int64 and float64, of one length."""
        name = check_key(key, "metric").encode()
        with self._writer.lock:
            for start in range(0, len(values), BULK_POINTS):
                part = slice(start, start + BULK_POINTS)
                arrays = (steps[part], at[part], values[part])
                head = SERIES_HEAD.pack(SERIES, len(name), len(arrays[0]))
                self._writer.append(b"".join((head, name, *(array.tobytes() for array in arrays))))
            if len(steps):
                self._settle()
                self._steps[key] = int(steps[-1]) + 1

    def next_step(self, key: str) -> int:
        """The step that the next point of a series gets."""
        with self._writer.lock:
            self._settle()
            return self._steps.get(key, 0)

    def steps(self) -> dict[str, int]:
        """The next step of every series."""
        self._settle()
        return dict(self._steps)

    def _define(self, keys: Keys) -> _Shape:
        for key in keys:
            check_key(key, "metric")
        shape = _Shape(keys, len(self._shapes))
        self._writer.append(KEYS + msgspec.msgpack.encode([shape.number, keys]))
        self._shapes[keys] = shape
        return shape

    def _switch(self, shape: _Shape) -> None:
        """Make `shape` the current one."""
        self._settle()
        reached = [self._steps.get(key, 0) for key in shape.keys]
        shape.step = min(reached)
        shape.ahead = None if shape.step == max(reached) else [step - shape.step for step in reached]
        self._current = shape

    def _settle(self) -> None:
        """Write the current shape's step back to its series."""
        if self._current is not None:
            self._steps.update(self._current.steps())
            self._current = None
