"""Models that are served elsewhere and watched here: a version with reference bins and no package, and watch rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.evaluation.metrics import METRICS, compute
from homeostat.evaluation.named import named_metric
from homeostat.ground.clock import DAY
from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.records import ColumnBins, Signature
from homeostat.loop import store
from homeostat.loop.declaration import is_declared
from homeostat.loop.reference_fit import Reference
from homeostat.loop.releases import CHAMPION, ELSEWHERE
from homeostat.loop.watch import reference_metrics
from homeostat.monitoring import types
from homeostat.monitoring.findings import note_findings
from homeostat.monitoring.rules import OWN_CHECKS, check_watch
from homeostat.monitoring.types import Accuracy, Watch
from homeostat.registry.aliases import set_alias
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import get_version, register_version
from homeostat.serving.endpoints import list_endpoints
from homeostat.store.database import Database
from homeostat.store.events import append_event

CAUSE = "served elsewhere, watched here"
MAX_LABEL = 100
_RULES = {
    "accuracy": types.accuracy,
    "skew": types.skew,
    "data_drift": types.data_drift,
    "latency": types.latency,
    "errors": types.errors,
    "quality": types.quality,
    "segment": types.no_weak_segment,
}


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is watched."""

    model: str
    version: int
    """The number of the version that answers now."""
    checked: int
    """Event time of the newest check; 0 before the first."""
    created: int
    actor: str
    watch: tuple[Watch, ...]
    columns: dict[str, str]
    """Field of a row (`request_id`, `time`, `score`, ...) to the name that its rows have for it."""
    versions: dict[str, int]
    """What a version is called where it is served, to its number here."""


class _Data(msgspec.Struct, frozen=True):
    watch: tuple[Watch, ...]
    columns: dict[str, str]
    versions: dict[str, int]


def register_monitor(
    conn: Connection,
    model: str,
    *,
    label: str,
    signature: Signature,
    reference: Reference | None,
    watch: Sequence[Watch],
    columns: Mapping[str, str],
    description: str = "",
    at: int,
    actor: str,
) -> Monitor:
    """Watch a model, or another version of one. The same version said again stays; its rules and names may change.

    Raises:
        Conflict: when the model is declared or served here, where it is watched anyway.
    """
    if is_declared(conn, model) or list_endpoints(conn, model=model):
        raise Conflict(
            f"{model!r:.80} is declared or served here, and watched",
            field="name",
            next_step="use another name, or post its predictions as they are",
        )
    before = find_monitor(conn, model)
    create_model(conn, model, description=description, at=at, actor=actor)
    metrics = dict(reference.metrics) if reference is not None else {}
    number = _version(conn, model, before, label, signature, reference.bins if reference else (), metrics, at, actor)
    set_alias(conn, model, CHAMPION, number, at=at, actor=actor, reason=CAUSE)
    data = _Data(tuple(watch), dict(columns), (before.versions if before is not None else {}) | {label: number})
    values = {"version": number, "data": msgspec.to_builtins(data)}
    if before is None:
        conn.execute(store.monitors.insert().values(model=model, checked=0, created=at, actor=actor, **values))
    else:
        conn.execute(store.monitors.update().where(store.monitors.c.model == model).values(**values))
    told = {"version": number, "called": label, "watch": [str(rule) for rule in watch]}
    append_event(conn, "monitor.registered", subject=model, at=at, actor=actor, data=told)
    return get_monitor(conn, model)


def remove_monitor(conn: Connection, model: str, *, at: int, actor: str) -> Monitor:
    """Watch a model no longer; its versions, rows and alarms stay."""
    found = get_monitor(conn, model)
    conn.execute(store.monitors.delete().where(store.monitors.c.model == model))
    append_event(conn, "monitor.removed", subject=model, at=at, actor=actor)
    return found


def find_monitor(conn: Connection, model: str) -> Monitor | None:
    """What is watched under this name; None when nothing is."""
    row = conn.execute(store.monitors.select().where(store.monitors.c.model == model)).mappings().first()
    return None if row is None else _monitor(dict(row))


def get_monitor(conn: Connection, model: str) -> Monitor:
    """`find_monitor`, for one that has to be there.

    Raises:
        NotFound: when there is none.
    """
    found = find_monitor(conn, model)
    if found is None:
        raise NotFound(
            f"{model!r:.80} is not watched from elsewhere",
            field="model",
            next_step=f"say what it takes: homeostat model watch {model:.80} --help",
        )
    return found


def list_monitors(conn: Connection) -> list[Monitor]:
    """All of them by name."""
    rows = conn.execute(store.monitors.select().order_by(store.monitors.c.model)).mappings()
    return [_monitor(dict(row)) for row in rows]


def watch_monitors(database: Database, *, now: int) -> list[str]:
    """Check every monitor once an event day, as declared models are; says which were checked."""
    with database.read() as conn:
        due = [one.model for one in list_monitors(conn) if now - one.checked >= DAY]
    for model in due:
        with database.write() as conn:
            monitor = find_monitor(conn, model)
            if monitor is not None:
                check_monitor(conn, monitor, now=now)
    return due


def check_monitor(conn: Connection, monitor: Monitor, *, now: int) -> None:
    """Check every watch rule of the version that answers; alarms open and close with their evidence."""
    version = get_version(conn, monitor.model, monitor.version)
    task = version.signature.task
    named = {rule.metric for rule in monitor.watch if isinstance(rule, Accuracy)}
    metrics = tuple(name for name in named if name in METRICS and METRICS[name].task == task)
    found = check_watch(
        conn,
        monitor.watch,
        model=monitor.model,
        version=version.version,
        reference=version.bins,
        reference_metrics=reference_metrics(version),
        metrics_fn=lambda y, score: compute(task, y, score, metrics),
        now=now,
        measures={name: named_metric(name, task) for name in named if name not in metrics},
    )
    note_findings(conn, monitor.model, version.version, found, at=now, keep=OWN_CHECKS)
    conn.execute(store.monitors.update().where(store.monitors.c.model == monitor.model).values(checked=now))


def read_rules(said: Sequence[Mapping[str, Any]], task: str) -> tuple[Watch, ...]:
    """Watch rules as they come in JSON: `{"kind": "accuracy", "metric": "roc_auc", "window": "7d"}`.

    Raises:
        Invalid: naming the rule and its part.
    """
    return tuple(_rule(place, dict(one), task) for place, one in enumerate(said))


def _rule(place: int, said: dict[str, Any], task: str) -> Watch:
    kind = said.pop("kind", None)
    if kind not in _RULES:
        raise Invalid(
            f"watch[{place}]: {kind!r:.40} is no kind of rule",
            field="watch",
            next_step=f"kinds are {', '.join(_RULES)}",
        )
    try:
        rule: Watch = _RULES[kind](**said)  # type: ignore[operator]  # each has its own words
    except TypeError as error:
        text = str(error).replace(f"{kind}()", f"a rule of kind {kind}")
        raise Invalid(f"watch[{place}]: {text}", field="watch", next_step="see docs/monitor-anything.md") from error
    if isinstance(rule, Accuracy):
        named_metric(rule.metric, task)
    return rule


def _version(
    conn: Connection,
    model: str,
    before: Monitor | None,
    label: str,
    signature: Signature,
    bins: Sequence[ColumnBins],
    metrics: Mapping[str, float | None],
    at: int,
    actor: str,
) -> int:
    evaluation = {"evaluation": {"challenger": dict(metrics)}} if metrics else {}
    known = before.versions.get(label) if before is not None else None
    if known is not None:
        found = get_version(conn, model, known)
        if (found.signature, found.bins, found.evaluation) == (signature, tuple(bins), evaluation):
            return known
    made = register_version(
        conn,
        model=model,
        run_id=None,
        package=StoredPackage(ELSEWHERE, {}),
        signature=signature,
        bins=bins,
        evaluation=evaluation,
        lineage={"cause": CAUSE, "called": label},
        at=at,
        actor=actor,
    )
    return made.version


def _monitor(row: dict[str, Any]) -> Monitor:
    data = msgspec.convert(row.pop("data"), _Data)
    return Monitor(**row, watch=data.watch, columns=data.columns, versions=data.versions)


def checked_label(label: str) -> str:
    """What a version is called where it is served, if it can be kept.

    Raises:
        Invalid: when it cannot.
    """
    if 0 < len(label) <= MAX_LABEL and label.isprintable():
        return label
    raise Invalid(f"{label!r:.60} names no version", field="version", next_step=f"use 1 to {MAX_LABEL} characters")
