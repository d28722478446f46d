"""Points of a series as arrays, and packed into bytes: plain for a tail, shuffled and compressed once sealed.

Shuffling puts the k-th bytes of all numbers beside each other; differences of steps and times are then nearly all
zeros (the filter of HDF5 and Blosc).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from homeostat.ground.errors import Corrupt, Invalid

_PLAIN, _SEALED = b"\x00", b"\x01"
_BYTES_A_POINT = 24

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Points(msgspec.Struct, frozen=True):
    """Three arrays of one length: steps, times (microseconds UTC), values (NaN and infinities are values)."""

    steps: Ints
    at: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.values)


def points_of(steps: Sequence[int] | Ints, at: Sequence[int] | Ints, values: Sequence[float] | Floats) -> Points:
    """Points from anything array-like.

    Raises:
        Invalid: when the lengths differ, or a step or time is no whole number of 64 bits.
    """
    try:
        made = Points(
            np.ascontiguousarray(steps, np.int64),
            np.ascontiguousarray(at, np.int64),
            np.ascontiguousarray(values, np.float64),
        )
    except (OverflowError, TypeError, ValueError) as error:
        raise Invalid(
            f"points are not numbers: {error!s:.120}",
            field="points",
            next_step="give whole steps and times, float values",
        ) from error
    if made.values.ndim != 1 or not made.steps.shape == made.at.shape == made.values.shape:
        raise Invalid(
            f"{made.values.size} values, {made.steps.size} steps and {made.at.size} times do not make points",
            field="points",
            next_step="give as many steps and times as values",
        )
    return made


def joined(parts: Sequence[Points]) -> Points:
    """Several stretches of one series in order of step, then time, then value; an exact repeat is one point."""
    steps = np.concatenate([part.steps for part in parts])
    at = np.concatenate([part.at for part in parts])
    values = np.concatenate([part.values for part in parts])
    if len(steps) < 2:
        return Points(steps, at, values)
    if not np.all(np.diff(steps) > 0):  # as good as always already in order
        order = np.lexsort((values, at, steps))
        steps, at, values = steps[order], at[order], values[order]
        same = (np.diff(steps) == 0) & (np.diff(at) == 0) & (_bits(values)[1:] == _bits(values)[:-1])
        kept = np.concatenate(([True], ~same))
        steps, at, values = steps[kept], at[kept], values[kept]
    return Points(steps, at, values)


def pack(points: Points) -> bytes:
    """The bytes of a tail row: 24 a point."""
    return _PLAIN + points.steps.tobytes() + points.at.tobytes() + points.values.tobytes()


def seal(points: Points) -> bytes:
    """The bytes of a sealed row: compressed, what `unpack` reads back exactly."""
    columns = (_differences(points.steps), _differences(points.at), points.values)
    shuffled = b"".join(column.view(np.uint8).reshape(-1, 8).T.tobytes() for column in columns)
    return _SEALED + zstandard.ZstdCompressor(level=1).compress(shuffled)


def unpack(data: bytes) -> Points:
    """The points in a row's bytes.

    Raises:
        Corrupt: when they are not what `pack` or `seal` wrote.
    """
    kind, rest = data[:1], data[1:]
    try:
        if kind == _PLAIN:
            return _cut(rest, sealed=False)
        if kind == _SEALED:
            return _cut(zstandard.ZstdDecompressor().decompress(rest), sealed=True)
    except (zstandard.ZstdError, ValueError) as error:
        raise Corrupt("stored points cannot be read", next_step="restore the catalogue from a backup") from error
    raise Corrupt("stored points are of an unknown kind", next_step="upgrade homeostat")


def _cut(data: bytes, *, sealed: bool) -> Points:
    if len(data) % _BYTES_A_POINT:
        raise ValueError("not whole points")
    size = len(data) // 3
    parts = [data[start : start + size] for start in range(0, 3 * size, size)] if size else [b"", b"", b""]
    if not sealed:
        steps, at = (np.frombuffer(part, np.int64) for part in parts[:2])
        return Points(steps, at, np.frombuffer(parts[2], np.float64))
    plain = [np.frombuffer(part, np.uint8).reshape(8, -1).T.tobytes() for part in parts]
    steps, at = (np.cumsum(np.frombuffer(part, np.int64)) for part in plain[:2])
    return Points(steps, at, np.frombuffer(plain[2], np.float64))


def _differences(numbers: Ints) -> Ints:
    # int64 arithmetic wraps, and so does the sum that undoes it: exact for every step.
    return np.diff(numbers, prepend=np.int64(0))


def _bits(values: Floats) -> Ints:
    return values.view(np.int64)
