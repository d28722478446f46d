"""The rest of a project's archive: logged models with their files, what runs read and made of them, and traces.

models/ID.msgpack    a logged model and the names of its files
links.msgpack        run to the logged models that it read and made
traces/ID.msgpack    a trace with spans, assessments, files and the runs it belongs to
"""

import zipfile
from collections.abc import Callable, Iterable

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.tracking import store
from homeostat.tracking.artifacts import list_artifacts, put_artifact
from homeostat.tracking.assessments import put_assessment
from homeostat.tracking.lookup import run_numbers
from homeostat.tracking.model_metrics import log_model_metrics, log_run_models, run_models
from homeostat.tracking.models import create_model, finalise_model, models_of
from homeostat.tracking.spans import log_spans
from homeostat.tracking.traces import link_traces, record_trace, traces_of
from homeostat.tracking.types import Artifact, Direction, LoggedModel, ModelMetric, Project, RunModel, Span, Trace

Bring = Callable[[Artifact], None]
"""Sees that a file's bytes are in the archive, or in the blobs."""
Links = dict[str, dict[Direction, list[RunModel]]]

_SPAN = ("id", "parent", "name", "type", "status", "started", "ended", "data")


class _ModelEntry(msgspec.Struct, frozen=True):
    model: LoggedModel
    files: list[Artifact]


class _TraceEntry(msgspec.Struct, frozen=True):
    trace: Trace
    spans: list[Span]
    files: list[Artifact]
    runs: list[str]


def write_rest(conn: Connection, archive: zipfile.ZipFile, project: Project, runs: list[str], *, bring: Bring) -> None:
    """Write what a project has besides its runs; what is in the trash, or measured by a run there, is left out."""
    table, known = store.models, set(runs)
    query = sa.select(table.c.no).where(table.c.project == project.id, table.c.deleted.is_(None)).order_by(table.c.no)
    written: set[str] = set()
    for number in conn.execute(query).scalars().all():
        (model,) = models_of(conn, [number])
        kept = [metric for metric in model.metrics if metric.run_id in known]
        model = msgspec.structs.replace(model, metrics=kept)
        entry = _ModelEntry(model, _brought(list_artifacts(conn, model.id), bring))
        archive.writestr(f"models/{model.id}.msgpack", msgspec.msgpack.encode(entry))
        written.add(model.id)
    archive.writestr("links.msgpack", msgspec.msgpack.encode(_links(conn, runs, written)))
    traces = sa.select(store.traces.c.no).where(store.traces.c.project == project.id).order_by(store.traces.c.no)
    for number in conn.execute(traces).scalars().all():
        (trace,) = traces_of(conn, [number])
        files = _brought(list_artifacts(conn, trace.id), bring)
        told = _TraceEntry(trace, _spans(conn, number), files, _runs_of(conn, number))
        archive.writestr(f"traces/{trace.id}.msgpack", msgspec.msgpack.encode(told))


def read_rest(conn: Connection, archive: zipfile.ZipFile, home: Project, *, bring: Bring, actor: str) -> None:
    """Enter what `write_rest` wrote; what is here already stays as it is."""
    names = archive.namelist()
    for name in names:
        if name.startswith("models/"):
            _enter_model(conn, home, msgspec.msgpack.decode(archive.read(name), type=_ModelEntry), bring, actor)
    if "links.msgpack" in names:
        for run, sides in msgspec.msgpack.decode(archive.read("links.msgpack"), type=Links).items():
            for direction, models in sides.items():
                log_run_models(conn, run, models, direction=direction)
    for name in names:
        if name.startswith("traces/"):
            _enter_trace(conn, home, msgspec.msgpack.decode(archive.read(name), type=_TraceEntry), bring)


def _enter_model(conn: Connection, home: Project, entry: _ModelEntry, bring: Bring, actor: str) -> None:
    model = entry.model
    if conn.execute(sa.select(store.models.c.no).where(store.models.c.id == model.id)).first() is not None:
        return
    create_model(
        conn,
        home.id,
        name=model.name,
        model_type=model.model_type,
        source_run=model.source_run,
        params=model.params,
        tags=model.tags,
        model_id=model.id,
        at=model.created,
        actor=actor,
    )
    for item in _brought(entry.files, bring):
        put_artifact(conn, model.id, item.path, digest=item.digest, size=item.size)
    by_run: dict[str, list[ModelMetric]] = {}
    for metric in model.metrics:
        by_run.setdefault(metric.run_id, []).append(metric)
    for run, metrics in by_run.items():
        log_model_metrics(conn, run, {model.id: metrics})
    if model.status != "pending":
        finalise_model(conn, model.id, status=model.status, message=model.message, at=model.updated, actor=actor)


def _enter_trace(conn: Connection, home: Project, entry: _TraceEntry, bring: Bring) -> None:
    trace = entry.trace
    if conn.execute(sa.select(store.traces.c.no).where(store.traces.c.id == trace.id)).first() is not None:
        return
    record_trace(
        conn,
        trace.id,
        home.id,
        requested=trace.requested,
        duration=trace.duration,
        state=trace.state,
        client_request_id=trace.client_request_id,
        request_preview=trace.request_preview,
        response_preview=trace.response_preview,
        tags=trace.tags,
        metadata=trace.metadata,
    )
    log_spans(conn, home.id, {trace.id: entry.spans}, previews={})
    for assessment in trace.assessments:
        put_assessment(conn, assessment)
    for item in _brought(entry.files, bring):
        put_artifact(conn, trace.id, item.path, digest=item.digest, size=item.size)
    for run in entry.runs:
        link_traces(conn, run, [trace.id])


def _brought(files: Iterable[Artifact], bring: Bring) -> list[Artifact]:
    found = list(files)
    for item in found:
        bring(item)
    return found


def _links(conn: Connection, runs: list[str], models: set[str]) -> Links:
    found: Links = {}
    for start in range(0, len(runs), 5_000):
        ids = run_numbers(conn, runs[start : start + 5_000])
        for number, sides in run_models(conn, list(ids)).items():
            found[ids[number]] = {
                direction: [one for one in linked if one.model_id in models] for direction, linked in sides.items()
            }
    return found


def _spans(conn: Connection, trace: int) -> list[Span]:
    table = store.spans
    query = sa.select(*(table.c[name] for name in _SPAN)).where(table.c.trace == trace)
    rows = conn.execute(query.order_by(table.c.started, table.c.id)).mappings()
    return [Span(**row) for row in rows]


def _runs_of(conn: Connection, trace: int) -> list[str]:
    table = store.run_traces
    return list(conn.execute(sa.select(table.c.run).where(table.c.trace == trace).order_by(table.c.run)).scalars())
