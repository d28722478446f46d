"""Runs as plain data."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.tracking import runs as tracking


def runs_view(conn: Connection, *, project: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest runs first."""
    return [_times(msgspec.to_builtins(run)) for run in tracking.list_runs(conn, project=project, limit=limit)]


def run_view(conn: Connection, run_id: str) -> dict[str, Any]:
    """One run with params, last metrics, artifacts, inputs, code and environment."""
    return _times(msgspec.to_builtins(tracking.get_run(conn, run_id)))


def _times(run: dict[str, Any]) -> dict[str, Any]:
    for key in ("started", "ended"):
        if isinstance(run.get(key), int):
            run[key] = to_iso(run[key])
    return run
