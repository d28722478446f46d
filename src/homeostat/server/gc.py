"""`homeostat gc`: what has been in the trash too long goes for good, then the bytes that nothing names any more."""

import msgspec

from homeostat.ground.clock import DAY, SystemClock, parse_duration
from homeostat.registry.references import logged_models_in_use, runs_in_use
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.sweep import Sweep, sweep
from homeostat.tracking.trash import (
    expired_models,
    expired_projects,
    expired_runs,
    purge_models,
    purge_projects,
    purge_runs,
)

GRACE = DAY
"""Bytes younger than this are left alone: an upload may be about to name them."""
_RUNS_AT_ONCE = 200


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection did, or (`dry_run`) would do."""

    dry_run: bool
    runs: int
    logged_models: int
    projects: int
    runs_kept: int
    """Runs whose time is up but that a registered version came from."""
    blobs: Sweep


def collect(
    database: Database, blobs: BlobStore, *, now: int, actor: str, older_than: str = "30d", dry_run: bool = True
) -> Collected:
    """Empty the trash of what went there longer ago than `older_than`, and sweep the blobs.

    A dry run changes nothing; it counts the blobs that are unnamed already, not those of runs that would go.
    """
    before = now - parse_duration(older_than, field="older_than")
    with database.read() as conn:
        expired = expired_runs(conn, before=before)
        needed = runs_in_use(conn, expired)
        projects = expired_projects(conn, before=before, keeping=needed)
        models = expired_models(conn, before=before)
        models = sorted(set(models) - logged_models_in_use(conn, models))
    doomed = [run_id for run_id in expired if run_id not in needed]
    if not dry_run:
        # A few at a time, so that whoever logs meanwhile does not wait long.
        for start in range(0, len(doomed), _RUNS_AT_ONCE):
            with database.write() as conn:
                purge_runs(conn, doomed[start : start + _RUNS_AT_ONCE], at=now, actor=actor)
        with database.write() as conn:
            purge_models(conn, models, at=now, actor=actor)
            purge_projects(conn, projects, at=now, actor=actor)
    with database.read() as conn:
        swept = sweep(conn, blobs, before=SystemClock().now() - GRACE, remove=not dry_run)
    return Collected(
        dry_run=dry_run,
        runs=len(doomed),
        logged_models=len(models),
        projects=len(projects),
        runs_kept=len(needed),
        blobs=swept,
    )
