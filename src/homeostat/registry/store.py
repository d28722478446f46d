"""Tables of the registry. The ledger only grows: triggers in the migration refuse UPDATE and DELETE."""

import sqlalchemy as sa

from homeostat.store.database import Sequence, metadata

models = sa.Table(
    "registry_models",
    metadata,
    # What everything else knows a model by: its first name, or an id when that was taken. It never changes.
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("name", sa.String(256), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=True),
    sa.Index(
        "uq_registry_models_name",
        "name",
        unique=True,
        sqlite_where=sa.text("deleted is null"),
        postgresql_where=sa.text("deleted is null"),
    ),
)

versions = sa.Table(
    "registry_versions",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.key"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.String(32), nullable=True),
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
    # What a client said of it, for versions that were registered by hand.
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("run_link", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("stage", sa.String(128), nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=True),
    sa.Index("ix_registry_versions_model_run_id", "model", "run_id"),
    sa.Index("ix_registry_versions_run_id", "run_id"),
)

model_tags = sa.Table(
    "registry_model_tags",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.key"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

version_tags = sa.Table(
    "registry_version_tags",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.key"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# Declared stages in order; those of model '' hold for every model that declares none.
stages = sa.Table(
    "registry_stages",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stage", sa.JSON, nullable=False),
)

requests = sa.Table(
    "registry_requests",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.key"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("stage", sa.String(128), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("asked", sa.BigInteger, nullable=False),
    sa.Column("asked_by", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided", sa.BigInteger, nullable=True),
    sa.Column("decided_by", sa.String(200), nullable=True),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Index("ix_registry_requests_model_state", "model", "state"),
)

aliases = sa.Table(
    "registry_aliases",
    metadata,
    sa.Column("model", sa.String(128), sa.ForeignKey("registry_models.key"), primary_key=True),
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
