"""The framing of `.wandb` files: LevelDB's log format with its own header and a plain CRC-32.

A file is blocks of 32 KiB. A record lies in one block (full) or in several (first, middle, last), each piece behind
7 bytes: CRC of type and data, length, type. Whatever does not add up costs the rest of its block, never the file.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from homeostat.compat.importers.damage import RECORD_LIMIT, Damage
from homeostat.ground.errors import Invalid

_HEADER = struct.Struct("<4sHB")
_PIECE = struct.Struct("<IHB")
_MAGIC, _NUMBER = b":W&B", 0xBEE1
_BLOCK = 32 << 10
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def read_frames(source: IO[bytes]) -> Iterator[bytes | Damage]:
    """The records of a file in order, with a `Damage` wherever some bytes could not be read.

    Raises:
        Invalid: when the file does not begin as a `.wandb` file does.
    """
    _check_header(source.read(_HEADER.size))
    pieces: list[bytes] = []
    held, position = 0, _HEADER.size
    block = source.read(_BLOCK - _HEADER.size)
    while block:
        is_last = len(block) < _BLOCK - position % _BLOCK
        for found in _pieces(block, position, is_last=is_last):
            if isinstance(found, Damage):
                pieces, held = [], 0
                yield found
                continue
            kind, data, at = found
            if (kind in (_FULL, _FIRST)) == bool(pieces):  # a middle without a first, or a first within a record
                yield Damage(at, held + len(data), "pieces of a record are missing")
                pieces, held = [], 0
                if kind in (_MIDDLE, _LAST):
                    continue
            pieces.append(data)
            held += len(data)
            if held > RECORD_LIMIT:
                yield Damage(at, held, f"a record is larger than {RECORD_LIMIT >> 20} MB")
                pieces, held = [], 0
            elif kind in (_FULL, _LAST):
                yield b"".join(pieces)
                pieces, held = [], 0
        position += len(block)
        block = source.read(_BLOCK)
    if pieces:
        yield Damage(position - held, held, "the file ends in the middle of a record", is_tail=True)


def _check_header(data: bytes) -> None:
    if len(data) == _HEADER.size:
        magic, number, _version = _HEADER.unpack(data)
        if (magic, number) == (_MAGIC, _NUMBER):
            return
    raise Invalid("this is not a W&B run file", field="source", next_step="give a folder that holds run-*.wandb files")


def _pieces(block: bytes, start: int, *, is_last: bool) -> Iterator[tuple[int, bytes, int] | Damage]:
    """The pieces of one block, each with its type and place; what cannot be read ends the block."""
    offset = 0
    while len(block) - offset >= _PIECE.size:
        crc, length, kind = _PIECE.unpack_from(block, offset)
        if kind == length == crc == 0:
            return  # padding up to the end of the block
        begin, end = offset + _PIECE.size, offset + _PIECE.size + length
        at, left = start + offset, len(block) - offset
        if end > len(block):
            reason = "the file ends in the middle of a record" if is_last else "a length reaches beyond its block"
            yield Damage(at, left, reason, is_tail=is_last)
            return
        data = block[begin:end]
        if not _FULL <= kind <= _LAST or zlib.crc32(data, zlib.crc32(bytes([kind]))) != crc:
            yield Damage(at, left, "the checksum does not match", is_tail=is_last)
            return
        yield kind, data, at
        offset = end
    if is_last and offset < len(block) and any(block[offset:]):
        yield Damage(start + offset, len(block) - offset, "the file ends in the middle of a record", is_tail=True)
