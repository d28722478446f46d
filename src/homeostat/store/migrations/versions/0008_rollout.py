"""Tables of rollout."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollout_rollouts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("endpoint", sa.String(128), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("candidate", sa.Integer, nullable=False),
        sa.Column("stable", sa.Integer, nullable=True),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("stage_since", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cycle_id", sa.String(32), nullable=True),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.UniqueConstraint("cycle_id", name="uq_rollout_rollouts_cycle_id"),
    )
    op.create_index("ix_rollout_rollouts_endpoint_started_at", "rollout_rollouts", ["endpoint", "started_at"])
    op.create_index(
        "uq_rollout_rollouts_running",
        "rollout_rollouts",
        ["endpoint"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
