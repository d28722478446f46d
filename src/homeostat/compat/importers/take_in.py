"""Taking in what an import sends: whatever is there already stays, whatever is missing is added.

Nothing is remembered beside the run itself, so an import that was killed is simply run again: the run is found by its
identity, a tag, and of each series the points that it has are left out.
"""

import numpy as np
from sqlalchemy.engine import Connection

from homeostat.compat.importers.batch import FilePart, Head, ImportBatch, ImportReply, SeriesPart
from homeostat.compat.importers.identity import RUN_ID, derived_run_id
from homeostat.compat.importers.one_by_one import write_each
from homeostat.compat.importers.records import Losses
from homeostat.ground.access import Identity
from homeostat.ground.errors import HomeostatError, NotFound
from homeostat.tracking.artifacts import put_artifact
from homeostat.tracking.inputs import log_dataset_inputs
from homeostat.tracking.lookup import writable
from homeostat.tracking.points import Points, joined
from homeostat.tracking.projects import project_named, set_project_tags
from homeostat.tracking.runs import get_run, log_params, set_tags, start_run, update_run
from homeostat.tracking.series import last_metrics, log_series, read_series
from homeostat.tracking.trash import delete_run
from homeostat.tracking.types import Artifact, RunDetail
from homeostat.tracking.values import as_text

IDENTITY_TAG = "homeostat.import"
PARENT_TAG = "mlflow.parentRunId"


def take_in(conn: Connection, batch: ImportBatch, *, at: int, who: Identity) -> ImportReply:
    """Take in a stretch of a run; what is refused is in the reply, and the rest is taken in all the same."""
    losses = Losses()
    head = batch.head
    known = find_imported(conn, head.identity, head.project, head.wanted_id)
    if known is not None and known.run.deleted is not None:
        if not head.deleted:
            losses.add(head.label, "run", "it was imported before and is in the trash now; restore it first")
        return ImportReply(run_id=None, losses=losses.all())
    try:
        detail = known or _start(conn, head, actor=who.name)
    except HomeostatError as error:
        losses.add(head.label, "run", str(error))
        return ImportReply(run_id=None, losses=losses.all())
    who.require_project(detail.run.project)
    run_id = detail.run.id
    _describe(conn, head, detail, losses)
    points = _add_series(conn, run_id, batch.series, head.label, losses)
    files = add_files(conn, run_id, detail.artifacts, batch.files, head.label, losses)
    if batch.is_last:
        _finish(conn, head, detail, at=at, actor=who.name)
    return ImportReply(run_id=run_id, is_new=known is None, points=points, files=files, losses=losses.all())


def find_imported(conn: Connection, identity: str, project: str, wanted_id: str | None) -> RunDetail | None:
    """The run that this identity was imported as, if it was."""
    for run_id in _candidates(identity, project, wanted_id):
        detail = _lookup(conn, run_id)
        if detail is not None and detail.tags.get(IDENTITY_TAG) == identity:
            return detail
    return None


def missing_points(known: Points, given: Points) -> Points:
    """The points of `given` that `known` does not have."""
    given = joined([given])
    steps = np.concatenate([known.steps, given.steps])
    at = np.concatenate([known.at, given.at])
    bits = np.concatenate([known.values.view(np.int64), given.values.view(np.int64)])
    origin = np.repeat([0, 1], [len(known), len(given)])
    order = np.lexsort((origin, bits, at, steps))
    same = np.ones(len(order) - 1, bool) if len(order) else np.ones(0, bool)
    for column in (steps, at, bits):
        same &= np.diff(column[order]) == 0
    is_new = origin[order] == 1
    is_new[1:] &= ~same
    kept = np.sort(order[is_new]) - len(known)
    return Points(given.steps[kept], given.at[kept], given.values[kept])


def _candidates(identity: str, project: str, wanted_id: str | None) -> list[str]:
    own = [wanted_id] if wanted_id and RUN_ID.fullmatch(wanted_id) else []
    return [*own, derived_run_id(identity, project)]


def _lookup(conn: Connection, run_id: str) -> RunDetail | None:
    try:
        return get_run(conn, run_id)
    except NotFound:
        return None


def _start(conn: Connection, head: Head, *, actor: str) -> RunDetail:
    free = [one for one in _candidates(head.identity, head.project, head.wanted_id) if _lookup(conn, one) is None]
    if not free:
        raise NotFound("its id is taken by another run", field="run_id", next_step="import into another --project")
    project = project_named(conn, head.project, at=head.started, actor=head.actor or actor)
    new_tags = {key: value for key, value in head.project_tags.items() if project.tags.get(key) != value}
    if new_tags:
        set_project_tags(conn, project.id, new_tags, at=head.started)
    run = start_run(
        conn,
        project=project,
        name=head.name,
        cause="import",
        at=head.started,
        actor=head.actor or actor,
        run_id=free[0],
        parent=_parent(conn, head),
        code=head.code,
        environment=head.environment,
    )
    set_tags(conn, run.id, {IDENTITY_TAG: head.identity})
    return get_run(conn, run.id)


def _parent(conn: Connection, head: Head) -> str | None:
    if head.parent is None:
        return None
    parent = find_imported(conn, head.parent, head.project, head.parent_wanted_id)
    return parent.run.id if parent else head.parent_wanted_id


def _describe(conn: Connection, head: Head, detail: RunDetail, losses: Losses) -> None:
    run_id = detail.run.id
    params = {key: value for key, value in head.params.items() if detail.params.get(key) != as_text(value)}
    write_each(
        conn,
        params,
        lambda some: log_params(conn, run_id, some),
        label=head.label,
        what="parameter",
        losses=losses,
    )
    wanted = dict(head.tags)
    if detail.run.parent and PARENT_TAG in wanted:
        wanted[PARENT_TAG] = detail.run.parent
    tags = {key: value for key, value in wanted.items() if detail.tags.get(key) != value}
    write_each(conn, tags, lambda some: set_tags(conn, run_id, some), label=head.label, what="tag", losses=losses)
    datasets = {f"{item.name} {item.digest}": item for item in head.datasets if item not in detail.datasets}
    run, project = writable(conn, run_id)
    write_each(
        conn,
        datasets,
        lambda some: log_dataset_inputs(conn, run, project, list(some.values())),
        label=head.label,
        what="data set",
        losses=losses,
    )


def _add_series(conn: Connection, run_id: str, parts: list[SeriesPart], label: str, losses: Losses) -> int:
    fresh: dict[str, Points] = {}
    known = {metric.key for metric in last_metrics(conn, writable(conn, run_id)[0])} if parts else set()
    for part in parts:
        points = part.points()
        if part.key in fresh:
            points = joined([fresh[part.key], points])
        fresh[part.key] = missing_points(read_series(conn, run_id, part.key), points) if part.key in known else points
    fresh = {key: joined([points]) for key, points in fresh.items() if len(points)}
    written = write_each(
        conn, fresh, lambda some: log_series(conn, run_id, some), label=label, what="metric", losses=losses
    )
    return sum(len(fresh[key]) for key in written)


def add_files(
    conn: Connection, owner: str, known: list[Artifact], files: list[FilePart], label: str, losses: Losses
) -> int:
    """Name files whose bytes are stored as an owner's; says how many were not there, or were others."""
    stored = {item.path: item.digest for item in known}
    added = 0
    for file in files:
        if stored.get(file.path) == file.digest:
            continue
        try:
            put_artifact(conn, owner, file.path, digest=file.digest, size=file.size)
            added += 1
        except HomeostatError as error:
            losses.add(label, f"file {file.path!r:.200}", error.message)
    return added


def _finish(conn: Connection, head: Head, detail: RunDetail, *, at: int, actor: str) -> None:
    run = detail.run
    if head.status not in ("running", "scheduled") and (run.status, run.ended) != (head.status, head.ended):
        update_run(
            conn,
            run.id,
            status=head.status,
            error=head.error,
            ended=head.ended,
            at=head.ended or at,
            actor=head.actor or actor,
        )
    if head.deleted:
        delete_run(conn, run.id, at=at, actor=actor)
