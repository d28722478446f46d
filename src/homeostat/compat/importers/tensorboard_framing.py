"""The framing of TensorBoard's event files (TFRecord): length, CRC of the length, data, CRC of the data.

Read here rather than by TensorBoard's own reader: that one stops at damage without a word, and believes any length.
"""

import struct
from collections.abc import Iterator
from typing import IO

from homeostat.compat.importers.damage import RECORD_LIMIT, Damage

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


def _table_entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = [_table_entry(number) for number in range(256)]


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum of `data`.

    >>> hex(masked_crc(b"123456789"))  # CRC-32C's check value 0xe3069283, turned and shifted
    '0xc78ab0e5'
    """
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(source: IO[bytes]) -> Iterator[bytes | Damage]:
    """The records of a file; at the first damage a `Damage`, and nothing more, for nothing says where to go on."""
    position = 0
    while head := source.read(12):
        if len(head) < 12:
            yield Damage(position, len(head), "the file ends in the middle of a record", is_tail=True)
            return
        length, check = struct.unpack("<QI", head)
        if masked_crc(head[:8]) != check:
            yield Damage(position, 12, "the checksum of a length does not match; what follows is not read")
            return
        if length > RECORD_LIMIT:
            yield Damage(position, 12, f"a record is larger than {RECORD_LIMIT >> 20} MB; what follows is not read")
            return
        data = source.read(length + 4)
        if len(data) < length + 4:
            yield Damage(position, 12 + len(data), "the file ends in the middle of a record", is_tail=True)
            return
        record = data[:-4]
        if masked_crc(record) == int.from_bytes(data[-4:], "little"):
            yield record
        else:
            yield Damage(position, 16 + length, "the checksum does not match")
        position += 16 + length
