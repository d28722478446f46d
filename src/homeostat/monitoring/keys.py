"""Which requests were about which entity: an index over the request columns by which labels of a model are sent."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.records import InputColumn, PredictionBatch
from homeostat.monitoring.store import key_sets, keys
from homeostat.store.dialect import insert_new_tuples

MOST_SETS = 4
"""Key sets a model may have: each costs a row of the index per prediction."""

Version = tuple[str, int]
Row = tuple[str, str, int, str]
"""Model, key, event time, request id."""

_encode = msgspec.json.Encoder().encode


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """Request columns that together name an entity, by name."""

    model: str
    columns: tuple[InputColumn, ...]
    progress: dict[str, Any] | None = None
    """How far the log of before is indexed; None when it is through."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def key(self, values: Sequence[Any]) -> str | None:
        """The key of an entity; None when a value is missing. Equal numbers are equal, whole or not.

        >>> origin = KeySet(model="m", columns=(InputColumn(name="shop", dtype="number"),))
        >>> origin.key([7]) == origin.key([7.0]), origin.key([None])
        (True, None)
        """
        plain = [_plain(value) for value in values]
        if None in plain:
            return None
        return blake3(_encode((self.names, plain))).hexdigest(16)


def _plain(value: Any) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return None if value is None else str(value)


def list_key_sets(conn: Connection, model: str | None = None) -> list[KeySet]:
    """The key sets of a model, or of all."""
    query = sa.select(key_sets).order_by(key_sets.c.model, key_sets.c.names)
    rows = conn.execute(query if model is None else query.where(key_sets.c.model == model)).all()
    return [
        KeySet(model=row.model, columns=msgspec.convert(row.columns, tuple[InputColumn, ...]), progress=row.progress)
        for row in rows
    ]


def open_key_set(conn: Connection, model: str, columns: Iterable[InputColumn]) -> KeySet:
    """The key set of these columns; a new one is indexed from now on, and the log of before by and by.

    Raises:
        Invalid: when the model has as many as it may.
    """
    wanted = KeySet(model=model, columns=tuple(sorted(columns, key=lambda column: column.name)), progress={})
    known = list_key_sets(conn, model)
    for one in known:
        if one.names == wanted.names:
            return one
    if len(known) >= MOST_SETS:
        raise Invalid(
            f"labels of {model!r} come by {len(known)} sets of keys already",
            field="keys",
            next_step="use one of " + "; ".join(", ".join(one.names) for one in known),
        )
    names, plain = _encode(wanted.names).decode(), msgspec.to_builtins(wanted.columns)
    conn.execute(key_sets.insert().values(model=model, names=names, columns=plain, progress={}))
    return wanted


def set_progress(conn: Connection, key_set: KeySet, progress: dict[str, Any] | None) -> None:
    """Remember how far the log of before is indexed; None when it is through."""
    same = (key_sets.c.model == key_set.model, key_sets.c.names == _encode(key_set.names).decode())
    stored = sa.null() if progress is None else progress
    conn.execute(key_sets.update().where(*same).values(progress=stored))


def index_batches(
    conn: Connection, batches: Iterable[PredictionBatch], *, columns: Mapping[Version, Sequence[str]]
) -> dict[str, list[str]]:
    """Index answered rows of models that have key sets; returns the keys they have, by model.

    `columns` names each version's vector, for requests that are logged as a vector only.
    """
    sets = list_key_sets(conn)
    answered = [batch for batch in batches if batch.status == "ok" and batch.request_ids]
    rows: list[Row] = []
    for key_set in sets:
        for batch in answered:
            if batch.model == key_set.model:
                values = batch_values(batch, key_set.names, columns.get((batch.model, batch.version), ()))
                rows += key_rows(key_set, values, batch.times, batch.request_ids)
    index_rows(conn, rows)
    found: dict[str, dict[str, None]] = {}
    for model, key, _at, _request in rows:
        found.setdefault(model, {})[key] = None
    return {model: list(some) for model, some in found.items()}


def index_rows(conn: Connection, rows: Sequence[Row]) -> None:
    """Keep rows of the index; those that are there already stay as they are."""
    insert_new_tuples(conn, keys, ("model", "key", "at", "request_id"), rows)


def key_rows(
    key_set: KeySet, values: Sequence[Sequence[Any]] | None, times: Sequence[int], request_ids: Sequence[str]
) -> list[Row]:
    """Rows of the index, from one list of values for each column of the set; none when a column is not there."""
    if values is None:
        return []
    entities = map(key_set.key, zip(*values, strict=True))
    return [
        (key_set.model, key, at, request)
        for key, at, request in zip(entities, times, request_ids, strict=True)
        if key is not None
    ]


def batch_values(
    batch: PredictionBatch, names: Sequence[str], vector_columns: Sequence[str]
) -> list[Sequence[Any]] | None:
    """The values of request columns in a batch, one list a column; None when it lacks one."""
    found: list[Sequence[Any]] = []
    for name in names:
        if name in batch.inputs:
            found.append(batch.inputs[name])
        elif name in vector_columns and batch.vectors:
            table = np.frombuffer(batch.vectors, "<f8").reshape(len(batch.request_ids), -1)
            found.append(table[:, list(vector_columns).index(name)].tolist())
        else:
            return None
    return found


def forget_keys(conn: Connection, *, before: int) -> int:
    """Drop index rows of predictions from before a moment; says how many."""
    return int(conn.execute(keys.delete().where(keys.c.at < before)).rowcount)
