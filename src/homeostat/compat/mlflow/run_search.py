"""runs/search."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import experiment_numbers, page_size
from homeostat.compat.mlflow.links import NO_LINKS, links_of
from homeostat.compat.mlflow.run_view import run_view
from homeostat.compat.mlflow.views import view_of
from homeostat.compat.mlflow.wire import Context
from homeostat.tracking.projects import list_projects
from homeostat.tracking.search.find import LARGEST_PAGE, search_runs


class Search(msgspec.Struct):
    """runs/search."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


def search(context: Context, body: Search) -> dict[str, Any]:
    """A page of runs."""
    size = page_size(body.max_results, default=1000, most=LARGEST_PAGE)
    numbers = experiment_numbers(body.experiment_ids)
    with context.database.read() as conn:
        page = search_runs(
            conn,
            _within_reach(context, conn, numbers),
            text=body.filter,
            order_by=body.order_by,
            view=view_of(body.run_view_type, "run_view_type"),
            limit=size,
            page_token=body.page_token or None,
            now=context.clock.now(),
        )
        links = links_of(conn, [found.run.id for found in page.runs])
    reply: dict[str, Any] = {}
    if page.runs:
        reply["runs"] = [run_view(found, links.get(found.run.id, NO_LINKS)) for found in page.runs]
    if page.next_token:
        reply["next_page_token"] = page.next_token
    return reply


def _within_reach(context: Context, conn: Connection, numbers: Sequence[int]) -> list[int]:
    """As MLflow's own auth does: what is out of reach is left out, not refused."""
    if context.identity.projects is None:
        return list(numbers)
    reachable = {item.id for item in list_projects(conn, view="all") if context.identity.may_touch(item.name)}
    return [number for number in numbers if number in reachable]
