"""Taking in what clients spooled: one transaction a batch, exactly once, whatever is sent twice.

A client appends to a spool file and ships it in stretches. A stretch names the spool and the bytes it covers; the
position up to which a spool has been taken in moves in the transaction that takes in the stretch.
"""

from collections.abc import Callable

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, HomeostatError, Invalid
from homeostat.store.dialect import upsert
from homeostat.tracking import artifacts, runs, store
from homeostat.tracking.inputs import log_dataset_inputs
from homeostat.tracking.lookup import writable
from homeostat.tracking.ops import (
    Datasets,
    EndRun,
    Files,
    IngestBatch,
    IngestReply,
    Inputs,
    Op,
    Params,
    Rejected,
    ResumeRun,
    Series,
    StartRun,
    Tags,
)
from homeostat.tracking.points import Points, joined
from homeostat.tracking.series import log_series


def ingest(conn: Connection, batch: IngestBatch, *, at: int, actor: str) -> IngestReply:
    """Take in a stretch; one that was taken in before changes nothing.

    Raises:
        Conflict: when it does not begin where the spool stands; ask for `spool_position` and send from there.
        Invalid: when the spool's id or the stretch makes no sense.
    """
    if len(batch.spool) != 32 or not batch.spool.isalnum() or not 0 <= batch.start < batch.end:
        raise Invalid("this is no stretch of a spool", field="spool", next_step="send spool, start and end")
    position = spool_position(conn, batch.spool)
    if batch.end <= position:
        return IngestReply(position)
    if batch.start != position:
        raise Conflict(
            f"the spool stands at {position}, this stretch begins at {batch.start}",
            field="start",
            next_step=f"send from {position}",
        )
    rejected = _apply_all(conn, batch.ops, at=at, actor=actor)
    row = {"id": batch.spool, "position": batch.end, "updated": at}
    upsert(conn, store.spools, [row], key=["id"], update=["position", "updated"])
    return IngestReply(batch.end, rejected)


def spool_position(conn: Connection, spool: str) -> int:
    """How many bytes of a spool have been taken in."""
    query = sa.select(store.spools.c.position).where(store.spools.c.id == spool)
    return int(conn.execute(query).scalar() or 0)


def _apply_all(conn: Connection, ops: list[Op], *, at: int, actor: str) -> list[Rejected]:
    rejected: list[Rejected] = []

    def attempt(index: int, apply: Callable[[], object]) -> None:
        try:
            with conn.begin_nested():  # what one refused operation has begun must not stay
                apply()
        except HomeostatError as error:
            rejected.append(Rejected(index, str(error), error.field))

    waiting: dict[str, dict[str, list[tuple[int, Points]]]] = {}
    for index, op in enumerate(ops):
        if isinstance(op, Series):  # series do not depend on the order of the rest: written run by run, in bulk
            _lay_aside(waiting, index, op, rejected)
        else:
            attempt(index, lambda op=op: _apply(conn, op, at=at, actor=actor))  # type: ignore[misc]
    for run, series in waiting.items():
        first = next(iter(series.values()))[0][0]
        merged = {key: joined([points for _, points in parts]) for key, parts in series.items()}
        attempt(first, lambda run=run, merged=merged: log_series(conn, run, merged))  # type: ignore[misc]
    return rejected


def _lay_aside(
    waiting: dict[str, dict[str, list[tuple[int, Points]]]], index: int, op: Series, rejected: list[Rejected]
) -> None:
    """Lay an operation's points beside those of the same run and key, unless they are not points."""
    if len(op.steps) % 8 or not len(op.steps) == len(op.at) == len(op.values):
        rejected.append(Rejected(index, f"metric {op.key!r:.80} does not hold whole points", op.key))
        return
    points = Points(
        np.frombuffer(op.steps, np.int64), np.frombuffer(op.at, np.int64), np.frombuffer(op.values, np.float64)
    )
    waiting.setdefault(op.run, {}).setdefault(op.key, []).append((index, points))


def _apply(conn: Connection, op: Op, *, at: int, actor: str) -> None:  # noqa: C901  one case an operation
    match op:
        case StartRun():
            runs.start_run(
                conn,
                project=op.project,
                name=op.name,
                cause=op.cause,
                at=op.started,
                actor=op.actor or actor,
                run_id=op.id,
                parent=op.parent,
                code=op.code,
                environment=op.environment,
            )
        case ResumeRun():
            runs.update_run(conn, op.run, status="running", at=at, actor=actor)
        case Params():
            runs.log_params(conn, op.run, op.values)
        case Tags():
            runs.set_tags(conn, op.run, op.values)
        case Files():
            writable(conn, op.run)
            artifacts.put_artifact(conn, op.run, op.path, digest=op.digest, size=op.size)
        case Inputs():
            for digest in op.digests:
                runs.add_input(conn, op.run, digest)
        case Datasets():
            log_dataset_inputs(conn, *writable(conn, op.run), op.inputs)
        case EndRun():
            runs.update_run(conn, op.run, status=op.status, error=op.error, ended=op.ended, at=at, actor=actor)
        case Series():
            raise AssertionError("series are written in bulk")
