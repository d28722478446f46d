"""Shadows that look at a part of the requests."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    whole = sa.Column("shadow_share", sa.Integer, nullable=False, server_default="10000")
    op.add_column("serving_endpoints", whole)
