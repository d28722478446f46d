"""What a compiled scorer is stored as: plain numbers, an ONNX graph or a treelite ensemble, and how to test it anew.

Nothing in an artifact is code. It carries rows with the original's answers, so that whoever loads it on another
machine, with another release of a library, sees at once whether it still answers the same.
"""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.ground.errors import Corrupt

Matrix = NDArray[np.float64]
Kind = Literal["linear", "onnx", "treelite"]
Link = Literal["identity", "sigmoid", "exp", "softmax", "share"]
"""From sums to answers; 'share' is a sigmoid for each class, divided by their sum."""

FORMAT = 1


class LinearForm(msgspec.Struct, frozen=True, kw_only=True, tag="linear"):
    """answer = link((row - shift) @ weights + bias); a missing value adds its row of `gaps` instead."""

    shift: bytes
    weights: bytes
    """columns x outputs, float64, as all of these."""
    bias: bytes
    gaps: bytes
    link: Link


class OnnxForm(msgspec.Struct, frozen=True, kw_only=True, tag="onnx"):
    """A graph with one input and one output that is asked for."""

    model: bytes
    single: bool
    """Takes float32."""
    place: int | None = None
    """Which column of the output is the answer; None for all of them."""


class TreeliteForm(msgspec.Struct, frozen=True, kw_only=True, tag="treelite"):
    """A treelite ensemble, walked by its own library."""

    model: bytes
    single: bool
    place: int | None = None


Form = LinearForm | OnnxForm | TreeliteForm


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """What the original raises on; the compiled scorer has to, too."""

    nan: tuple[int, ...] = ()
    """Columns in which a NaN is refused."""
    infinite: tuple[int, ...] = ()
    single: tuple[int, ...] = ()
    """Columns in which a number is refused that float32 cannot hold."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled scorer with its test."""

    form: Form
    columns: int
    outputs: int
    """Numbers a row; 0 when the answer is a vector."""
    refusals: Refusals
    rows: bytes
    """float64, rows x columns: what to ask after loading."""
    answers: bytes
    """The original's answers to them."""
    tolerance: float
    made_with: dict[str, str] = {}
    format: int = FORMAT

    @property
    def kind(self) -> Kind:
        kinds: dict[type, Kind] = {LinearForm: "linear", OnnxForm: "onnx", TreeliteForm: "treelite"}
        return kinds[type(self.form)]


def encode_artifact(artifact: Artifact) -> bytes:
    """The bytes of an artifact."""
    return msgspec.msgpack.encode(artifact)


def decode_artifact(data: bytes) -> Artifact:
    """The artifact in these bytes.

    Raises:
        Corrupt: when they are none, or of a format this release does not know.
    """
    try:
        artifact = msgspec.msgpack.decode(data, type=Artifact)
    except msgspec.DecodeError as error:
        raise _unreadable(str(error)) from error
    if artifact.format != FORMAT:
        raise _unreadable(f"it has format {artifact.format}, this release reads {FORMAT}")
    return artifact


def pack(values: Any) -> bytes:
    """Numbers as bytes."""
    return np.ascontiguousarray(values, "<f8").tobytes()


def unpack(data: bytes, *shape: int) -> Matrix:
    """Numbers from bytes.

    Raises:
        Corrupt: when there are more or fewer than the shape holds.
    """
    try:
        return np.frombuffer(data, "<f8").reshape(shape).astype(np.float64)
    except ValueError as error:
        raise _unreadable(str(error)) from error


def _unreadable(why: str) -> Corrupt:
    return Corrupt(
        f"the compiled scorer cannot be read: {why:.200}", next_step="homeostat model compile NAME@VERSION --force"
    )
