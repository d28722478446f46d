"""Late labels of arms that answer different requests at the same time: the rows of a canary or an A/B."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.monitoring.store import labels, outcomes


class ArmLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled rows of both arms, one entry a row, in the order in which labels came in."""

    seq: npt.NDArray[np.int64]
    label_at: npt.NDArray[np.int64]
    y: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    is_candidate: npt.NDArray[np.bool_]


def arm_labels(
    conn: Connection, model: str, *, stable: int, candidate: int, since: int, after_seq: int, up_to_seq: int
) -> ArmLabels:
    """Rows asked from `since` on that either arm answered and whose first label has a number in (after_seq, up_to_seq].

    A correction does not bring its row a second time, so that each counts once as evidence.
    """
    first, earlier = labels.alias("first"), labels.alias("earlier")
    was_labelled = sa.exists().where(
        earlier.c.model == first.c.model, earlier.c.request_id == first.c.request_id, earlier.c.seq < first.c.seq
    )
    is_theirs = sa.and_(outcomes.c.version == candidate, outcomes.c.arm == "canary")
    is_ours = sa.and_(outcomes.c.version == stable, outcomes.c.arm == "stable")
    query = (
        sa.select(first.c.seq, first.c.at, first.c.value, outcomes.c.score, outcomes.c.version)
        .select_from(first)
        .join(outcomes, sa.and_(outcomes.c.request_id == first.c.request_id, outcomes.c.model == first.c.model))
        # `|| ''` keeps SQLite from walking all labels of the model instead of the few new ones by number.
        .where(first.c.seq > after_seq, first.c.seq <= up_to_seq, first.c.model.concat("") == model, ~was_labelled)
        # `+ 0` keeps it from walking all that was asked since then for each label.
        .where(outcomes.c.at + 0 >= since, outcomes.c.score.is_not(None), sa.or_(is_theirs, is_ours))
        .order_by(first.c.seq)
    )
    columns: list[Any] = list(zip(*(tuple(row) for row in conn.execute(query)), strict=True)) or [()] * 5
    return ArmLabels(
        seq=np.array(columns[0], dtype=np.int64),
        label_at=np.array(columns[1], dtype=np.int64),
        y=np.array(columns[2], dtype=np.float64),
        score=np.array(columns[3], dtype=np.float64),
        is_candidate=np.array(columns[4], dtype=np.int64) == candidate,
    )
