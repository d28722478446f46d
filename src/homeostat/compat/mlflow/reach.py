"""What the one who asks may reach: a token can be made for some projects only."""

from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.wire import Context
from homeostat.ground.access import LOCAL
from homeostat.ground.errors import NotFound
from homeostat.tracking.projects import get_project
from homeostat.tracking.runs import find_run
from homeostat.tracking.types import Project, Run


def reachable_run(context: Context, conn: Connection, run_id: str) -> Run:
    """A run within reach.

    Raises:
        NotFound: as MLflow words it.
        Denied: when it is in a project the token was not made for.
    """
    try:
        run = find_run(conn, run_id)
    except NotFound as error:
        raise NotFound(f"Run with id={run_id:.120} not found", field="run_id") from error
    context.identity.require_project(run.project)
    return run


def check_reach(context: Context, conn: Connection, run_id: str) -> None:
    """`reachable_run` for those who need nothing of it: free of charge when the token spans all projects."""
    if context.identity.projects is not None:
        reachable_run(context, conn, run_id)


def reachable_project(context: Context, conn: Connection, number: int) -> Project:
    """A project within reach."""
    project = get_project(conn, number)
    context.identity.require_project(project.name)
    return project


def actor_of(context: Context, claimed: str = "") -> str:
    """Who did it: whoever the token names. On a server of one machine, who the client says it is."""
    return claimed if claimed and context.identity == LOCAL else context.identity.name
