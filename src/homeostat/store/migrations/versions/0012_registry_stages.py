"""The registry: names that can be given again, tags, stages with gates and approval, versions that others registered.

A model is known by a key that never changes; its name is free once the model is in the trash. Versions are copied
into a table without the constraint that a run makes one version only, and remember who signed their package.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEPT = (
    "model, version, run_id, flavor, package, package_digest, signature, bins, evaluation, dataset, lineage, "
    "created, actor"
)


def upgrade() -> None:
    op.execute("alter table registry_models rename column name to key")
    op.add_column("registry_models", sa.Column("name", sa.String(256), nullable=False, server_default=""))
    op.add_column("registry_models", sa.Column("updated", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("registry_models", sa.Column("deleted", sa.BigInteger, nullable=True))
    op.execute("update registry_models set name = key, updated = created")
    op.create_index(
        "uq_registry_models_name",
        "registry_models",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted is null"),
        postgresql_where=sa.text("deleted is null"),
    )
    _make_versions()
    _make_tags()
    _make_stages()


def _make_versions() -> None:
    op.execute("create table old_registry_versions as select * from registry_versions")
    op.drop_table("registry_versions")
    op.create_table(
        "registry_versions",
        sa.Column("model", sa.String(128), _model_key("registry_versions"), primary_key=True),
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
        sa.Column("signed", sa.JSON, nullable=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("run_link", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("stage", sa.String(128), nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_registry_versions_model_run_id", "registry_versions", ["model", "run_id"])
    op.create_index("ix_registry_versions_run_id", "registry_versions", ["run_id"])
    op.execute(
        f"insert into registry_versions ({_KEPT}, source, run_link, description, stage, updated) "
        f"select {_KEPT}, '', '', '', '', created from old_registry_versions"
    )
    op.drop_table("old_registry_versions")


def _make_tags() -> None:
    op.create_table(
        "registry_model_tags",
        sa.Column("model", sa.String(128), _model_key("registry_model_tags"), primary_key=True),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "registry_version_tags",
        sa.Column("model", sa.String(128), _model_key("registry_version_tags"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def _make_stages() -> None:
    op.create_table(
        "registry_stages",
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stage", sa.JSON, nullable=False),
    )
    op.create_table(
        "registry_requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(128), _model_key("registry_requests"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stage", sa.String(128), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("asked", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided", sa.BigInteger, nullable=True),
        sa.Column("decided_by", sa.String(200), nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
    )
    op.create_index("ix_registry_requests_model_state", "registry_requests", ["model", "state"])


def _model_key(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("registry_models.key", name=f"fk_{table}_model")
