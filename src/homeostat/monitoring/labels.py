"""Labels: what was true, whenever it arrives. They are kept for ever; corrections come on top."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.records import Label, PredictionBatch
from homeostat.monitoring.store import key_labels, outcomes
from homeostat.monitoring.store import labels as table
from homeostat.store.dialect import insert_new_tuples, next_numbers, write_in_turn

Item = TypeVar("Item")

AT_ONCE = 500
"""Ids a query; SQLite takes 32,766 values, and long lists of OR are slow to plan."""

_COLUMNS = ("model", "request_id", "value", "at", "recorded", "actor", "key_label", "waiting")


class LabelResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of labels."""

    accepted: int
    """New ones."""
    duplicates: int
    """Those that had been sent before, word for word."""
    changed: int = 0
    """New ones that say otherwise than an earlier label of the same request, or of the same entity and time."""
    waiting: int = 0
    """New ones whose prediction is not known yet; they are joined when it comes."""

    def __add__(self, other: "LabelResult") -> "LabelResult":
        return LabelResult(
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            changed=self.changed + other.changed,
            waiting=self.waiting + other.waiting,
        )


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A label as it is kept."""

    request_id: str
    value: float
    at: int
    recorded: int
    """Machine time at which it came."""
    actor: str
    keys: dict[str, Any] | None
    """The entity key by which it was sent; None when it was sent by request id."""
    time: int | None
    """The event time that came with the key."""
    waiting: bool
    believed: bool


def record_labels(
    conn: Connection, model: str, labels: Sequence[Label], *, recorded: int, actor: str = ""
) -> LabelResult:
    """Keep the labels; `recorded` is the machine's time. The same label (request, value, time) twice is kept once.

    Raises:
        Invalid: when a value is not a finite number, naming the request.
    """
    bad = next((label for label in labels if label.value - label.value != 0), None)
    if bad is not None:
        raise Invalid(
            f"the label of request {bad.request_id!r} is {bad.value}", field="value", next_step="send a finite number"
        )
    write_in_turn(conn, table)  # paired() reads on from the highest seq it saw
    before = label_high_water(conn)
    rows = [(model, one.request_id, one.value, one.at, recorded, actor, 0, False) for one in labels]
    accepted = insert_new_tuples(conn, table, _COLUMNS, rows)
    return LabelResult(
        accepted=accepted,
        duplicates=len(rows) - accepted,
        changed=_count_changes(conn, model, after=before) if accepted else 0,
        waiting=_mark_waiting(conn, model, after=before) if accepted else 0,
    )


def _mark_waiting(conn: Connection, model: str, *, after: int) -> int:
    scored = sa.exists().where(outcomes.c.request_id == table.c.request_id, outcomes.c.model == table.c.model)
    statement = table.update().where(table.c.seq > after, table.c.model == model, ~scored).values(waiting=True)
    return int(conn.execute(statement).rowcount)


def _count_changes(conn: Connection, model: str, *, after: int) -> int:
    earlier = table.alias("earlier")
    contradicted = sa.exists().where(
        earlier.c.model == table.c.model,
        earlier.c.request_id == table.c.request_id,
        earlier.c.seq < table.c.seq,
        earlier.c.value != table.c.value,
    )
    query = sa.select(sa.func.count()).select_from(table).where(table.c.seq > after, table.c.model == model)
    return int(conn.execute(query.where(contradicted)).scalar_one())


def label_high_water(conn: Connection) -> int:
    """The highest label number so far; 0 before the first."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))).scalar_one())


def believed_values(conn: Connection, model: str, request_ids: Iterable[str]) -> dict[str, float]:
    """What is believed of these requests so far, for those that have a label."""
    found: dict[str, float] = {}
    for some in portions(dict.fromkeys(request_ids)):
        query = sa.select(table.c.request_id, table.c.value).where(table.c.model == model, table.c.request_id.in_(some))
        found.update(tuple(row) for row in conn.execute(query.order_by(table.c.at, table.c.seq)))
    return found


def label_history(conn: Connection, model: str, request_id: str) -> list[LabelRecord]:
    """Every label of a request, the believed one last."""
    query = (
        sa.select(table, key_labels.c["keys"].label("entity"), key_labels.c.time)
        .outerjoin(key_labels, key_labels.c.seq == table.c.key_label)
        .where(table.c.model == model, table.c.request_id == request_id)
        .order_by(table.c.at, table.c.seq)
    )
    rows = conn.execute(query).all()
    return [
        LabelRecord(
            request_id=row.request_id,
            value=row.value,
            at=row.at,
            recorded=row.recorded,
            actor=row.actor,
            keys=row.entity,
            time=row.time,
            waiting=row.waiting,
            believed=place == len(rows) - 1,
        )
        for place, row in enumerate(rows)
    ]


def labelled_models(conn: Connection, request_id: str) -> list[str]:
    """The models that have labels of a request of this id."""
    return sorted(set(conn.execute(sa.select(table.c.model).where(table.c.request_id == request_id)).scalars()))


def count_waiting(conn: Connection, model: str) -> int:
    """How many labels wait for their prediction: those sent by request id, and those sent by entity key."""
    by_id = sa.select(sa.func.count()).select_from(table).where(table.c.model == model, table.c.waiting.is_(True))
    joined = sa.exists().where(table.c.key_label == key_labels.c.seq, table.c.key_label > 0)
    by_key = sa.select(sa.func.count()).select_from(key_labels).where(key_labels.c.model == model, ~joined)
    return int(conn.execute(by_id).scalar_one()) + int(conn.execute(by_key).scalar_one())


def wake_labels(conn: Connection, batches: Sequence[PredictionBatch]) -> int:
    """Labels that came before their predictions, which are in these batches, wait no longer; says how many.

    They get new numbers: whoever reads labels by number (`paired`) has passed the old ones. Belongs into the
    transaction that takes the predictions in.
    """
    ids: dict[str, dict[str, None]] = {}
    for batch in batches:
        if batch.status == "ok" and batch.scores:
            ids.setdefault(batch.model, {}).update(dict.fromkeys(batch.request_ids))
    woken: list[int] = []
    for model, requests in ids.items():
        if not _has_waiting(conn, model):
            continue
        for some in portions(requests):
            asleep = (table.c.model == model, table.c.request_id.in_(some), table.c.waiting.is_(True))
            woken += conn.execute(sa.select(table.c.seq).where(*asleep)).scalars()
    if woken:
        _renumber(conn, sorted(woken))
    return len(woken)


def _renumber(conn: Connection, numbers: Sequence[int]) -> None:
    write_in_turn(conn, table)
    changes = zip(next_numbers(conn, table.c.seq, len(numbers)), numbers, strict=True)
    statement = table.update().where(table.c.seq == sa.bindparam("old")).values(seq=sa.bindparam("new"), waiting=False)
    conn.execute(statement, [{"new": new, "old": old} for new, old in changes])


def _has_waiting(conn: Connection, model: str) -> bool:
    query = sa.select(table.c.seq).where(table.c.model == model, table.c.waiting.is_(True)).limit(1)
    return conn.execute(query).first() is not None


def portions(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Lists short enough for one query each."""
    held = list(items)
    for start in range(0, len(held), AT_ONCE):
        yield held[start : start + AT_ONCE]
