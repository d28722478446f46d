"""Evaluations in the catalogue: one for each run."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.evaluation.types import Evaluation, EvaluationRecord, GateResult
from homeostat.ground.errors import NotFound
from homeostat.ground.ids import new_id
from homeostat.store.database import metadata
from homeostat.store.dialect import insert_new
from homeostat.store.events import append_event

evaluations = sa.Table(
    "evaluation_evaluations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("run_id", sa.String(32), nullable=False, unique=True),
    sa.Column("dataset", sa.String(64), nullable=True),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


def record_evaluation(
    conn: Connection,
    *,
    run_id: str,
    evaluation: Evaluation,
    gates: Sequence[GateResult] = (),
    dataset: str | None = None,
    at: int,
    actor: str,
) -> EvaluationRecord:
    """Keep a run's evaluation and verdicts; the same run again returns what is kept."""
    data = {"evaluation": msgspec.to_builtins(evaluation), "gates": msgspec.to_builtins(list(gates))}
    row = {"id": new_id(), "run_id": run_id, "dataset": dataset, "data": data, "at": at}
    if insert_new(conn, evaluations, [row]):
        verdict = {"passed": all(gate.passed for gate in gates), "gates": [gate.line() for gate in gates]}
        append_event(conn, "evaluation.recorded", subject=run_id, at=at, actor=actor, data=verdict)
    return get_evaluation(conn, run_id)


def get_evaluation(conn: Connection, run_id: str) -> EvaluationRecord:
    """The evaluation of a run.

    Raises:
        NotFound: when the run has none.
    """
    row = conn.execute(evaluations.select().where(evaluations.c.run_id == run_id)).mappings().first()
    if row is None:
        raise NotFound(f"run {run_id} has no evaluation", field="run_id", next_step="train and evaluate it first")
    return EvaluationRecord(
        id=row["id"],
        run_id=row["run_id"],
        dataset=row["dataset"],
        evaluation=msgspec.convert(row["data"]["evaluation"], Evaluation),
        gates=msgspec.convert(row["data"]["gates"], list[GateResult]),
        at=row["at"],
    )
