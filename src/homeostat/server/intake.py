"""The verbs of models that are served elsewhere, over a home: registering them, taking in what they answered."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from homeostat.evaluation.metrics import check_metric
from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock, SystemClock, to_iso
from homeostat.ground.errors import Invalid, TooLarge
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.loop.intake import Kept, keep_batches
from homeostat.loop.intake_files import Chunk, Chunks, RowError, open_chunks
from homeostat.loop.intake_rows import ReadRows, RowReader, reader_for
from homeostat.loop.intake_target import FIELDS, Target
from homeostat.loop.monitors import (
    Monitor,
    checked_label,
    get_monitor,
    list_monitors,
    read_rules,
    register_monitor,
    remove_monitor,
)
from homeostat.loop.reference_fit import Names, Reference, fit_reference
from homeostat.monitoring.findings import noted_findings
from homeostat.monitoring.truth import Truth
from homeostat.registry.formats.answers import BINARY, MULTICLASS, TASKS
from homeostat.server.intake_bodies import ColumnBody, MonitorBody, RowsBody
from homeostat.server.register_signature import said_signature
from homeostat.server.registry_rules import actor_of, checked_text
from homeostat.store.database import Database

MOST_ROWS = 200_000
"""Rows of one transaction: nobody else writes while it lasts, some ten seconds."""
MOST_REFUSALS = 100
"""Refused rows that are told one by one."""
_DEFAULT_RULES: list[dict[str, Any]] = [{"kind": "data_drift"}, {"kind": "errors"}]
_DTYPES = ("number", "string", "boolean", "time")

Plain = dict[str, Any]


class Intake:
    """Every method is one verb and returns plain data; whoever asks reaches the projects of their identity only."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # Predictions.

    def take(self, body: RowsBody, *, partial: bool = False, who: Identity = LOCAL) -> Plain:
        """Take in rows; all of them or none, unless `partial`: then what is wrong is left out and told."""
        who.require_project(body.model)
        return self._take(body.model, body.chunks, partial=partial)

    def take_file(self, model: str, path: Path, kind: str, *, partial: bool = False, who: Identity = LOCAL) -> Plain:
        """`take`, from a file: it is read twice, so that nothing of it is kept when a row is wrong."""
        who.require_project(model)
        with open_chunks(path, kind) as chunks:
            return self._take(model, chunks, partial=partial)

    def _take(self, model: str, chunks: Chunks, *, partial: bool) -> Plain:
        target = Target(self._database, model)
        reader = reader_for(target, self._clock)
        if partial:
            return self._keep_what_is_right(target, reader, chunks())
        for total, _read in _counted(reader, chunks()):
            if total > MOST_ROWS:
                raise TooLarge(
                    f"there are more than {MOST_ROWS} rows",
                    field="body",
                    next_step="send them in parts, or with ?partial=true, which keeps them part by part",
                )
        kept = Kept()
        with self._database.write() as conn:
            for chunk in chunks():
                read = reader.read(chunk)
                kept += keep_batches(conn, target, read.batches, recorded=SystemClock().now())
        return _result(reader, kept)

    def _keep_what_is_right(self, target: Target, reader: RowReader, chunks: Iterable[Chunk]) -> Plain:
        kept, refused = Kept(), 0
        told: list[RowError] = []
        for chunk in chunks:
            read = reader.read(chunk)
            refused += len(read.errors)
            told += read.errors[: MOST_REFUSALS - len(told)]
            if read.batches:
                with self._database.write() as conn:
                    kept += keep_batches(conn, target, read.batches, recorded=SystemClock().now())
        return _result(reader, kept) | {"refused": refused, "errors": msgspec.to_builtins(told)}

    # Monitors.

    def watch(self, body: MonitorBody, who: Identity = LOCAL) -> Plain:
        """Watch a model that is served elsewhere; bins are fitted to the rows that came along, if any."""
        return self._watch(body, _rows_of(body.reference) if body.reference else None, who)

    def watch_with_file(self, body: MonitorBody, path: Path, kind: str, who: Identity = LOCAL) -> Plain:
        """`watch`, with the reference in a file."""
        if body.reference:
            raise Invalid("the reference comes twice", field="reference", next_step="send a file, or rows")
        with open_chunks(path, kind) as chunks:
            return self._watch(body, chunks(), who)

    def _watch(self, body: MonitorBody, chunks: Iterable[Chunk] | None, who: Identity) -> Plain:
        who.require_project(body.name)
        _check_columns(body)
        truth = Truth(task=body.task, classes=_classes(body))
        keys, features = _named(body.keys, "string"), _named(body.features, "" if chunks is not None else "number")
        reference = None
        if chunks is not None:
            named = body.columns
            fields = frozenset(named.get(field, field) for field in FIELDS if field not in {"score", "prediction"})
            names = Names(
                score=named.get("score", "score"),
                prediction=named.get("prediction", "prediction"),
                label=named.get("label", "label"),
                others=fields | {key.name for key in keys},
            )
            reference = fit_reference(chunks, task=body.task, truth=truth, names=names, features=features)
        elif not features:
            raise Invalid(
                "nothing says what the model takes",
                field="features",
                next_step="send a reference (rows like those it was trained on), or name the features",
            )
        signature = _signature(body, reference, features, keys, truth.classes)
        if body.metrics:
            reference = _with_metrics(reference, signature, body)
        rules = read_rules(_DEFAULT_RULES if body.watch is None else body.watch, body.task)
        with self._database.write() as conn:
            monitor = register_monitor(
                conn,
                body.name,
                label=checked_label(body.version),
                signature=signature,
                reference=reference,
                watch=rules,
                columns={field: name for field, name in body.columns.items() if field in FIELDS},
                description=checked_text(body.description, "description"),
                at=self._clock.now(),
                actor=actor_of(body.actor, who),
            )
        return self._view(monitor, signature) | _fitted(reference)

    def monitors(self, who: Identity = LOCAL) -> list[Plain]:
        with self._database.read() as conn:
            found = list_monitors(conn)
        return [self._view(one) for one in found if who.may_touch(one.model)]

    def monitor(self, model: str) -> Plain:
        """One monitor with what its newest check said."""
        with self._database.read() as conn:
            found = get_monitor(conn, model)
            noted = noted_findings(conn, model)
        target = Target(self._database, model)
        features = [msgspec.to_builtins(column) for column in target.version(None).columns]
        checks = [
            {"kind": one.kind, "subject": one.subject, "status": one.status, "evidence": one.evidence} for one in noted
        ]
        return self._view(found) | {"features": features, "checks": checks}

    def remove(self, model: str, who: Identity = LOCAL) -> Plain:
        with self._database.write() as conn:
            return self._view(remove_monitor(conn, model, at=self._clock.now(), actor=who.name))

    def _view(self, monitor: Monitor, signature: Signature | None = None) -> Plain:
        view: Plain = {
            "name": monitor.model,
            "version": monitor.version,
            "versions": monitor.versions,
            "watch": [str(rule) for rule in monitor.watch],
            "columns": monitor.columns,
            "checked": to_iso(monitor.checked) if monitor.checked else None,
            "created": to_iso(monitor.created),
            "actor": monitor.actor,
        }
        if signature is not None:
            view |= {"task": signature.task, "features": [column.name for column in signature.columns]}
        return view


def _counted(reader: RowReader, chunks: Iterable[Chunk]) -> Iterator[tuple[int, ReadRows]]:
    """Rows so far, and what was read; the first row that is wrong ends it."""
    total = 0
    for chunk in chunks:
        read = reader.read(chunk)
        if read.errors:
            bad = read.errors[0]
            where = f"{bad.row}.{bad.field}" if bad.row.startswith("rows[") else bad.field
            raise Invalid(
                f"{bad.row}: {bad.field}: {bad.error}",
                field=where,
                next_step="mend it, or send with ?partial=true, which keeps the others",
            )
        total += len(read.batches)
        yield total, read


def _result(reader: RowReader, kept: Kept) -> Plain:
    result: Plain = {"accepted": kept.accepted, "duplicates": kept.duplicates}
    if reader.ignored:
        result["ignored"] = list(reader.ignored)[:100]
    if reader.missing:
        result["missing"] = list(reader.missing)[:100]
    return result


def _rows_of(rows: list[dict[str, Any]]) -> Iterator[Chunk]:
    return RowsBody(model="", rows=rows).chunks()


def _check_columns(body: MonitorBody) -> None:
    if body.task not in TASKS:
        raise Invalid(f"{body.task!r:.40} is no task", field="task", next_step=f"tasks are {', '.join(TASKS)}")
    unknown = sorted(set(body.columns) - {*FIELDS, "label"})
    if unknown:
        raise Invalid(
            f"a row has no field {unknown[0]!r:.60}",
            field=f"columns.{unknown[0]}"[:100],
            next_step=f"fields are {', '.join(FIELDS)}; features go by their own names",
        )


def _classes(body: MonitorBody) -> tuple[str, ...]:
    if body.task == BINARY and not body.classes:
        return ("0", "1")
    if body.task == MULTICLASS and len(body.classes) < 2:
        raise Invalid(
            "a multiclass model's classes have names", field="classes", next_step="name them, in any order you keep"
        )
    return body.classes


def _named(columns: tuple[str | ColumnBody, ...], dtype: str) -> tuple[InputColumn, ...]:
    found = []
    for one in columns:
        name, said = (one, "") if isinstance(one, str) else (one.name, one.dtype)
        if said and said not in _DTYPES:
            raise Invalid(
                f"column {name!r:.60} is of dtype {said!r:.40}",
                field="dtype",
                next_step=f"dtypes are {', '.join(_DTYPES)}",
            )
        found.append(InputColumn(name=name, dtype=said or dtype))
    return tuple(found)


def _signature(
    body: MonitorBody,
    reference: Reference | None,
    features: tuple[InputColumn, ...],
    keys: tuple[InputColumn, ...],
    classes: tuple[str, ...],
) -> Signature:
    if reference is None:
        columns = tuple(
            FeatureColumn(name=one.name, kind="category" if one.dtype == "string" else "number") for one in features
        )
    else:
        features, columns = reference.inputs, reference.columns
    taken = {one.name for one in features}
    return said_signature(
        Signature(
            task=body.task,
            inputs=features,
            columns=columns,
            feature_hash="",
            classes=classes,
            keys=tuple(key for key in keys if key.name not in taken),
        )
    )


def _with_metrics(reference: Reference | None, signature: Signature, body: MonitorBody) -> Reference:
    for name, value in body.metrics.items():
        check_metric(name, body.task)
        if value - value != 0:
            raise Invalid(f"metric {name!r} is {value}", field="metrics", next_step="give finite numbers")
    if reference is not None:
        return msgspec.structs.replace(reference, metrics=reference.metrics | body.metrics)
    return Reference(
        inputs=signature.inputs,
        columns=signature.columns,
        bins=(),
        metrics=dict(body.metrics),
        rows=0,
        left_out={},
    )


def _fitted(reference: Reference | None) -> Plain:
    if reference is None:
        return {"reference": None}
    return {
        "reference": {"rows": reference.rows, "left_out": reference.left_out, "metrics": reference.metrics}
        if reference.bins
        else None
    }
