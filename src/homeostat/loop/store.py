"""The loop's tables: declarations, cycles and their steps, the driven clock, webhooks."""

import sqlalchemy as sa

from homeostat.store.database import metadata

declarations = sa.Table(
    "loop_declarations",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)

OPEN_STATES = ("queued", "running", "waiting")
_open = sa.column("state").in_(OPEN_STATES)

cycles = sa.Table(
    "loop_cycles",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("run", sa.String(32), nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("as_of", sa.BigInteger, nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("forced", sa.Boolean, nullable=False),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("ix_loop_cycles_model_id", "model", "id"),
)
sa.Index("uq_loop_cycles_open", cycles.c.model, unique=True, sqlite_where=_open, postgresql_where=_open)

steps = sa.Table(
    "loop_steps",
    metadata,
    sa.Column("cycle", sa.String(32), sa.ForeignKey("loop_cycles.id"), primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
)

clock = sa.Table(
    "loop_clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("now", sa.BigInteger, nullable=False),
)

webhooks = sa.Table(
    "loop_webhooks",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("events", sa.JSON, nullable=False),
    # In clear text: a signature is computed from it. No view and no `repr` holds it.
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    # The last event that was looked at for this webhook.
    sa.Column("seen", sa.BigInteger, nullable=False),
)

monitors = sa.Table(
    "loop_monitors",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("checked", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)
"""Models that are served elsewhere and watched here. `checked`: event time of the newest check."""

posted = sa.Table(
    "loop_posted",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.Column("batches", sa.LargeBinary, nullable=False),
)
"""Predictions that were posted and counted, and are in no segment of the log yet."""

posted_failures = sa.Table(
    "loop_posted_failures",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.Text, primary_key=True),
)
"""Posted requests that were not answered, so that the same one again is known: answered ones are monitoring's."""

tables = sa.Table(
    "loop_tables",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    # In clear text, with the password that is in it. No view and no `repr` holds it.
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("cursor", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("read_at", sa.BigInteger, nullable=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)
"""Tables that are read on a schedule, how far, and what came of it."""

table_files = sa.Table(
    "loop_table_files",
    metadata,
    sa.Column("table_id", sa.String(32), primary_key=True),
    sa.Column("path", sa.String(700), primary_key=True),
    sa.Column("mark", sa.String(200), nullable=False),
)
"""Files that were read through, and by what they would be seen to have changed."""
