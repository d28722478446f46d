"""The tables of monitoring: narrow rows for the label join, and counters that merge by addition."""

import sqlalchemy as sa

from homeostat.store.database import Sequence, metadata

outcomes = sa.Table(
    "monitoring_outcomes",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("arm", sa.String(12), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("score", sa.Double, nullable=True),
    sa.Index("ix_monitoring_outcomes_model_at", "model", "at"),
)
"""One row for each row that a version scored. `score` is null when the answer was not a finite number."""

labels = sa.Table(
    "monitoring_labels",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("key_label", sa.BigInteger, nullable=False),
    sa.Column("waiting", sa.Boolean, nullable=False),
    sa.UniqueConstraint("model", "request_id", "at", "value", "key_label"),
)
"""Every label of a request. The one with the latest `at` (then `seq`) is believed; the others are history. The unique
key is also the index of the join. `key_label` is the `seq` of the label by entity key that this one follows from, 0
for one that was sent by request id. `waiting`: no version is known to have scored the request yet."""
sa.Index(
    "ix_monitoring_labels_key_label",
    labels.c.key_label,
    sqlite_where=labels.c.key_label > 0,
    postgresql_where=labels.c.key_label > 0,
)
_waits = labels.c.waiting.is_(True)
sa.Index(
    "ix_monitoring_labels_waiting", labels.c.model, labels.c.request_id, sqlite_where=_waits, postgresql_where=_waits
)

key_labels = sa.Table(
    "monitoring_key_labels",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("keys", sa.JSON, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("earliest", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.UniqueConstraint("model", "key", "time", "at", "value"),
)
"""Every label that was sent by entity key, and for which event times it speaks (`keyed.FOREVER`: for all)."""

key_sets = sa.Table(
    "monitoring_key_sets",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("names", sa.String(1000), primary_key=True),
    sa.Column("columns", sa.JSON, nullable=False),
    sa.Column("progress", sa.JSON, nullable=True),
)
"""Sets of request columns by which labels of a model were sent. `progress` says how far the log of before is indexed;
null when it is through."""

keys = sa.Table(
    "monitoring_keys",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which requests were about which entity, for the key sets there are; `key` is a hash of columns and values."""

traffic = sa.Table(
    "monitoring_traffic",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("arm", sa.String(12), primary_key=True),
    sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("slow", sa.BigInteger, nullable=False),
    sa.Column("invalid", sa.BigInteger, nullable=False),
)
"""Requests by event hour. `errors` are ours, `rejected` the caller's; `invalid` were answered, but not with numbers."""

latency = sa.Table(
    "monitoring_latency",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("arm", sa.String(12), primary_key=True),
    sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
)
"""Answered requests by event hour and latency bucket (`health.BUCKET_EDGES`)."""

profiles = sa.Table(
    "monitoring_profiles",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("window_start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("column_name", sa.String(200), primary_key=True),
    sa.Column("bins_id", sa.String(16), primary_key=True),
    sa.Column("bin", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
)
"""Rows by event day, column and reference bin; counts of different `bins_id` are never added."""

alarms = sa.Table(
    "monitoring_alarms",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger, nullable=True),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("latest", sa.JSON(none_as_null=True), nullable=True),
    sa.Column("severity", sa.String(8), nullable=False, server_default="warn"),
    sa.Column("count", sa.Integer, nullable=False, server_default="1"),
    sa.Column("last_seen", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("since", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reopened", sa.Integer, nullable=False, server_default="0"),
    sa.Column("acknowledged_by", sa.String(200), nullable=True),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    sa.Column("comment", sa.Text, nullable=False, server_default=""),
    sa.Column("muted_until", sa.BigInteger, nullable=True),
    sa.Column("closed_by", sa.String(200), nullable=False, server_default=""),
    sa.Index("ix_monitoring_alarms_model_opened_at", "model", "opened_at"),
)
_open = alarms.c.closed_at.is_(None)
sa.Index(
    "uq_monitoring_alarms_open",
    alarms.c.model,
    alarms.c.kind,
    alarms.c.subject,
    unique=True,
    sqlite_where=_open,
    postgresql_where=_open,
)

channels = sa.Table(
    "monitoring_channels",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(128), nullable=False, unique=True),
    # In clear text, with the passwords that are in it: a message is sent with it. No view and no `repr` holds it.
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("wants", sa.JSON, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)
"""Who is told of alarms, and of which."""

notices = sa.Table(
    "monitoring_notices",
    metadata,
    sa.Column("channel", sa.String(32), primary_key=True),
    sa.Column("alarm", sa.String(32), primary_key=True),
    sa.Column("severity", sa.String(8), nullable=False),
    sa.Column("reopened", sa.Integer, nullable=False),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    sa.Column("closed_at", sa.BigInteger, nullable=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("message", sa.String(32), nullable=False),
    sa.Index("ix_monitoring_notices_alarm", "alarm"),
    sa.Index("ix_monitoring_notices_closed_at", "closed_at"),
)
"""What a channel was told last of an alarm; `message` is the outbox's."""

findings = sa.Table(
    "monitoring_findings",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("subject", sa.String(200), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""What the newest check of a model said, for whoever looks between two checks."""

accuracy_series = sa.Table(
    "monitoring_accuracy_series",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("series", sa.String(500), primary_key=True),
    sa.Column("label_seq", sa.BigInteger, nullable=False),
    sa.Column("moved_seq", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""Metrics that are said window by window, and up to which label (`labels.seq`) and which moved label this is done."""

accuracy_said = sa.Table(
    "monitoring_accuracy_said",
    metadata,
    sa.Column("model", sa.String(128), primary_key=True),
    sa.Column("series", sa.String(500), primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slice", sa.String(200), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""What was said of each window (msgpack of `accuracy_windows.types.Statement`); the highest revision is what is said
now, the others are what was said before."""

moved_labels = sa.Table(
    "monitoring_moved_labels",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""Event times of predictions from which a label by entity key was taken away, for another was nearer to it: nothing
else tells that their windows have changed."""
