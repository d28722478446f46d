"""Labels by entity key, who sent a label, and labels whose prediction has not come yet."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_SCORED = "select 1 from monitoring_outcomes o where o.request_id = l.request_id and o.model = l.model"


def upgrade() -> None:
    _extend_labels()
    op.create_table(
        "monitoring_key_labels",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("keys", sa.JSON, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("earliest", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("recorded", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.UniqueConstraint(
            "model", "key", "time", "at", "value", name="uq_monitoring_key_labels_model_key_time_at_value"
        ),
    )
    op.create_table(
        "monitoring_key_sets",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("names", sa.String(1000), primary_key=True),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("progress", sa.JSON, nullable=True),
    )
    op.create_table(
        "monitoring_keys",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("request_id", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )


def _extend_labels() -> None:
    old, new = ("model", "request_id", "at", "value"), ("model", "request_id", "at", "value", "key_label")
    with op.batch_alter_table("monitoring_labels") as table:
        table.add_column(sa.Column("actor", sa.String(200), nullable=False, server_default=""))
        table.add_column(sa.Column("key_label", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("waiting", sa.Boolean, nullable=False, server_default=sa.false()))
        table.drop_constraint(f"uq_monitoring_labels_{'_'.join(old)}", type_="unique")
        table.create_unique_constraint(f"uq_monitoring_labels_{'_'.join(new)}", list(new))
    true = "true" if op.get_bind().dialect.name == "postgresql" else "1"
    op.execute(
        f"update monitoring_labels set waiting = {true} where seq in "
        f"(select l.seq from monitoring_labels l where not exists ({_SCORED}))"
    )
    _index("key_label", ["key_label"], "key_label > 0")
    _index("waiting", ["model", "request_id"], f"waiting is {true}")


def _index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_monitoring_labels_{name}",
        "monitoring_labels",
        columns,
        sqlite_where=condition,
        postgresql_where=condition,
    )
