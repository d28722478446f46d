"""The life of alarms, who is told of them, and models that are served elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _alarms()
    _telling()
    _monitors()
    _tables()


def _alarms() -> None:
    for column in (
        sa.Column("latest", sa.JSON, nullable=True),
        sa.Column("severity", sa.String(8), nullable=False, server_default="warn"),
        sa.Column("count", sa.Integer, nullable=False, server_default="1"),
        sa.Column("last_seen", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("since", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reopened", sa.Integer, nullable=False, server_default="0"),
        sa.Column("acknowledged_by", sa.String(200), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
        sa.Column("comment", sa.Text, nullable=False, server_default=""),
        sa.Column("muted_until", sa.BigInteger, nullable=True),
        sa.Column("closed_by", sa.String(200), nullable=False, server_default=""),
    ):
        op.add_column("monitoring_alarms", column)
    op.execute("update monitoring_alarms set last_seen = opened_at, since = opened_at")


def _telling() -> None:
    op.create_table(
        "monitoring_channels",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("wants", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.UniqueConstraint("name", name="uq_monitoring_channels_name"),
    )
    op.create_table(
        "monitoring_notices",
        sa.Column("channel", sa.String(32), primary_key=True),
        sa.Column("alarm", sa.String(32), primary_key=True),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("reopened", sa.Integer, nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
        sa.Column("closed_at", sa.BigInteger, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("message", sa.String(32), nullable=False),
    )
    op.create_index("ix_monitoring_notices_alarm", "monitoring_notices", ["alarm"])
    op.create_index("ix_monitoring_notices_closed_at", "monitoring_notices", ["closed_at"])
    op.create_table(
        "monitoring_findings",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("subject", sa.String(200), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def _monitors() -> None:
    op.create_table(
        "loop_monitors",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("checked", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
    )
    op.create_table(
        "loop_posted",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("recorded", sa.BigInteger, nullable=False),
        sa.Column("batches", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "loop_posted_failures",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("request_id", sa.Text, primary_key=True),
    )


def _tables() -> None:
    op.create_table(
        "loop_tables",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("cursor", sa.JSON, nullable=True),
        sa.Column("read_at", sa.BigInteger, nullable=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.UniqueConstraint("name", name="uq_loop_tables_name"),
    )
    op.create_table(
        "loop_table_files",
        sa.Column("table_id", sa.String(32), primary_key=True),
        sa.Column("path", sa.String(700), primary_key=True),
        sa.Column("mark", sa.String(200), nullable=False),
    )
