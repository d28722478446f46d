"""Frames to content-addressed Parquet fragments and back. This file's subject is Polars; import it late."""

import io
from collections.abc import Iterator

import msgspec
import polars as pl
from sqlalchemy.engine import Connection

from homeostat.datasets.catalogue import get_dataset
from homeostat.datasets.types import DatasetVersion, Fragment
from homeostat.ground.ids import check_name
from homeostat.store.blobs import BlobStore, digest_of

FRAGMENT_ROWS = 250_000
"""Rows of a fragment. Blocks are cut from the start, so a frame that grew shares all but its last old block."""


def put_dataset(blobs: BlobStore, frame: pl.DataFrame, *, name: str) -> DatasetVersion:
    """Write a frame's fragments; the same name and frame give the same digest (with the same Polars release).

    It is not in the catalogue yet: a child process may write, and the server record what it wrote.
    """
    check_name(name, what="dataset")
    fragments = tuple(_put_block(blobs, block) for block in _blocks(frame))
    schema = {column: str(dtype) for column, dtype in frame.schema.items()}
    manifest = msgspec.json.encode({"name": name, "schema": list(schema.items()), "fragments": fragments})
    return DatasetVersion(digest=digest_of(manifest), name=name, rows=frame.height, schema=schema, fragments=fragments)


def load_dataset(conn: Connection, blobs: BlobStore, digest: str) -> pl.DataFrame:
    """The frame of a version (any reference `get_dataset` takes), each fragment verified against its digest."""
    return read_fragments(blobs, get_dataset(conn, digest).fragments)


def read_fragments(blobs: BlobStore, fragments: tuple[Fragment, ...]) -> pl.DataFrame:
    """The rows of these fragments, verified, as one frame."""
    return pl.concat([pl.read_parquet(io.BytesIO(blobs.get(part.digest))) for part in fragments], rechunk=True)


def _blocks(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, max(frame.height, 1), FRAGMENT_ROWS):  # an empty frame still has one block: its schema
        yield frame.slice(start, FRAGMENT_ROWS)


def _put_block(blobs: BlobStore, block: pl.DataFrame) -> Fragment:
    buffer = io.BytesIO()
    # How the frame was chunked in memory must not show in the bytes.
    block.rechunk().write_parquet(buffer, compression="zstd", statistics=True, row_group_size=FRAGMENT_ROWS)
    data = buffer.getvalue()
    return Fragment(blobs.put(data), block.height, len(data))
