"""Unpacking a Parquet page, never to more bytes than its header says."""

import zlib

from homeostat.compat.thrift_compact import read_number
from homeostat.ground.errors import Invalid

_NAMES = {3: "LZO", 4: "BROTLI", 5: "LZ4", 7: "LZ4_RAW"}


def unpacked(data: bytes, codec: int, size: int) -> bytes:
    """The page's bytes.

    Raises:
        Invalid: for a codec that is not read here. ValueError: when it does not unpack to `size` bytes.
    """
    match codec:
        case 0:
            plain = data
        case 1:
            plain = _snappy(data, size)
        case 2:
            plain = _gzip(data, size)
        case 6:
            plain = _zstd(data, size)
        case _:
            raise Invalid(
                f"the Parquet file is packed with {_NAMES.get(codec, codec)}",
                field="body",
                next_step="write it with snappy, gzip, zstd or no compression",
            )
    if len(plain) != size:
        raise ValueError("a page of another size")
    return plain


def _gzip(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError("a page that is not gzip") from error


def _zstd(data: bytes, size: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            return reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise ValueError("a page that is not zstd") from error


def _snappy(data: bytes, size: int) -> bytes:
    """Snappy's raw format: literals, and copies of what came before."""
    announced, at = read_number(data, 0)
    if announced != size:
        raise ValueError("a page of another size")
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length, at = int.from_bytes(data[at : at + extra], "little") + 1, at + extra
            out += data[at : at + length]
            at += length
        else:
            if kind == 1:
                length, offset = ((tag >> 2) & 7) + 4, (tag >> 5) << 8 | data[at]
            else:
                length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + 2 * (kind - 1)], "little")
            at += (1, 2, 4)[kind - 1]
            _copy(out, offset, length)
        if len(out) > size:
            raise ValueError("a page over its size")
    return bytes(out)


def _copy(out: bytearray, offset: int, length: int) -> None:
    """Append bytes from `offset` before the end; they may overlap what is appended."""
    start = len(out) - offset
    if offset == 0 or start < 0:
        raise ValueError("a copy from before the beginning")
    chunk = bytes(out[start : start + length])
    while len(chunk) < length:
        chunk += chunk
    out += chunk[:length]
