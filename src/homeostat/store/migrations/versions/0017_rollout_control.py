"""Rollouts: what people did to them, and how long a promoted one is watched."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollout_rollouts", sa.Column("control", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("rollout_rollouts", sa.Column("watch_until", sa.BigInteger, nullable=True))
