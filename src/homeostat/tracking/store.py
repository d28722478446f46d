"""Tables of tracking and the text that may enter them."""

import sqlalchemy as sa

from homeostat.store.database import Sequence, metadata

HEAD = 100
"""Characters of a value that its index holds; PostgreSQL refuses index rows of more than 2.7 kB."""

projects = sa.Table(
    "tracking_projects",
    metadata,
    # The number is MLflow's experiment id; it is never given twice.
    sa.Column("id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=True),
    # Among those that are not in the trash: a deleted name is free at once.
    sa.Index(
        "uq_tracking_projects_name",
        "name",
        unique=True,
        sqlite_where=sa.text("deleted is null"),
        postgresql_where=sa.text("deleted is null"),
    ),
    sqlite_autoincrement=True,
)

project_tags = sa.Table(
    "tracking_project_tags",
    metadata,
    sa.Column("project", sa.BigInteger, sa.ForeignKey("tracking_projects.id"), primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

runs = sa.Table(
    "tracking_runs",
    metadata,
    # Children name a run by this number: a tenth of the bytes of its id, in every row and index.
    sa.Column("no", Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("project", sa.BigInteger, sa.ForeignKey("tracking_projects.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger, nullable=True),
    sa.Column("deleted", sa.BigInteger, nullable=True),
    sa.Column("parent", sa.String(32), nullable=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("code", sa.JSON, nullable=False),
    sa.Column("environment", sa.JSON, nullable=False),
    sa.Index("ix_tracking_runs_project_started", "project", "started"),
    sa.Index("ix_tracking_runs_started", "started"),
    sa.Index("ix_tracking_runs_parent", "parent"),
    sqlite_autoincrement=True,
)


def _text_table(name: str) -> sa.Table:
    """Text by run and key, found again by key and value within a project."""
    return sa.Table(
        name,
        metadata,
        sa.Column("run", sa.BigInteger, sa.ForeignKey("tracking_runs.no"), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("project", sa.BigInteger, nullable=False),
        sa.Column("head", sa.String(HEAD), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_project_key_head", "project", "key", "head"),
        sqlite_with_rowid=False,
    )


params = _text_table("tracking_params")
tags = _text_table("tracking_tags")

# What search and lists read of a series, so that they never open its points.
series = sa.Table(
    "tracking_series",
    metadata,
    sa.Column("run", sa.BigInteger, sa.ForeignKey("tracking_runs.no"), primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("project", sa.BigInteger, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("tail", sa.Integer, nullable=False),
    # NULL stands for NaN: SQLite turns a NaN into NULL by itself.
    sa.Column("last", sa.Float(53), nullable=True),
    sa.Column("last_step", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("min", sa.Float(53), nullable=True),
    sa.Column("max", sa.Float(53), nullable=True),
    sa.Index("ix_tracking_series_project_key_last", "project", "key", "last"),
    sqlite_with_rowid=False,
)

# Many points a row. Rows of a few points are a series' tail; a full tail is sealed into one compressed row.
points = sa.Table(
    "tracking_points",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("run", sa.BigInteger, sa.ForeignKey("tracking_runs.no"), nullable=False),
    sa.Column("key", sa.String(250), nullable=False),
    sa.Column("sealed", sa.Boolean, nullable=False),
    sa.Column("first_step", sa.BigInteger, nullable=False),
    sa.Column("last_step", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("ix_tracking_points_run_key", "run", "key"),
)

# How far a client's spool has been taken in; it moves in the transaction that takes in what it names.
spools = sa.Table(
    "tracking_spools",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
)

# Files of whatever owns files: a run (its id), a logged model (m-...), a trace (tr-...).
artifacts = sa.Table(
    "tracking_artifacts",
    metadata,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("path", sa.String(500), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

datasets = sa.Table(
    "tracking_datasets",
    metadata,
    sa.Column("no", Sequence, primary_key=True, autoincrement=True),
    sa.Column("project", sa.BigInteger, sa.ForeignKey("tracking_projects.id"), nullable=False),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("schema", sa.Text, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.UniqueConstraint("project", "name", "digest"),
)

dataset_inputs = sa.Table(
    "tracking_dataset_inputs",
    metadata,
    sa.Column("run", sa.BigInteger, sa.ForeignKey("tracking_runs.no"), primary_key=True, autoincrement=False),
    sa.Column("dataset", sa.BigInteger, sa.ForeignKey("tracking_datasets.no"), primary_key=True, autoincrement=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sqlite_with_rowid=False,
)

# A trained model as its run logged it (MLflow's logged model), before or without a place in the registry.
models = sa.Table(
    "tracking_models",
    metadata,
    sa.Column("no", Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(34), nullable=False, unique=True),
    sa.Column("project", sa.BigInteger, sa.ForeignKey("tracking_projects.id"), nullable=False),
    sa.Column("name", sa.String(500), nullable=False),
    sa.Column("model_type", sa.String(500), nullable=False),
    sa.Column("source_run", sa.String(32), nullable=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=True),
    sa.Index("ix_tracking_models_project_created", "project", "created"),
    sa.Index("ix_tracking_models_source_run", "source_run"),
    sqlite_autoincrement=True,
)


def _owned_text_table(name: str, owner: str, owners: str) -> sa.Table:
    """Text by owner and key, found again by key and value within a project."""
    return sa.Table(
        name,
        metadata,
        sa.Column(owner, sa.BigInteger, sa.ForeignKey(f"{owners}.no"), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("project", sa.BigInteger, nullable=False),
        sa.Column("head", sa.String(HEAD), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_project_key_head", "project", "key", "head"),
        sqlite_with_rowid=False,
    )


model_params = _owned_text_table("tracking_model_params", "model", "tracking_models")
model_tags = _owned_text_table("tracking_model_tags", "model", "tracking_models")

model_metrics = sa.Table(
    "tracking_model_metrics",
    metadata,
    sa.Column("model", sa.BigInteger, sa.ForeignKey("tracking_models.no"), primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("project", sa.BigInteger, nullable=False),
    # NULL stands for NaN.
    sa.Column("value", sa.Float(53), nullable=True),
    sa.Column("dataset_name", sa.String(500), nullable=False),
    sa.Column("dataset_digest", sa.String(64), nullable=False),
    sa.Index("ix_tracking_model_metrics_project_key_value", "project", "key", "value"),
    sqlite_with_rowid=False,
)

# Which logged models a run read (an evaluation) or made (a training).
run_models = sa.Table(
    "tracking_run_models",
    metadata,
    sa.Column("run", sa.BigInteger, sa.ForeignKey("tracking_runs.no"), primary_key=True, autoincrement=False),
    sa.Column("direction", sa.String(6), primary_key=True),
    sa.Column("model_id", sa.String(34), primary_key=True),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Index("ix_tracking_run_models_model_id", "model_id"),
    sqlite_with_rowid=False,
)

traces = sa.Table(
    "tracking_traces",
    metadata,
    sa.Column("no", Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(50), nullable=False, unique=True),
    sa.Column("project", sa.BigInteger, sa.ForeignKey("tracking_projects.id"), nullable=False),
    sa.Column("requested", sa.BigInteger, nullable=False),
    # Microseconds; NULL while it runs.
    sa.Column("duration", sa.BigInteger, nullable=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("client_request_id", sa.String(250), nullable=True),
    sa.Column("request_preview", sa.Text, nullable=True),
    sa.Column("response_preview", sa.Text, nullable=True),
    sa.Index("ix_tracking_traces_project_requested", "project", "requested"),
    sa.Index("ix_tracking_traces_client_request_id", "client_request_id"),
    sqlite_autoincrement=True,
)

trace_tags = _owned_text_table("tracking_trace_tags", "trace", "tracking_traces")
trace_metadata = _owned_text_table("tracking_trace_metadata", "trace", "tracking_traces")

spans = sa.Table(
    "tracking_spans",
    metadata,
    sa.Column("trace", sa.BigInteger, sa.ForeignKey("tracking_traces.no"), primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("parent", sa.String(16), nullable=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    # Nanoseconds, as OpenTelemetry has them.
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger, nullable=True),
    # The whole span as JSON, in the form in which it is read again.
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

# What people and judges say of a trace: feedback, expectations.
assessments = sa.Table(
    "tracking_assessments",
    metadata,
    sa.Column("id", sa.String(50), primary_key=True),
    sa.Column("trace", sa.BigInteger, sa.ForeignKey("tracking_traces.no"), nullable=False),
    sa.Column("name", sa.String(250), nullable=False),
    # feedback, expectation or issue
    sa.Column("kind", sa.String(12), nullable=False),
    # The value as JSON text, for search.
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("is_valid", sa.Boolean, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("ix_tracking_assessments_trace", "trace"),
    sa.Index("ix_tracking_assessments_name", "name"),
)

# Traces that were linked to a run after the fact, as evaluations do.
run_traces = sa.Table(
    "tracking_run_traces",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("trace", sa.BigInteger, sa.ForeignKey("tracking_traces.no"), primary_key=True, autoincrement=False),
    sa.Index("ix_tracking_run_traces_trace", "trace"),
    sqlite_with_rowid=False,
)
