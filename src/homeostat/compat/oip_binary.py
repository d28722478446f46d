"""The binary tensor extension: little-endian values behind the JSON head, in the order of the inputs.

BYTES elements are each a uint32 length and that many bytes; tritonclient sends and asks for this form by default.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from homeostat.compat.oip_types import DATATYPES, Tensor
from homeostat.ground.errors import Invalid

_LENGTH = struct.Struct("<I")


def take_tensors(tensors: Sequence[Tensor], tail: memoryview) -> None:
    """Fill in the `data` of every tensor that announces a `binary_data_size`.

    Raises:
        Invalid: naming the tensor whose bytes do not fit, or `body` when bytes are left over.
    """
    at = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or size < 0 or at + size > len(tail):
            raise _invalid(tensor, f"announces {size!r:.40} bytes, {len(tail) - at} are left")
        if tensor.data is not None:
            raise _invalid(tensor, "has data in JSON and announces binary data too")
        tensor.data = unpack(tensor, tail[at : at + size])
        at += size
    if at != len(tail):
        raise Invalid(f"{len(tail) - at} bytes follow the last tensor", field="body", next_step="mend binary_data_size")


def unpack(tensor: Tensor, data: bytes | memoryview) -> Any:
    """The values of one tensor: an array of numbers, or a list of texts.

    Raises:
        Invalid: naming the tensor.
    """
    datatype = DATATYPES.get(tensor.datatype)
    if datatype is None:
        raise _invalid(tensor, f"has datatype {tensor.datatype!r:.40}, which is not read here")
    if tensor.datatype == "BYTES":
        return _unpack_texts(tensor, memoryview(data))
    dtype = np.dtype(datatype.numpy)
    if len(data) % dtype.itemsize:
        raise _invalid(tensor, f"has {len(data)} bytes, which is no whole number of {tensor.datatype}")
    values = np.frombuffer(data, dtype)
    if tensor.datatype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return values


def pack_floats(values: Sequence[float] | np.ndarray[Any, Any]) -> bytes:
    """FP64 values."""
    return np.asarray(values, "<f8").tobytes()


def pack_texts(values: Sequence[str]) -> bytes:
    r"""BYTES elements.

    >>> pack_texts(["ab"])
    b'\x02\x00\x00\x00ab'
    """
    encoded = [value.encode() for value in values]
    return b"".join([_LENGTH.pack(len(value)) + value for value in encoded])


def _unpack_texts(tensor: Tensor, data: memoryview) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, at)[0]
        if end > len(data) or end < at + _LENGTH.size:
            raise _invalid(tensor, f"ends within element {len(texts)}")
        try:
            texts.append(str(data[at + _LENGTH.size : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise _invalid(tensor, f"holds bytes that are not UTF-8 in element {len(texts)}") from error
        at = end
    return texts


def _invalid(tensor: Tensor, what: str) -> Invalid:
    return Invalid(f"input {tensor.name!r:.80} {what}", field=tensor.name, next_step="mend the binary tensor")
