"""The tables of serving."""

import sqlalchemy as sa

from homeostat.store.database import metadata

serving_endpoints = sa.Table(
    "serving_endpoints",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("arms", sa.JSON, nullable=False),
    sa.Column("shadows", sa.JSON, nullable=False),
    sa.Column("salt", sa.String(64), nullable=False),
    sa.Column("sticky", sa.String(128), nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("shadow_share", sa.Integer, nullable=False, server_default="10000"),
)

serving_generation = sa.Table(
    "serving_generation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""One row: its update lock makes two routing changes at once come one after the other."""

serving_segments = sa.Table(
    "serving_segments",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("wal", sa.String(200), nullable=False, unique=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("models", sa.JSON, nullable=False),
)

serving_wal = sa.Table(
    "serving_wal",
    metadata,
    sa.Column("file", sa.String(200), primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
)

serving_compiled = sa.Table(
    "serving_compiled",
    metadata,
    # The digest of the package it was made from: the same package in another version has the same compiled scorer.
    sa.Column("package", sa.String(64), primary_key=True),
    sa.Column("task", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("blob", sa.String(64), nullable=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("signed", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("report", sa.JSON, nullable=False),
    # Why the last worker that wanted to load it served the original instead.
    sa.Column("trouble", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
