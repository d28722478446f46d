"""The Open Inference Protocol's request as structs, and its datatypes."""

from typing import Any, NamedTuple

import msgspec


class Tensor(msgspec.Struct):
    """One input. `data` is unset when the values follow the JSON head in binary."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Any = None


class Output(msgspec.Struct):
    """An output the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """The JSON of `POST /v2/models/NAME/infer`."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Output] | None = None


class Datatype(NamedTuple):
    """Which Python values a datatype holds, its integer bounds, and its NumPy name in binary form."""

    kinds: frozenset[type]
    numpy: str
    low: int | None = None
    high: int = 0


_NUMBERS = frozenset({int, float})
DATATYPES: dict[str, Datatype] = {
    "BOOL": Datatype(frozenset({bool}), "?"),
    **{
        f"INT{bits}": Datatype(frozenset({int}), f"<i{bits // 8}", -(1 << bits - 1), (1 << bits - 1) - 1)
        for bits in (8, 16, 32, 64)
    },
    **{f"UINT{bits}": Datatype(frozenset({int}), f"<u{bits // 8}", 0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    "FP16": Datatype(_NUMBERS, "<f2"),
    "FP32": Datatype(_NUMBERS, "<f4"),
    "FP64": Datatype(_NUMBERS, "<f8"),
    "BYTES": Datatype(frozenset({str}), ""),
}
