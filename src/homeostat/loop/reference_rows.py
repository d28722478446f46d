"""Rows to compare a compiled scorer and its original on: those it was trained on, an example, or rows like them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.features.encoding import category_text, encode_frame
from homeostat.ground.records import ColumnBins, FeatureColumn, Signature
from homeostat.serving.compiling.questions import MOST_ROWS, Reference

if TYPE_CHECKING:
    import polars as pl

Matrix = NDArray[np.float64]

EXAMPLE = "input_example.json"
"""Where MLflow keeps it in a logged model."""
_SEED = 11
_ROWS = 500
"""Of rows that are made up."""


def training_rows(columns: Sequence[FeatureColumn], frame: "pl.DataFrame") -> Reference:
    """At most 2,000 rows of the frame that a version was trained on, as it sees them."""
    chosen = frame.sample(min(MOST_ROWS, len(frame)), seed=_SEED)
    return Reference(matrix=encode_frame(columns, chosen), source="training rows")


def rows_like_requests(signature: Signature, bins: Sequence[ColumnBins], files: Mapping[str, bytes]) -> Reference:
    """Rows for a version whose training rows are not here: its input example, else its reference bins, else any."""
    rng = np.random.default_rng(_SEED)
    columns = signature.columns
    example = _numbers(_example_rows(files.get(EXAMPLE, b""), signature), columns)
    if len(example):
        return Reference(matrix=np.concatenate([example, _around(example, rng)]), source="input example")
    known = {one.name: one for one in bins}
    if columns and all(column.name in known for column in columns):
        drawn = [_drawn(known[column.name], rng) for column in columns]
        return Reference(matrix=np.stack(drawn, axis=1), source="reference bins")
    return Reference(matrix=_any_numbers(columns, rng), source="generated rows")


def _example_rows(data: bytes, signature: Signature) -> list[list[Any]]:
    """The rows of MLflow's input example, in the order of the signature's inputs."""
    try:
        held = msgspec.json.decode(data)
        if not isinstance(held, dict):
            return [list(row) for row in held]
        places = [held["columns"].index(column.name) for column in signature.inputs]
        return [[row[place] for place in places] for row in held["data"]]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError):
        return []


def _numbers(rows: Sequence[Sequence[Any]], columns: Sequence[FeatureColumn]) -> Matrix:
    """An example's rows as the model sees them; none when it holds what is no number."""
    codes = [{text: float(code) for code, text in enumerate(column.categories)} for column in columns]
    try:
        found = [
            [
                known.get(str(category_text(value)), np.nan) if known else _number(value)
                for value, known in zip(row, codes, strict=True)
            ]
            for row in rows[:MOST_ROWS]
        ]
    except (TypeError, ValueError):
        found = []
    return np.array(found, np.float64).reshape(-1, len(columns))


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _around(example: Matrix, rng: np.random.Generator) -> Matrix:
    """Rows near the example's; where it holds whole numbers, they stay whole."""
    rows = example[rng.integers(0, len(example), _ROWS)]
    wider = rows + rng.normal(0, 1, rows.shape) * np.maximum(np.abs(rows), 1.0)
    is_whole = np.all(np.isnan(example) | (example == np.floor(example)), axis=0)
    return np.where(is_whole, np.round(wider), wider)


def _drawn(bins: ColumnBins, rng: np.random.Generator) -> Matrix:
    """Values as they fell into the bins in training, missing ones among them."""
    counts = np.array(bins.counts, np.float64)
    shares = counts / counts.sum() if counts.sum() else np.full(len(counts), 1 / len(counts))
    place = rng.choice(len(counts), _ROWS, p=shares)
    if bins.kind == "category":
        values = np.where(place < len(bins.categories), place, np.nan).astype(np.float64)
    else:
        edges = np.array(bins.edges or (0.0,))
        edges = edges[np.isfinite(edges)]
        span = max(float(edges[-1] - edges[0]), 1.0)
        low = np.concatenate([[edges[0] - span], edges])[np.minimum(place, len(edges))]
        high = np.concatenate([edges, [edges[-1] + span]])[np.minimum(place, len(edges))]
        values = np.where(rng.random(_ROWS) < 0.3, high, rng.uniform(low, high))  # upper edges are values that occur
    return np.where(place == len(counts) - 1, np.nan, values)


def _any_numbers(columns: Sequence[FeatureColumn], rng: np.random.Generator) -> Matrix:
    """Numbers of all sizes; codes where there are categories."""
    size = 10.0 ** rng.integers(-2, 4, (_ROWS, 1))
    rows = rng.normal(0, 1, (_ROWS, len(columns))) * size
    for place, column in enumerate(columns):
        if column.kind == "category":
            rows[:, place] = rng.integers(0, max(len(column.categories), 1), _ROWS)
    return rows
