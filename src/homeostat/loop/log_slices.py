"""A request column of the prediction log, as slices: its values, or the quarters of the training rows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.ground.errors import Invalid
from homeostat.ground.records import ColumnBins, Signature
from homeostat.monitoring.accuracy_windows.types import Sliced
from homeostat.serving.scan import scan_frames
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 30
"""Values of a column that are told apart, the most frequent; the others are one slice."""
OTHER, NONE = "(other)", "(none)"


class LogColumn(msgspec.Struct, frozen=True, kw_only=True):
    """Where a column is found in a row of the log: among the inputs, or at a place of the vector."""

    name: str
    place: int | None = None
    """In the vector; None when only requests bring it."""
    categories: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    """Of a number: where the quarters of the training rows end."""


def log_column(signature: Signature | None, bins: Sequence[ColumnBins], name: str) -> LogColumn:
    """Where a column is found.

    Raises:
        Invalid: naming the columns there are.
    """
    columns = signature.columns if signature is not None else ()
    inputs = signature.inputs + signature.keys if signature is not None else ()
    place = next((place for place, column in enumerate(columns) if column.name == name), None)
    if place is None and name not in {column.name for column in inputs}:
        known = dict.fromkeys([column.name for column in inputs] + [column.name for column in columns])
        raise Invalid(
            f"the log holds no column {name!r:.80}",
            field="by",
            next_step=f"it holds {', '.join(known)}"[:500] if known else "no version of the model is known yet",
        )
    edges = next((one.edges for one in bins if one.name == name and one.kind == "number"), ())
    cut = tuple(edges[len(edges) * quarter // 4] for quarter in (1, 2, 3)) if len(edges) >= 8 else ()
    categories = columns[place].categories if place is not None else ()
    return LogColumn(name=name, place=place, categories=categories, edges=tuple(dict.fromkeys(cut)))


def log_slicer(
    database: Database, blobs: BlobStore, folder: Path, model: str, column: LogColumn, *, version: int | None = None
) -> Callable[[int, int], Sliced | None]:
    """(start, end) to the slices of the answered rows that the log has there; None when it has none."""

    def slices(start: int, end: int) -> Sliced | None:
        import polars as pl

        with database.read() as conn:
            frames = [
                frame.filter(pl.col("status") == "ok", pl.col("arm") != "shadow").select(
                    "request_id", "at", "version", "inputs", "vector"
                )
                for frame in scan_frames(conn, blobs, folder, model=model, start=start, end=end)
            ]
        frame = pl.concat(frames) if frames else None
        if frame is not None and version is not None:
            frame = frame.filter(pl.col("version") == version)
        if frame is None or not len(frame):
            return None
        names = slice_names(column_values(frame, column), column)
        return Sliced(request_ids=frame["request_id"].to_list(), at=frame["at"].to_numpy(), names=names)

    return slices


def column_values(frame: "pl.DataFrame", column: LogColumn) -> list[Any]:
    """The column's value in each row of a frame of the log; None where it is missing."""
    vectors = frame["vector"].to_list()
    found = []
    for text, vector in zip(frame["inputs"].to_list(), vectors, strict=True):
        row = msgspec.json.decode(text)
        if column.name in row:
            found.append(row[column.name])
        elif column.place is not None and vector and column.place < len(vector):
            found.append(_decoded(vector[column.place], column.categories))
        else:
            found.append(None)
    return found


def _decoded(number: float | None, categories: Sequence[str]) -> Any:
    if number is None or number != number:  # noqa: PLR0124  NaN is missing
        return None
    if not categories:
        return number
    return categories[int(number)] if 0 <= number < len(categories) else None


def slice_names(values: Sequence[Any], column: LogColumn) -> list[str]:
    """What slice each value is in."""
    if column.edges:
        return [_range(value, column.edges) for value in values]
    names = [_text(value) for value in values]
    found, counts = np.unique(np.array(names, dtype=object), return_counts=True)
    if len(found) <= MOST_VALUES:
        return names
    often = {found[place] for place in np.argsort(-counts, kind="stable")[:MOST_VALUES]}
    return [name if name in often else OTHER for name in names]


def _range(value: Any, edges: Sequence[float]) -> str:
    if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  NaN is missing
        return NONE
    place = int(np.searchsorted(edges, value, side="left"))
    if place == 0:
        return f"<= {edges[0]:g}"
    return f"> {edges[-1]:g}" if place == len(edges) else f"{edges[place - 1]:g} to {edges[place]:g}"


def _text(value: Any) -> str:
    if value is None or value == "":
        return NONE
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:200]
