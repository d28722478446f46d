"""Labels: what was true, whenever it arrives. They are kept for ever; corrections come on top."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid
from homeostat.ground.records import Label
from homeostat.monitoring.store import labels as table
from homeostat.store.dialect import insert_new, write_in_turn


class LabelResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many labels were new, and how many had been sent before, word for word."""

    accepted: int
    duplicates: int


def record_labels(conn: Connection, model: str, labels: Sequence[Label], *, recorded: int) -> LabelResult:
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
    rows = [
        {"model": model, "request_id": one.request_id, "value": one.value, "at": one.at, "recorded": recorded}
        for one in labels
    ]
    accepted = insert_new(conn, table, rows)
    return LabelResult(accepted=accepted, duplicates=len(rows) - accepted)


def label_high_water(conn: Connection) -> int:
    """The highest label number so far; 0 before the first."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))).scalar_one())
