"""Protocols by which one room uses another without knowing it; the floor above hands in the implementation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

NATIVE = "native"
"""The scorer that reads the package itself, by the library the model was trained with."""


class Scorer(Protocol):
    """A loaded model: a float64 matrix (rows x feature columns, NaN = missing) in, float64 scores out.

    One number a row, or rows x k for k classes (probabilities) or outputs.
    """

    def score(self, matrix: Any) -> Any: ...


class FeatureReader(Protocol):
    """Turns request columns into the vectors a model version sees, as of each row's time."""

    def vectors(self, inputs: Mapping[str, Sequence[Any]], times: Sequence[int]) -> Any:
        """A float64 matrix, one row per request row."""
        ...


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model version ready to answer."""

    model: str
    version: int
    signature: Any
    scorer: Any
    features: Any
    direct: tuple[int, ...] | None = None
    """Place of each vector column among the signature's inputs, when the vectors are the request's own numbers."""
    scorer_kind: str = NATIVE
    """'native', or the kind of the compiled scorer that answers in its place."""
