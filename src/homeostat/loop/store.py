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
