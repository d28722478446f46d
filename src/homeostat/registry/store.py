"""Tables of the registry. The ledger only grows: triggers in the migration refuse UPDATE and DELETE."""

import sqlalchemy as sa

from homeostat.store.database import Sequence, metadata

models = sa.Table(
    "registry_models",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

versions = sa.Table(
    "registry_versions",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.name"), primary_key=True),
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
    sa.Column("signed", sa.JSON(none_as_null=True), nullable=True),
    sa.UniqueConstraint("model", "run_id"),
)

aliases = sa.Table(
    "registry_aliases",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.name"), primary_key=True),
    sa.Column("alias", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

ledger = sa.Table(
    "registry_ledger",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
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
    sa.UniqueConstraint("model", "key"),
    sa.Index("ix_registry_ledger_model_alias_at", "model", "alias", "at"),
)
