"""The bytes of a spool's log: framed records, and where the good ones end.

A record is `magic u16, length u32, crc32 u32, payload`; the checksum begins with the record's position, so bytes left
over from elsewhere never pass for a record. The first byte of a payload says what it is.
"""

import mmap
import struct
from zlib import crc32

import msgspec

HEAD = struct.Struct("<HII")
MAGIC = 0x5E4D
HEADER, KEYS, POINT, APART, SERIES, OP = b"H", b"K", b"P", b"A", b"S", b"O"

POINT_HEAD = struct.Struct("<cIqq")
"""Kind, shape (which keys), step, time; a float64 for each key follows."""
APART_HEAD = struct.Struct("<cIq")
"""Kind, shape, time; the step of each key and the float64 of each key follow."""
SERIES_HEAD = struct.Struct("<cII")
"""Kind, bytes of the key, points; the key and three arrays (steps, times, values) follow."""

RECORD_LIMIT = 4 << 20
"""Bytes of a payload: so that a record always fits into a request."""

Log = bytes | mmap.mmap
_MAGIC_BYTES = struct.pack("<H", MAGIC)
_SEED = 0xFFFFFFFF


class Stretch(msgspec.Struct, frozen=True):
    """Bytes `start` to `end` of a log: whole records, or damage that nothing can be read from."""

    start: int
    end: int
    is_damaged: bool = False


def framed(payload: bytes, position: int) -> bytes:
    """The bytes of a record that begins at `position`."""
    return HEAD.pack(MAGIC, len(payload), crc32(payload, position & _SEED)) + payload


def checked_stretches(data: Log, start: int = 0) -> list[Stretch]:
    """What a log holds from `start` on, once its writer is gone: records, and damage between records.

    A torn tail is no stretch: nothing behind the last whole record is ever shipped.
    """
    found: list[Stretch] = []
    good = _good_until(data, start)
    while True:
        if good > start:
            found.append(Stretch(start, good))
        start = _next_record(data, good)
        if start < 0:
            return found
        found.append(Stretch(good, start, is_damaged=True))
        good = _good_until(data, start)


def whole_records(data: memoryview, limit: int) -> int:
    """How many bytes of `data`, a record's start, are whole records; at most `limit`, at least one if one is there."""
    position, size = 0, len(data)
    while position + HEAD.size <= size:
        end = position + HEAD.size + HEAD.unpack_from(data, position)[1]
        if end > size or (end > limit and position):
            break
        position = end
    return position


def _good_until(data: Log, position: int) -> int:
    """The end of the run of records that begins at `position`."""
    while (end := _record_end(data, position)) > 0:
        position = end
    return position


def _record_end(data: Log, position: int) -> int:
    """Where the record at `position` ends; 0 when there is none."""
    if position + HEAD.size > len(data):
        return 0
    magic, length, checksum = HEAD.unpack_from(data, position)
    start, end = position + HEAD.size, position + HEAD.size + length
    if magic != MAGIC or length > 2 * RECORD_LIMIT or end > len(data):
        return 0
    return end if crc32(data[start:end], position & _SEED) == checksum else 0


def _next_record(data: Log, position: int) -> int:
    """Where the next whole record behind damage begins; -1 when there is none."""
    position = data.find(_MAGIC_BYTES, position + 1)
    while position >= 0 and not _record_end(data, position):
        position = data.find(_MAGIC_BYTES, position + 1)
    return position
