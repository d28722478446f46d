"""Traces within reach of the one who asks, and MLflow's words for one that is not there."""

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.errors import NotFound
from homeostat.tracking.traces import get_trace, get_traces
from homeostat.tracking.types import Trace


def reachable_trace(context: Context, conn: Connection, trace_id: str) -> Trace:
    """A trace within reach.

    Raises:
        NotFound: as MLflow words it.
        Denied: when it is in a project the token was not made for.
    """
    try:
        trace = get_trace(conn, require(trace_id, "trace_id"))
    except NotFound as error:
        raise NotFound(f"Trace with ID '{trace_id:.120}' not found.", field="trace_id") from error
    context.identity.require_project(trace.project)
    return trace


def reachable_traces(
    context: Context, conn: Connection, trace_ids: Sequence[str], experiment_ids: Sequence[int] = ()
) -> list[Trace]:
    """Those of these traces that are there and within reach, in the order asked for; of some projects, if any."""
    return [
        trace
        for trace in get_traces(conn, trace_ids)
        if context.identity.may_touch(trace.project) and (not experiment_ids or trace.project_id in experiment_ids)
    ]
