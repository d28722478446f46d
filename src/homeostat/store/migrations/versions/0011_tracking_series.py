"""Tracking again: projects with numbers, a trash, metrics as packed series with a summary row each.

The old tables are copied aside, dropped and made anew: nearly every key changes.
"""

import math
import struct
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

Sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_OLD = ("artifacts", "tags", "metrics", "params", "runs", "projects")
_POINTS_A_ROW = 4096


def upgrade() -> None:
    for name in _OLD:
        op.execute(f"create table old_{name} as select * from tracking_{name}")
    for name in _OLD:
        op.drop_table(f"tracking_{name}")
    _make_projects_and_runs()
    _make_series()
    _make_files_and_inputs()
    _copy()
    for name in _OLD:
        op.drop_table(f"old_{name}")


def _make_projects_and_runs() -> None:
    op.create_table(
        "tracking_projects",
        sa.Column("id", Sequence, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.BigInteger, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_tracking_projects_name",
        "tracking_projects",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted is null"),
        postgresql_where=sa.text("deleted is null"),
    )
    op.create_table(
        "tracking_project_tags",
        sa.Column(
            "project",
            sa.BigInteger,
            sa.ForeignKey("tracking_projects.id", name="fk_tracking_project_tags_project"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_runs",
        sa.Column("no", Sequence, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.BigInteger, _project_key("tracking_runs"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=True),
        sa.Column("deleted", sa.BigInteger, nullable=True),
        sa.Column("parent", sa.String(32), nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("code", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.UniqueConstraint("id", name="uq_tracking_runs_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracking_runs_project_started", "tracking_runs", ["project", "started"])
    op.create_index("ix_tracking_runs_started", "tracking_runs", ["started"])
    op.create_index("ix_tracking_runs_parent", "tracking_runs", ["parent"])


def _make_series() -> None:
    for name in ("tracking_params", "tracking_tags"):
        op.create_table(
            name,
            sa.Column("run", sa.BigInteger, _run_key(name), primary_key=True, autoincrement=False),
            sa.Column("key", sa.String(250), primary_key=True),
            sa.Column("project", sa.BigInteger, nullable=False),
            sa.Column("head", sa.String(100), nullable=False),
            sa.Column("value", sa.Text, nullable=False),
            sqlite_with_rowid=False,
        )
        op.create_index(f"ix_{name}_project_key_head", name, ["project", "key", "head"])
    op.create_table(
        "tracking_series",
        sa.Column("run", sa.BigInteger, _run_key("tracking_series"), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(250), primary_key=True),
        sa.Column("project", sa.BigInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("tail", sa.Integer, nullable=False),
        sa.Column("last", sa.Float(53), nullable=True),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("min", sa.Float(53), nullable=True),
        sa.Column("max", sa.Float(53), nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tracking_series_project_key_last", "tracking_series", ["project", "key", "last"])
    op.create_table(
        "tracking_points",
        sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
        sa.Column("run", sa.BigInteger, _run_key("tracking_points"), nullable=False),
        sa.Column("key", sa.String(250), nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("first_step", sa.BigInteger, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_tracking_points_run_key", "tracking_points", ["run", "key"])
    op.create_table(
        "tracking_spools",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
    )


def _make_files_and_inputs() -> None:
    op.create_table(
        "tracking_artifacts",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("path", sa.String(500), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tracking_datasets",
        sa.Column("no", Sequence, primary_key=True, autoincrement=True),
        sa.Column("project", sa.BigInteger, _project_key("tracking_datasets"), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("source_type", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.UniqueConstraint("project", "name", "digest", name="uq_tracking_datasets_project_name_digest"),
    )
    op.create_table(
        "tracking_dataset_inputs",
        sa.Column("run", sa.BigInteger, _run_key("tracking_dataset_inputs"), primary_key=True, autoincrement=False),
        sa.Column(
            "dataset",
            sa.BigInteger,
            sa.ForeignKey("tracking_datasets.no", name="fk_tracking_dataset_inputs_dataset"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("tags", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )


def _copy() -> None:
    op.execute("insert into tracking_projects (id, name, created, updated) values (0, 'Default', 0, 0)")
    op.execute(
        "insert into tracking_projects (name, created, updated) "
        "select name, created, created from old_projects where name <> 'Default' order by created, name"
    )
    op.execute(
        "insert into tracking_runs (id, project, name, status, cause, actor, started, ended, error, inputs, code, "
        "environment) select r.id, p.id, r.name, r.status, r.cause, r.actor, r.started, r.ended, r.error, r.inputs, "
        "r.code, r.environment from old_runs r join tracking_projects p on p.name = r.project order by r.id"
    )
    for name in ("params", "tags"):
        op.execute(
            f"insert into tracking_{name} (run, key, project, head, value) select r.no, o.key, r.project, "
            f"substr(o.value, 1, 100), o.value from old_{name} o join tracking_runs r on r.id = o.run"
        )
    op.execute(
        "insert into tracking_artifacts (owner, path, digest, size) select run, path, digest, size from old_artifacts"
    )
    _copy_metrics()


def _copy_metrics() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "select r.no, r.project, o.key, o.step, o.at, o.value "
            "from old_metrics o join tracking_runs r on r.id = o.run order by r.no, o.key, o.step, o.at, o.seq"
        )
    )
    columns = "run, key, project, points, tail, last, last_step, last_at, min, max"
    marks = ", ".join(f":{name}" for name in columns.split(", "))
    for (run, project, key), grouped in groupby(rows, key=lambda row: (row[0], row[1], row[2])):
        points = [(row[3], row[4], row[5]) for row in grouped]
        seen = [value for _, _, value in points if value is not None and not math.isnan(value)]
        summary = {"run": run, "key": key, "project": project, "points": len(points), "tail": 0}
        summary |= {"last_step": points[-1][0], "last_at": points[-1][1], "last": points[-1][2]}
        summary |= {"min": min(seen, default=None), "max": max(seen, default=None)}
        connection.execute(sa.text(f"insert into tracking_series ({columns}) values ({marks})"), summary)
        for part in _parts(points):
            row = {"run": run, "key": key, "sealed": True, "data": _packed(part)}
            row |= {"first_step": part[0][0], "last_step": part[-1][0]}
            statement = sa.text(
                "insert into tracking_points (run, key, sealed, first_step, last_step, data) "
                "values (:run, :key, :sealed, :first_step, :last_step, :data)"
            )
            connection.execute(statement, row)


def _parts(points: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(points), _POINTS_A_ROW):
        yield points[start : start + _POINTS_A_ROW]


def _packed(points: list[Any]) -> bytes:
    """Kind 0 of the packed form (homeostat/tracking/points.py): steps, times, values, little endian, plain."""
    steps, times, values = zip(*points, strict=True)
    count = len(points)
    numbers = [float("nan") if value is None else value for value in values]
    return b"\x00" + struct.pack(f"<{count}q{count}q{count}d", *steps, *times, *numbers)


def _run_key(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("tracking_runs.no", name=f"fk_{table}_run")


def _project_key(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("tracking_projects.id", name=f"fk_{table}_project")
