"""Accuracy by window: what is said of each, and what was said before."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "monitoring_accuracy_series",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("series", sa.String(500), primary_key=True),
        sa.Column("label_seq", sa.BigInteger, nullable=False),
        sa.Column("moved_seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "monitoring_accuracy_said",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("series", sa.String(500), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("slice", sa.String(200), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "monitoring_moved_labels",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
