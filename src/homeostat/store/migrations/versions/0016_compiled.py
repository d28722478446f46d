"""Compiled scorers: what serves in a package's place, and the report of the comparison."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "serving_compiled",
        sa.Column("package", sa.String(64), primary_key=True),
        sa.Column("task", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("blob", sa.String(64), nullable=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("signed", sa.JSON, nullable=True),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("trouble", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
