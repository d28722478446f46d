"""Taking in a logged model: whatever is there already stays, whatever is missing is added."""

import re

from sqlalchemy.engine import Connection

from homeostat.compat.importers.batch import ImportReply
from homeostat.compat.importers.identity import identity_of
from homeostat.compat.importers.model_batch import LoggedModelBatch
from homeostat.compat.importers.one_by_one import write_each
from homeostat.compat.importers.records import Losses, ModelLink
from homeostat.compat.importers.take_in import IDENTITY_TAG, add_files
from homeostat.ground.access import Identity
from homeostat.ground.errors import Conflict, HomeostatError, NotFound
from homeostat.tracking.artifacts import list_artifacts
from homeostat.tracking.model_metrics import log_model_metrics, log_run_models
from homeostat.tracking.models import (
    create_model,
    delete_model,
    finalise_model,
    get_model,
    log_model_params,
    set_model_tags,
)
from homeostat.tracking.projects import project_named
from homeostat.tracking.runs import find_run
from homeostat.tracking.types import LoggedModel, ModelMetric, RunModel

_ID = re.compile(r"m-[0-9a-f]{32}")


def take_logged_model(conn: Connection, batch: LoggedModelBatch, *, at: int, who: Identity) -> ImportReply:
    """Take in a stretch of a logged model."""
    losses = Losses()
    known = find_logged_model(conn, batch.identity, batch.id)
    if known is not None and known.deleted is not None:
        if not batch.deleted:
            losses.add(batch.id, "logged model", "it was imported before and is in the trash now")
        return ImportReply(run_id=None, losses=losses.all())
    try:
        model = known or _create(conn, batch, who=who)
    except HomeostatError as error:
        losses.add(batch.id, "logged model", str(error))
        return ImportReply(run_id=None, losses=losses.all())
    who.require_project(model.project)
    _describe(conn, batch, model, losses, at=at, who=who)
    added = add_files(conn, model.id, list_artifacts(conn, model.id), batch.files, batch.id, losses)
    if batch.is_last:
        if model.status != batch.status:
            finalise_model(conn, model.id, status=batch.status, at=at, actor=who.name)
        if batch.deleted:
            delete_model(conn, model.id, at=at, actor=who.name)
    return ImportReply(run_id=model.id, is_new=known is None, files=added, losses=losses.all())


def find_logged_model(conn: Connection, identity: str, wanted_id: str) -> LoggedModel | None:
    """The logged model that this identity was imported as, if it was."""
    for model_id in _candidates(identity, wanted_id):
        model = _lookup(conn, model_id)
        if model is not None and model.tags.get(IDENTITY_TAG) == identity:
            return model
    return None


def _candidates(identity: str, wanted_id: str) -> list[str]:
    own = [wanted_id] if _ID.fullmatch(wanted_id) else []
    return [*own, f"m-{identity_of('logged', [identity]).rpartition(':')[2]}"]


def _lookup(conn: Connection, model_id: str) -> LoggedModel | None:
    try:
        return get_model(conn, model_id, allow_deleted=True)
    except NotFound:
        return None


def _create(conn: Connection, batch: LoggedModelBatch, *, who: Identity) -> LoggedModel:
    free = [one for one in _candidates(batch.identity, batch.id) if _lookup(conn, one) is None]
    if not free:
        raise Conflict("its id is taken by another model", field="model_id", next_step="look at what has it")
    project = project_named(conn, batch.project, at=batch.created, actor=who.name)
    return create_model(
        conn,
        project.id,
        name=batch.name,
        model_type=batch.model_type,
        source_run=batch.source_run or None,
        tags={IDENTITY_TAG: batch.identity},
        model_id=free[0],
        at=batch.created,
        actor=who.name,
    )


def _describe(
    conn: Connection, batch: LoggedModelBatch, model: LoggedModel, losses: Losses, *, at: int, who: Identity
) -> None:
    label = batch.id
    params = {key: value for key, value in batch.params.items() if model.params.get(key) != value}
    write_each(
        conn,
        params,
        lambda some: log_model_params(conn, model.id, some, at=at),
        label=label,
        what="parameter",
        losses=losses,
    )
    tags = {key: value for key, value in batch.tags.items() if model.tags.get(key) != value}
    write_each(
        conn, tags, lambda some: set_model_tags(conn, model.id, some, at=at), label=label, what="tag", losses=losses
    )
    _add_metrics(conn, batch, model, losses, who=who)
    for link in batch.links:
        _add_link(conn, model, link, label, losses, who=who)


def _add_metrics(
    conn: Connection, batch: LoggedModelBatch, model: LoggedModel, losses: Losses, *, who: Identity
) -> None:
    known = {_place(metric) for metric in model.metrics}
    missing: dict[str, list[ModelMetric]] = {}
    for metric in batch.metrics:
        if _place(metric) not in known:
            missing.setdefault(metric.run_id, []).append(metric)

    def write(some: dict[str, list[ModelMetric]]) -> None:
        for run_id, metrics in some.items():
            who.require_project(find_run(conn, run_id).project)
            log_model_metrics(conn, run_id, {model.id: metrics})

    write_each(conn, missing, write, label=batch.id, what="metrics measured by run", losses=losses)


def _add_link(
    conn: Connection, model: LoggedModel, link: ModelLink, label: str, losses: Losses, *, who: Identity
) -> None:
    def write(some: dict[str, ModelLink]) -> None:
        for run_id, one in some.items():
            who.require_project(find_run(conn, run_id).project)
            log_run_models(conn, run_id, [RunModel(model.id, one.step)], direction=one.direction)

    write_each(conn, {link.run_id: link}, write, label=label, what="link to run", losses=losses)


def _place(metric: ModelMetric) -> tuple[str, int, int, str]:
    return metric.key, metric.at, metric.step, metric.run_id
