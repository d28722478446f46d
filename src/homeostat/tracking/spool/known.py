"""What a server tells a process that goes on with a run."""

from sqlalchemy.engine import Connection

from homeostat.tracking.lookup import run_number
from homeostat.tracking.runs import get_run
from homeostat.tracking.series import last_metrics
from homeostat.tracking.spool.target import KnownRun


def known_run(conn: Connection, run_id: str) -> KnownRun:
    """The run's project, parameters, and the next step of each of its series.

    Raises:
        NotFound: when there is no such run.
    """
    detail = get_run(conn, run_id)
    steps = {metric.key: metric.last_step + 1 for metric in last_metrics(conn, run_number(conn, run_id))}
    return KnownRun(detail.run.project, detail.params, steps)
