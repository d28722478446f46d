"""Tables of tracking and the text that may enter them."""

import sqlalchemy as sa

from homeostat.store.database import Sequence, metadata

projects = sa.Table(
    "tracking_projects",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("created", sa.BigInteger, nullable=False),
)

runs = sa.Table(
    "tracking_runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("project", sa.String(128), sa.ForeignKey("tracking_projects.name"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("code", sa.JSON, nullable=False),
    sa.Column("environment", sa.JSON, nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Index("ix_tracking_runs_project_started", "project", "started"),
    sa.Index("ix_tracking_runs_started", "started"),
)

params = sa.Table(
    "tracking_params",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("tracking_runs.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

metrics = sa.Table(
    "tracking_metrics",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("run", sa.String(32), sa.ForeignKey("tracking_runs.id"), nullable=False),
    sa.Column("key", sa.String(250), nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    # NULL stands for NaN: SQLite turns a NaN into NULL by itself.
    sa.Column("value", sa.Float(53), nullable=True),
    # The value is part of it: a second, other value at the same moment is kept, a repeated call is not.
    sa.UniqueConstraint("run", "key", "step", "at", "value"),
)

tags = sa.Table(
    "tracking_tags",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("tracking_runs.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

artifacts = sa.Table(
    "tracking_artifacts",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("tracking_runs.id"), primary_key=True),
    sa.Column("path", sa.String(500), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)


def storable(text: str) -> str:
    """`text` without what a database refuses: NUL (PostgreSQL) and lone surrogates (both).

    >>> storable("a" + chr(0) + "b") == "a" + chr(0xFFFD) + "b"
    True
    """
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
