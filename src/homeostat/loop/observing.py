"""What a look at a rollout sees, gathered from monitoring and from the workers."""

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from homeostat.ground.clock import HOUR
from homeostat.loop.ingest import slow_limits
from homeostat.loop.workers import MemoryWatch, WorkerState
from homeostat.monitoring.accuracy import paired
from homeostat.monitoring.arms import arm_labels
from homeostat.monitoring.health import traffic_since
from homeostat.monitoring.slowness import own_limit
from homeostat.rollout.observed import Observation, Totals
from homeostat.rollout.walk import Rollout, SlowLimit


def observe(
    conn: Connection,
    rollout: Rollout,
    *,
    now: int,
    label_seq: int,
    states: Sequence[WorkerState] = (),
    memory: MemoryWatch | None = None,
) -> Observation:
    """Everything that came since the last look."""
    assert rollout.stable is not None  # without a stable version it is promoted at the start
    evidence = rollout.evidence
    span = {"after_seq": evidence.label_seq, "up_to_seq": label_seq}
    versions = {"stable": rollout.stable, "candidate": rollout.candidate}
    is_split = evidence.split_since is not None and evidence.arms is not None
    return Observation(
        now=now,
        label_seq=label_seq,
        paired=paired(conn, rollout.model, **versions, **span) if evidence.quality is not None else None,
        arms=arm_labels(conn, rollout.model, **versions, **span, since=evidence.split_since or 0) if is_split else None,
        traffic=known_traffic(conn, rollout.model, since=rollout.started_at),
        # In the bake the stable version answers nothing any more: what was its limit stays.
        slow_limit=None if rollout.is_released else slow_limit_of(conn, rollout.model, rollout.stable, now=now),
        memory=memory.added(states, f"{rollout.model}@{rollout.candidate}") if memory and states else None,
        load_failure=next(
            (state.failures[rollout.endpoint] for state in states if rollout.endpoint in state.failures), ""
        ),
    )


def known_traffic(conn: Connection, model: str, *, since: int) -> Totals:
    """Growing totals of every version in every role, from a fixed time before `since` on."""
    return traffic_since(conn, model, start=since - HOUR)


def slow_limit_of(conn: Connection, model: str, stable: int, *, now: int) -> SlowLimit | None:
    """What counts as slow: the model's declared limit, else the stable version's own 99th percentile, when known."""
    declared = slow_limits(conn).get(model)
    if declared is not None:
        return SlowLimit(us=declared)
    own = own_limit(conn, model, stable, now=now)
    return SlowLimit(us=own.us, bucket=own.bucket) if own is not None else None
