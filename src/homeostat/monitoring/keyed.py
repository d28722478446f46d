"""Labels by entity key: joined to the requests that were about that entity at that time, whichever comes first.

A label with a time is for the newest event time at or before it, no earlier than its `earliest`; all requests of that
entity and event time get it. One without is for all requests about the entity, past and to come. What a label is
joined to depends on what is known, not on the order in which it came: a request that fits better takes the label over.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.monitoring.labels import LabelResult, portions
from homeostat.monitoring.store import key_labels, keys, labels, moved_labels, outcomes
from homeostat.store.dialect import insert_new_tuples, write_in_turn

FOREVER = (1 << 63) - 1
"""The time of a label that speaks for all event times."""
ALWAYS = -(1 << 63)


class KeyLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What was true for an entity, at an event time or at all times."""

    key: str
    keys: dict[str, Any]
    """The columns and values that `key` is the hash of, to be shown."""
    value: float
    at: int
    """When it became known."""
    time: int = FOREVER
    earliest: int = ALWAYS
    """With a time: no prediction of before this moment is meant."""


def record_key_labels(
    conn: Connection, model: str, sent: Sequence[KeyLabel], *, recorded: int, actor: str = ""
) -> LabelResult:
    """Keep labels by entity key and join those whose predictions are known. The same one twice is kept once."""
    write_in_turn(conn, key_labels)
    before = int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(key_labels.c.seq), 0))).scalar_one())
    rows = [
        (model, one.key, _encode(one.keys).decode(), one.time, one.earliest, one.value, one.at, recorded, actor)
        for one in sent
    ]
    accepted = insert_new_tuples(conn, key_labels, _SENT, rows)
    if not accepted:
        return LabelResult(accepted=0, duplicates=len(rows))
    new = sa.and_(key_labels.c.seq > before, key_labels.c.model == model)
    _join(conn, new)
    return LabelResult(
        accepted=accepted,
        duplicates=len(rows) - accepted,
        changed=_count(conn, sa.and_(new, _contradicted())),
        waiting=_count(conn, sa.and_(new, ~_is_joined())),
    )


_SENT = ("model", "key", "keys", "time", "earliest", "value", "at", "recorded", "actor")
_encode = msgspec.json.Encoder().encode


def believed_key_values(conn: Connection, model: str, sent: Sequence[KeyLabel]) -> dict[tuple[str, int], float]:
    """What is believed so far of these labels' entities and times, where there is anything."""
    found: dict[tuple[str, int], float] = {}
    for some in portions(dict.fromkeys(one.key for one in sent)):
        query = sa.select(key_labels.c.key, key_labels.c.time, key_labels.c.value)
        query = query.where(key_labels.c.model == model, key_labels.c.key.in_(some))
        for key, time, value in conn.execute(query.order_by(key_labels.c.at, key_labels.c.seq)):
            found[key, time] = value
    return found


def join_key_labels(conn: Connection, found: Mapping[str, Sequence[str]]) -> None:
    """Join the labels of these keys, by model, anew: requests about them have just been indexed."""
    for model, some_keys in found.items():
        anybody = sa.select(key_labels.c.seq).where(key_labels.c.model == model).limit(1)
        if conn.execute(anybody).first() is None:
            continue
        for some in portions(some_keys):
            concerned = sa.and_(key_labels.c.model == model, key_labels.c.key.in_(some))
            if conn.execute(sa.select(key_labels.c.seq).where(concerned).limit(1)).first() is not None:
                _join(conn, concerned)


def join_all(conn: Connection, model: str) -> None:
    """Join every label by key of a model anew."""
    _join(conn, key_labels.c.model == model)


def _join(conn: Connection, concerned: sa.ColumnElement[bool]) -> None:
    """Give requests the labels that are meant for them, then take away those that another request fits better.

    In this order: a number that was taken away and given again on SQLite would be one that readers have passed.
    """
    write_in_turn(conn, labels)
    timed = sa.and_(concerned, key_labels.c.time < FOREVER)
    _give(conn, timed, _is_nearest())
    _give(conn, sa.and_(concerned, key_labels.c.time == FOREVER), _is_about())
    still_meant = sa.exists().where(
        key_labels.c.seq == labels.c.key_label, keys.c.request_id == labels.c.request_id, _is_nearest()
    )
    moved = sa.select(key_labels.c.seq).where(timed)
    is_lost = sa.and_(labels.c.key_label > 0, labels.c.key_label.in_(moved), ~still_meant)
    _note_moved(conn, is_lost)
    conn.execute(labels.delete().where(is_lost))


def _note_moved(conn: Connection, is_lost: sa.ColumnElement[bool]) -> None:
    """For accuracy by window: what was said of the windows that lose a label does not hold any more."""
    about = sa.and_(outcomes.c.request_id == labels.c.request_id, outcomes.c.model == labels.c.model)
    lost = sa.select(labels.c.model, outcomes.c.at).select_from(labels).join(outcomes, about).where(is_lost).distinct()
    found = [{"model": model, "at": at} for model, at in conn.execute(lost)]
    if found:
        conn.execute(moved_labels.insert(), found)


_GIVEN = ("model", "request_id", "value", "at", "recorded", "actor", "key_label", "waiting")


def _give(conn: Connection, concerned: sa.ColumnElement[bool], is_meant: sa.ColumnElement[bool]) -> None:
    said = key_labels.c
    given = (
        sa.select(said.model, keys.c.request_id, said.value, said.at, said.recorded, said.actor, said.seq)
        .select_from(key_labels)
        .join(keys, is_meant)
        .where(concerned, ~_is_given())
        .order_by(said.seq, keys.c.at, keys.c.request_id)
    )
    insert_new_tuples(conn, labels, _GIVEN, [(*row, False) for row in conn.execute(given)])


def _is_about() -> sa.ColumnElement[bool]:
    """Whether an indexed request is about a label's entity."""
    return sa.and_(keys.c.model == key_labels.c.model, keys.c.key == key_labels.c.key)


def _is_nearest() -> sa.ColumnElement[bool]:
    """Whether it is, and stands at the newest event time that the label may mean."""
    newer = keys.alias("newer")
    newest = sa.select(sa.func.max(newer.c.at)).where(
        newer.c.model == key_labels.c.model,
        newer.c.key == key_labels.c.key,
        newer.c.at.between(key_labels.c.earliest, key_labels.c.time),
    )
    return sa.and_(_is_about(), keys.c.at == newest.correlate(key_labels).scalar_subquery())


def _is_given() -> sa.ColumnElement[bool]:
    return sa.exists().where(
        labels.c.key_label == key_labels.c.seq,
        labels.c.model == key_labels.c.model,
        labels.c.request_id == keys.c.request_id,
    )


def _is_joined() -> sa.ColumnElement[bool]:
    return sa.exists().where(labels.c.key_label == key_labels.c.seq, labels.c.key_label > 0)


def _contradicted() -> sa.ColumnElement[bool]:
    earlier = key_labels.alias("earlier")
    return sa.exists().where(
        earlier.c.model == key_labels.c.model,
        earlier.c.key == key_labels.c.key,
        earlier.c.time == key_labels.c.time,
        earlier.c.seq < key_labels.c.seq,
        earlier.c.value != key_labels.c.value,
    )


def _count(conn: Connection, condition: sa.ColumnElement[bool]) -> int:
    return int(conn.execute(sa.select(sa.func.count()).select_from(key_labels).where(condition)).scalar_one())
