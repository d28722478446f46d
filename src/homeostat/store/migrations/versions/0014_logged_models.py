"""Logged models with their params, tags and metrics; traces with their tags, spans and assessments."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _make_models()
    _make_traces()
    _make_what_traces_hold()


def _make_models() -> None:
    op.create_table(
        "tracking_models",
        sa.Column("no", Sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(34), nullable=False),
        sa.Column(
            "project", sa.BigInteger, _key_of("tracking_models", "project", "tracking_projects.id"), nullable=False
        ),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("model_type", sa.String(500), nullable=False),
        sa.Column("source_run", sa.String(32), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("id", name="uq_tracking_models_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracking_models_project_created", "tracking_models", ["project", "created"])
    op.create_index("ix_tracking_models_source_run", "tracking_models", ["source_run"])
    for name in ("tracking_model_params", "tracking_model_tags"):
        _make_text(name, "model", "tracking_models")
    op.create_table(
        "tracking_model_metrics",
        _owner("tracking_model_metrics", "model", "tracking_models"),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("project", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.Column("dataset_name", sa.String(500), nullable=False),
        sa.Column("dataset_digest", sa.String(64), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_tracking_model_metrics_project_key_value", "tracking_model_metrics", ["project", "key", "value"]
    )
    op.create_table(
        "tracking_run_models",
        _owner("tracking_run_models", "run", "tracking_runs"),
        sa.Column("direction", sa.String(6), primary_key=True),
        sa.Column("model_id", sa.String(34), primary_key=True),
        sa.Column("step", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tracking_run_models_model_id", "tracking_run_models", ["model_id"])


def _make_traces() -> None:
    op.create_table(
        "tracking_traces",
        sa.Column("no", Sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(50), nullable=False),
        sa.Column(
            "project", sa.BigInteger, _key_of("tracking_traces", "project", "tracking_projects.id"), nullable=False
        ),
        sa.Column("requested", sa.BigInteger, nullable=False),
        sa.Column("duration", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("client_request_id", sa.String(250), nullable=True),
        sa.Column("request_preview", sa.Text, nullable=True),
        sa.Column("response_preview", sa.Text, nullable=True),
        sa.UniqueConstraint("id", name="uq_tracking_traces_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracking_traces_project_requested", "tracking_traces", ["project", "requested"])
    op.create_index("ix_tracking_traces_client_request_id", "tracking_traces", ["client_request_id"])
    for name in ("tracking_trace_tags", "tracking_trace_metadata"):
        _make_text(name, "trace", "tracking_traces")


def _make_what_traces_hold() -> None:
    op.create_table(
        "tracking_spans",
        _owner("tracking_spans", "trace", "tracking_traces"),
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("parent", sa.String(16), nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_assessments",
        sa.Column("id", sa.String(50), primary_key=True),
        sa.Column(
            "trace", sa.BigInteger, _key_of("tracking_assessments", "trace", "tracking_traces.no"), nullable=False
        ),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("is_valid", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index("ix_tracking_assessments_trace", "tracking_assessments", ["trace"])
    op.create_index("ix_tracking_assessments_name", "tracking_assessments", ["name"])
    op.create_table(
        "tracking_run_traces",
        sa.Column("run", sa.String(32), primary_key=True),
        _owner("tracking_run_traces", "trace", "tracking_traces"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tracking_run_traces_trace", "tracking_run_traces", ["trace"])


def _make_text(name: str, owner: str, owners: str) -> None:
    op.create_table(
        name,
        _owner(name, owner, owners),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("project", sa.BigInteger, nullable=False),
        sa.Column("head", sa.String(100), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(f"ix_{name}_project_key_head", name, ["project", "key", "head"])


def _owner(table: str, column: str, owners: str) -> sa.Column[int]:
    return sa.Column(
        column, sa.BigInteger, _key_of(table, column, f"{owners}.no"), primary_key=True, autoincrement=False
    )


def _key_of(table: str, column: str, target: str) -> sa.ForeignKey:
    return sa.ForeignKey(target, name=f"fk_{table}_{column}")
