"""Tables of the registry, and the triggers that let its ledger only grow.

A later revision that rebuilds `registry_ledger` (Alembic's batch mode on SQLite) drops the triggers: make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_REFUSAL = "registry_ledger is append-only"
_SQLITE = (
    (
        f"create trigger registry_ledger_no_update before update on registry_ledger "
        f"begin select raise(abort, '{_REFUSAL}'); end"
    ),
    (
        f"create trigger registry_ledger_no_delete before delete on registry_ledger "
        f"begin select raise(abort, '{_REFUSAL}'); end"
    ),
    # INSERT OR REPLACE deletes the old row without firing a delete trigger.
    (
        f"create trigger registry_ledger_no_replace before insert on registry_ledger "
        f"when exists (select 1 from registry_ledger where seq = new.seq or id = new.id "
        f"or (model = new.model and key = new.key)) "
        f"begin select raise(abort, '{_REFUSAL}'); end"
    ),
)
_POSTGRESQL = (
    (
        f"create function registry_ledger_refuse() returns trigger language plpgsql as "
        f"$$ begin raise exception '{_REFUSAL}'; end $$"
    ),
    (
        "create trigger registry_ledger_no_change before update or delete on registry_ledger "
        "for each row execute function registry_ledger_refuse()"
    ),
    (
        "create trigger registry_ledger_no_truncate before truncate on registry_ledger "
        "for each statement execute function registry_ledger_refuse()"
    ),
)


def upgrade() -> None:
    op.create_table(
        "registry_models",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "registry_versions",
        sa.Column("model", sa.String(128), _model_key("registry_versions"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("flavor", sa.String(32), nullable=False),
        sa.Column("package", sa.JSON, nullable=False),
        sa.Column("package_digest", sa.String(64), nullable=False),
        sa.Column("signature", sa.JSON, nullable=False),
        sa.Column("bins", sa.JSON, nullable=False),
        sa.Column("evaluation", sa.JSON, nullable=False),
        sa.Column("dataset", sa.String(64), nullable=True),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.UniqueConstraint("model", "run_id", name="uq_registry_versions_model_run_id"),
    )
    op.create_table(
        "registry_aliases",
        sa.Column("model", sa.String(128), _model_key("registry_aliases"), primary_key=True),
        sa.Column("alias", sa.String(128), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "registry_ledger",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("alias", sa.String(128), nullable=False),
        sa.Column("from_version", sa.Integer, nullable=True),
        sa.Column("to_version", sa.Integer, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("key", sa.String(200), nullable=True),
        sa.UniqueConstraint("id", name="uq_registry_ledger_id"),
        sa.UniqueConstraint("model", "key", name="uq_registry_ledger_model_key"),
    )
    op.create_index("ix_registry_ledger_model_alias_at", "registry_ledger", ["model", "alias", "at"])
    for statement in _POSTGRESQL if op.get_bind().dialect.name == "postgresql" else _SQLITE:
        op.execute(statement)


def _model_key(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("registry_models.name", name=f"fk_{table}_model")
