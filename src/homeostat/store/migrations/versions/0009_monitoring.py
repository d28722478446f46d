"""Tables of monitoring."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "monitoring_outcomes",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arm", sa.String(12), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Double, nullable=True),
    )
    op.create_index("ix_monitoring_outcomes_model_at", "monitoring_outcomes", ["model", "at"])
    op.create_table(
        "monitoring_labels",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("recorded", sa.BigInteger, nullable=False),
        sa.UniqueConstraint(
            "model", "request_id", "at", "value", name="uq_monitoring_labels_model_request_id_at_value"
        ),
    )
    op.create_table(
        "monitoring_traffic",
        *_window_key(),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("slow", sa.BigInteger, nullable=False),
        sa.Column("invalid", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "monitoring_latency",
        *_window_key(),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "monitoring_profiles",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("column_name", sa.String(200), primary_key=True),
        sa.Column("bins_id", sa.String(16), primary_key=True),
        sa.Column("bin", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "monitoring_alarms",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger, nullable=True),
        sa.Column("evidence", sa.JSON, nullable=False),
    )
    op.create_index("ix_monitoring_alarms_model_opened_at", "monitoring_alarms", ["model", "opened_at"])
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_monitoring_alarms_open",
        "monitoring_alarms",
        ["model", "kind", "subject"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _window_key() -> list[sa.Column[object]]:
    return [
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("arm", sa.String(12), primary_key=True),
        sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
    ]
