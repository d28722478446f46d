"""The Open Inference Protocol's request and reply as structs, and its datatypes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec


class Tensor(msgspec.Struct, gc=False):
    """One input. `data` is unset when the values follow the JSON head in binary; then it becomes an array."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Any = None


class FloatTensor(Tensor, gc=False):
    """An input whose values are all numbers, checked and made floats while the JSON is read."""

    data: list[float | list[float | None] | None] | None = None


class Output(msgspec.Struct, gc=False):
    """An output the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The JSON of `POST /v2/models/NAME/infer`."""

    inputs: Sequence[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Output] | None = None


class FloatRequest(InferRequest, gc=False):
    """The same where every tensor holds floats: the usual request, read in one pass."""

    inputs: list[FloatTensor]


class OutputTensor(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """One output of the reply."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferReply(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """The JSON of the reply."""

    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputTensor]


class Datatype(NamedTuple):
    """Which Python values a datatype holds in JSON, its integer bounds, and its NumPy name in binary form."""

    kinds: frozenset[type]
    numpy: str
    low: int | None = None
    high: int = 0


_NUMBERS = frozenset({int, float})
_NONE: frozenset[type] = frozenset()
FLOATS = frozenset({"FP64", "FP32", "FP16", "BF16"})
DATATYPES: dict[str, Datatype] = {
    "BOOL": Datatype(frozenset({bool}), "?"),
    **{
        f"INT{bits}": Datatype(frozenset({int}), f"<i{bits // 8}", -(1 << bits - 1), (1 << bits - 1) - 1)
        for bits in (8, 16, 32, 64)
    },
    **{f"UINT{bits}": Datatype(frozenset({int}), f"<u{bits // 8}", 0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    # The two half-width ones have no JSON form; BF16's bits are the upper half of an FP32's.
    "FP16": Datatype(_NONE, "<f2"),
    "BF16": Datatype(_NONE, "<u2"),
    "FP32": Datatype(_NUMBERS, "<f4"),
    "FP64": Datatype(_NUMBERS, "<f8"),
    "BYTES": Datatype(frozenset({str}), ""),
}
