"""Tables of tracking."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "tracking_projects",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tracking_runs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column(
            "project",
            sa.String(128),
            sa.ForeignKey("tracking_projects.name", name="fk_tracking_runs_project"),
            nullable=False,
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("code", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
    )
    op.create_index("ix_tracking_runs_project_started", "tracking_runs", ["project", "started"])
    op.create_index("ix_tracking_runs_started", "tracking_runs", ["started"])
    op.create_table(
        "tracking_params",
        sa.Column("run", sa.String(32), _run_key("tracking_params"), primary_key=True),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "tracking_metrics",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(32), _run_key("tracking_metrics"), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.UniqueConstraint("run", "key", "step", "at", "value", name="uq_tracking_metrics_run_key_step_at_value"),
    )
    op.create_table(
        "tracking_tags",
        sa.Column("run", sa.String(32), _run_key("tracking_tags"), primary_key=True),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "tracking_artifacts",
        sa.Column("run", sa.String(32), _run_key("tracking_artifacts"), primary_key=True),
        sa.Column("path", sa.String(500), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )


def _run_key(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("tracking_runs.id", name=f"fk_{table}_run")
