"""Tables of datasets."""

import sqlalchemy as sa

from homeostat.store.database import metadata

versions = sa.Table(
    "datasets_versions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("schema", sa.JSON, nullable=False),
    sa.Column("manifest", sa.JSON, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("parent", sa.String(64), nullable=True),
    sa.Index("ix_datasets_versions_name_created", "name", "created"),
)
