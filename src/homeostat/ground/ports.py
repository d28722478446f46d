"""Protocols by which one room uses another without knowing it; the floor above hands in the implementation."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class Scorer(Protocol):
    """A loaded model: a float64 matrix (rows x feature columns, NaN = missing) in, one float64 score a row out."""

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
