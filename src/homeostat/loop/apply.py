"""`homeostat apply FILE`: validate everything, then change everything in one transaction, then say what changed."""

from pathlib import Path

from homeostat.evaluation.gates import NoSliceWorse
from homeostat.evaluation.metrics import check_metric
from homeostat.evaluation.named import named_metric
from homeostat.features.compiled import FeatureSet
from homeostat.features.leaks import check_leaks, label_columns
from homeostat.features.materialize import materialize
from homeostat.features.plan import compile_features
from homeostat.features.sources import scan
from homeostat.ground.errors import Invalid, NotFound
from homeostat.loop.declaration import Declaration, PlanLine, save_declaration
from homeostat.loop.triggers import Worse
from homeostat.loop.types import ModelSpec
from homeostat.loop.usercode import load_specs
from homeostat.monitoring.types import Accuracy, WeakSegment
from homeostat.rollout.begin import check_plan
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


def apply_file(
    database: Database, blobs: BlobStore, path: Path, *, now: int, actor: str, dry_run: bool = False
) -> list[PlanLine]:
    """Declare the models of a file; nothing is changed unless all of it is valid.

    Raises:
        Invalid, Refused: naming the column, view, metric or field and the mend.
    """
    path = path.resolve()
    if not path.is_file():
        raise NotFound(f"there is no file {path}", field="file", next_step="give the path of your declared model")
    source = path.read_bytes()
    specs = load_specs(source, name=path.name, root=path.parent)
    compiled = [(spec, compile_features(spec.features, examples=spec.examples, root=path.parent)) for spec in specs]
    file_digest = blobs.put(source)
    declared = [validate(spec, features, path=path, file_digest=file_digest) for spec, features in compiled]
    lines = []
    with database.write() as conn:
        for declaration, (_spec, features) in zip(declared, compiled, strict=True):
            lines.append(save_declaration(conn, declaration, at=now, actor=actor))
            if not dry_run:
                materialize(conn, features, root=path.parent, now=now)
        if dry_run:
            conn.rollback()
    return lines


def validate(spec: ModelSpec, features: FeatureSet, *, path: Path, file_digest: str) -> Declaration:
    """Check what only becomes visible when the parts meet, and return the plain declaration."""
    task = _task_of(spec, path.parent)
    late = (*label_columns(spec.label.expression), spec.label.known_at)
    check_leaks(features, late, examples=spec.examples, root=path.parent)
    _check_metrics(spec, task)
    _check_watch(spec, task, features)
    _check_slices(spec, features, path.parent)
    _check_sticky(spec, features)
    check_plan(spec.rollout, task)
    if spec.evaluation_window >= spec.train_window:
        raise Invalid(
            f"model {spec.name!r}: evaluation_window is not shorter than train_window",
            field="evaluation_window",
            next_step="leave most of the window for training, e.g. train_window='70d', evaluation_window='7d'",
        )
    return Declaration(
        model=spec.name,
        task=task,
        examples=spec.examples.name,
        label=spec.label.expression,
        known_at=spec.label.known_at,
        features=features.names,
        feature_hash=features.hash,
        inputs=features.inputs,
        sources=tuple(features.source_specs()),
        gate=spec.gate,
        rollout=spec.rollout,
        watch=spec.watch,
        retrain=spec.retrain,
        train_window=spec.train_window,
        evaluation_window=spec.evaluation_window,
        train_timeout=spec.train_timeout,
        sticky=spec.sticky,
        file_digest=file_digest,
        file_name=path.name,
        root=str(path.parent),
    )


def _task_of(spec: ModelSpec, root: Path) -> str:
    import polars as pl

    schema = scan(spec.examples, root).collect_schema()
    needed = {*label_columns(spec.label.expression), spec.label.known_at}
    for name in sorted(needed - set(schema)):
        raise Invalid(
            f"the label of model {spec.name!r} names an unknown column {name!r}",
            field="label",
            next_step=f"columns of {spec.examples.name}: {', '.join(sorted(schema))}",
        )
    if not isinstance(schema[spec.label.known_at], pl.Datetime):
        raise Invalid(
            f"known_at={spec.label.known_at!r} of model {spec.name!r} is not a time column",
            field="known_at",
            next_step="name the column that holds the moment at which the label becomes known",
        )
    dtype = pl.LazyFrame(schema=schema).select(pl.sql_expr(spec.label.expression)).collect_schema().dtypes()[0]
    if dtype == pl.Boolean:
        return "binary"
    if dtype.is_numeric():
        return "regression"
    raise Invalid(
        f"the label {spec.label.expression!r} of model {spec.name!r} gives {dtype}",
        field="label",
        next_step="write a condition (binary) or a number (regression)",
    )


def _check_metrics(spec: ModelSpec, task: str) -> None:
    named = [
        (f"gate {gate.text}", gate.metric) for gate in spec.gate if not isinstance(gate, NoSliceWorse) or gate.metric
    ]
    if spec.retrain is not None:
        named += [(f"retrain {rule}", rule.metric) for rule in spec.retrain.conditions if isinstance(rule, Worse)]
    for where, metric in named:
        try:
            check_metric(str(metric), task)
        except Invalid as error:
            raise Invalid(
                f"model {spec.name!r}, {where}: {error.message}", field="metric", next_step=error.next_step
            ) from error


def _check_watch(spec: ModelSpec, task: str, features: FeatureSet) -> None:
    """Metrics that are watched may be scikit-learn's or the file's own; columns are those that the log holds."""
    known = {*features.names, *(column.name for column in features.inputs + features.keys)}
    for rule in spec.watch:
        columns = [rule.by] if isinstance(rule, Accuracy) else rule.columns if isinstance(rule, WeakSegment) else []
        for name in columns:
            if name and name not in known:
                raise Invalid(
                    f"model {spec.name!r}, watch {rule}: there is no request column or feature {name!r}",
                    field="watch",
                    next_step=f"known: {', '.join(sorted(known))}",
                )
        if isinstance(rule, Accuracy) and not rule.is_own:
            try:
                named_metric(rule.metric, task)
            except Invalid as error:
                raise Invalid(
                    f"model {spec.name!r}, watch accuracy: {error.message}", field="metric", next_step=error.next_step
                ) from error


def _check_slices(spec: ModelSpec, features: FeatureSet, root: Path) -> None:
    known = {*scan(spec.examples, root).collect_schema(), *features.names}
    for gate in spec.gate:
        if isinstance(gate, NoSliceWorse) and gate.column not in known:
            raise Invalid(
                f"model {spec.name!r}, gate {gate.text}: there is no column {gate.column!r}",
                field="gate",
                next_step=f"known columns: {', '.join(sorted(known))}",
            )


def _check_sticky(spec: ModelSpec, features: FeatureSet) -> None:
    names = [column.name for column in features.inputs]
    if spec.sticky is not None and spec.sticky not in names:
        raise Invalid(
            f"model {spec.name!r}: sticky={spec.sticky!r} is no request column",
            field="sticky",
            next_step=f"request columns: {', '.join(names)}",
        )
