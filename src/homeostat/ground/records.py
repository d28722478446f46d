"""Small records that pass between rooms which do not know each other."""

from typing import Any

import msgspec


class FeatureColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the vector a model sees: a number, a category coded by a frozen vocabulary, or a text's code."""

    name: str
    kind: str
    """'number', 'category' or 'text' (models without declared features alone)."""
    categories: tuple[str, ...] = ()
    """Code i stands for categories[i]; a value outside is NaN, like a missing one. Of a text: values it has seen."""


class InputColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column a request has to bring: an entity key, an input of an on-demand function, or a raw feature."""

    name: str
    dtype: str
    """'number', 'string', 'time' or 'boolean'."""
    nullable: bool = True


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model version takes and gives; stored with the version."""

    task: str
    """'binary' (score = probability that the label is true, or the second of `classes`), 'multiclass' (a probability
    for each of `classes`) or 'regression' (the value, or one for each of `outputs`). Empty: nobody has looked yet."""
    inputs: tuple[InputColumn, ...]
    columns: tuple[FeatureColumn, ...]
    feature_hash: str
    """Content hash of the feature definitions, on every served vector; empty when the vector is the inputs."""
    classes: tuple[str, ...] = ()
    """Names of a classifier's classes, in the order of its probabilities."""
    outputs: tuple[str, ...] = ()
    """Names of what a regression gives, when it gives several values a row."""
    keys: tuple[InputColumn, ...] = ()
    """Columns that a request may bring beside its inputs: they say which entity a row is, so that labels find it."""
    obstacle: str = ""
    """Why it cannot answer, in the words of whoever looked last; empty when it can, or nobody has looked."""


class PredictionBatch(msgspec.Struct, kw_only=True):
    """Rows of one request that one model version scored; one frame of the prediction log."""

    endpoint: str
    model: str
    version: int
    arm: str
    """'stable', 'canary' or 'shadow'."""
    status: str
    """'ok', 'rejected' (the caller's fault, 4xx), 'error' (ours, 5xx) or 'invalid' (5xx: the answer was no number)."""
    request_ids: list[str]
    times: list[int]
    """Event time of each row, microseconds UTC: features are read as of it."""
    received: int
    """Machine time of the request, microseconds UTC."""
    latency_us: int
    """Time from reading the request to its scores (this arm alone)."""
    protocol: str = ""
    feature_hash: str = ""
    inputs: dict[str, list[Any]] = {}
    """Request columns as decoded; times are microseconds. Empty when the vectors are the request's own columns."""
    vectors: bytes = b""
    """len(request_ids) x number of feature columns, float64, row-major, little endian."""
    scores: list[float] = []
    outputs: bytes = b""
    """len(request_ids) x number of outputs, as `vectors`, when the version gives several numbers a row."""
    detail: str = ""
    """For 'rejected' and 'error': what was wrong, naming the field."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What was true for one request, whenever it became known."""

    request_id: str
    value: float
    at: int
    """Event time at which the label became known, microseconds UTC."""


class ColumnBins(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen reference bins of one column and how the training rows fell into them.

    number: `edges` are inner edges e1 < ... < ek; counts has k+2 entries: k+1 bins (value <= e1, ..., value > ek),
    then nulls. category: `categories` are listed, counts has len(categories)+2 entries: each, other, nulls.
    """

    name: str
    kind: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
