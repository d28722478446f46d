"""Sweeping blobs that nothing names any more.

What the catalogue mentions, in whatever table and column, is kept: a room that is added later cannot be forgotten.
"""

import re
from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.store.blobs import BlobStore
from homeostat.store.database import metadata

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_AT_ONCE = 10_000


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep found. Sizes are bytes; `removed` says whether the unnamed ones are gone or only counted."""

    kept: int
    kept_bytes: int
    young: int
    """Unnamed, but younger than the grace time: an upload may be about to name them."""
    unnamed: int
    unnamed_bytes: int
    removed: bool


def sweep(conn: Connection, blobs: BlobStore, *, before: int, remove: bool) -> Sweep:
    """Count (and with `remove` delete) blobs that nothing names and that were last stored before `before`.

    `before` is machine time, microseconds UTC. Storing the same bytes again makes a blob young again.
    """
    named = mentioned_digests(conn)
    kept = kept_bytes = young = unnamed = unnamed_bytes = 0
    for blob in blobs.stored():
        if blob.digest in named:
            kept, kept_bytes = kept + 1, kept_bytes + blob.size
        elif blob.modified >= before or (remove and not blobs.remove(blob.digest, before=before)):
            young += 1
        else:
            unnamed, unnamed_bytes = unnamed + 1, unnamed_bytes + blob.size
    return Sweep(
        kept=kept, kept_bytes=kept_bytes, young=young, unnamed=unnamed, unnamed_bytes=unnamed_bytes, removed=remove
    )


def mentioned_digests(conn: Connection) -> set[str]:
    """Every word of 64 hex characters in any text or JSON of the catalogue."""
    found: set[str] = set()
    for table in metadata.sorted_tables:
        for text in _texts(conn, table):
            found.update(_DIGEST.findall(text))
    return found


def _texts(conn: Connection, table: sa.Table) -> Iterator[str]:
    columns = [column for column in table.columns if isinstance(column.type, sa.String | sa.JSON)]
    # Shorter columns cannot hold a digest.
    wide = [column for column in columns if getattr(column.type, "length", None) in (None, *range(64, 100_000))]
    if not wide:
        return
    query = sa.select(*(sa.cast(column, sa.Text) for column in wide))
    for row in conn.execution_options(yield_per=_AT_ONCE).execute(query):
        yield " ".join(text for text in row if text is not None)
