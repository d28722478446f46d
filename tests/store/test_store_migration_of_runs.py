"""Runs that were logged before series were packed are all there afterwards, on both databases."""

import math

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from homeostat.store.database import Database, open_database
from homeostat.store.migrate import _FOLDER, upgrade
from homeostat.tracking import runs, series
from homeostat.tracking.projects import list_projects

RUN = "a" * 32


@pytest.fixture
def before(database_url: str) -> Database:
    """A catalogue at the revision before, with a run in it."""
    database = open_database(database_url)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    with database.write() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "0010")
    with database.write() as conn:
        for name in ("exp", "other"):
            conn.execute(sa.text(f"insert into tracking_projects values ('{name}', 5)"))  # noqa: S608  our words
        conn.execute(
            sa.text(
                "insert into tracking_runs (id, project, name, status, cause, actor, started, ended, error, code, "
                "environment, inputs) values (:id, 'exp', 'n', 'finished', 'person', 'ada', 1, 2, '', "
                """'{"commit": "c"}', '{}', '["d"]')"""
            ),
            {"id": RUN},
        )
        conn.execute(
            sa.text("insert into tracking_params values (:run, 'depth', :value)"), {"run": RUN, "value": "3" * 300}
        )
        conn.execute(sa.text("insert into tracking_tags values (:run, 'team', 'a')"), {"run": RUN})
        conn.execute(sa.text("insert into tracking_artifacts values (:run, 'a/b', 'x', 7)"), {"run": RUN})
        statement = sa.text(
            "insert into tracking_metrics (run, key, step, at, value) values (:run, :key, :step, :at, :value)"
        )
        points = [("loss", step, step + 10, step / 7) for step in range(5000)]
        points += [("odd", 0, 1, None), ("odd", 1, 2, math.inf), ("odd", 2, 3, 1.5)]
        rows = [dict(zip(("run", "key", "step", "at", "value"), (RUN, *point), strict=True)) for point in points]
        conn.execute(statement, rows)
    return database


def test_everything_of_a_run_is_there_after_the_upgrade(before: Database) -> None:
    upgrade(before)
    with before.read() as conn:
        assert [project.name for project in list_projects(conn)] == ["Default", "exp", "other"]
        detail = runs.get_run(conn, RUN)
        assert (detail.run.project, detail.run.status, detail.run.ended) == ("exp", "finished", 2)
        assert (detail.params, detail.tags) == ({"depth": "3" * 300}, {"team": "a"})
        assert (detail.code, detail.inputs) == ({"commit": "c"}, ["d"])
        assert [(item.path, item.size) for item in detail.artifacts] == [("a/b", 7)]
        assert detail.metrics == {"loss": 4999 / 7, "odd": 1.5}
        loss = series.read_series(conn, RUN, "loss")
        assert loss.values.tolist() == [step / 7 for step in range(5000)]
        odd = series.read_series(conn, RUN, "odd").values.tolist()
        assert math.isnan(odd[0]) and odd[1:] == [math.inf, 1.5]
    with before.write() as conn:
        series.log_metrics(conn, RUN, {"loss": 0.5}, at=9_000, step=6_000)
        assert len(series.read_series(conn, RUN, "loss")) == 5001
        runs.start_run(conn, project="new", at=9, actor="ada")
    before.close()
