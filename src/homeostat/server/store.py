"""The server's own tables: who may come in."""

import sqlalchemy as sa

from homeostat.store.database import metadata

tokens = sa.Table(
    "server_tokens",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("permissions", sa.JSON, nullable=False),
    sa.Column("projects", sa.JSON(none_as_null=True)),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("used", sa.BigInteger),
    sa.Column("revoked", sa.BigInteger),
    sa.Column("actor", sa.String(200), nullable=False),
)
