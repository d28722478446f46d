"""Searching runs: what filters mean, how orders sort, how pages follow each other; on both databases."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.ground.clock import DAY, MINUTE
from homeostat.ground.errors import Invalid
from homeostat.ground.filters import parse_filter, parse_order
from homeostat.store.database import Database
from homeostat.tracking import inputs, projects, runs, series, trash
from homeostat.tracking.lookup import writable
from homeostat.tracking.search.find import count_runs, search_runs
from homeostat.tracking.search.pages import Columns
from homeostat.tracking.types import DatasetInput

NOW = 100 * DAY


@pytest.fixture
def zoo(database: Database) -> Database:
    """Six runs: `a`..`f`, started a day apart, the last one now."""
    with database.write() as conn:
        for place, name in enumerate("abcdef"):
            run = runs.start_run(
                conn, project="zoo", name=name, at=NOW - (5 - place) * DAY, actor="ada", run_id=f"{place:032x}"
            ).id
            runs.log_params(conn, run, {"depth": place % 3, "long": "x" * 150 + name, "odd key": name.upper()})
            if name != "f":
                value = {"d": float("nan"), "e": float("inf")}.get(name, place / 10)
                series.log_metrics(conn, run, {"loss": 1.0}, at=1, step=0)
                series.log_metrics(conn, run, {"loss": value, "val/acc": -place}, at=2, step=5)
            if name in "ab":
                runs.set_tags(conn, run, {"team": f"Team_{name}", "mlflow.note": "100% [sure]"})
        runs.end_run(conn, f"{0:032x}", at=NOW, status="failed")
        data = DatasetInput(name="iris", digest="d1", tags={"mlflow.data.context": "train"})
        inputs.log_dataset_inputs(conn, *writable(conn, f"{1:032x}"), [data])
        runs.start_run(conn, project="other", name="z", at=NOW, actor="bob")
    return database


def found(database: Database, text: str = "", *order: str, limit: int = 100) -> str:
    """The names of the runs, in order, page by page."""
    names, token = "", None
    with database.read() as conn:
        home = projects.find_by_name(conn, "zoo")
        assert home is not None
        while True:
            page = search_runs(
                conn, [home.id], text=text, order_by=order, limit=limit, page_token=token, now=NOW + MINUTE
            )
            names += "".join(item.run.name for item in page.runs)
            token = page.next_token
            if token is None:
                assert count_runs(conn, [home.id], text=text, now=NOW + MINUTE) == len(names)
                return names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "fedcba"),
        ("params.depth = '1'", "eb"),
        ("params.depth != '1'", "fdca"),
        ("params.depth IN ('0', '2')", "fdca"),
        ("params.depth NOT IN ('0', '2')", "eb"),
        ("params.`odd key` = 'C' or params.\"odd key\" = 'D'", "dc"),
        (f"params.long = '{'x' * 150}b'", "b"),
        ("params.nothing IS NULL AND tags.team IS NOT NULL", "ba"),
        ("tags.team != 'Team_a'", "b"),
        ("not tags.team = 'Team_a'", "fedcb"),
        ("tags.team LIKE 'team%'", ""),
        ("tags.team ILIKE 'team%'", "ba"),
        ("tags.team LIKE 'Team_b'", "b"),
        ("tags.mlflow.note contains '0% [S'", "ba"),
        ("tags.team =~ '^Team_[a-z]$'", "ba"),
        ("tags.team !~ 'a$' and tags.team is not null", "b"),
        ("metrics.loss > 0.05", "ecb"),
        ("metrics.loss >= 0.1 AND metrics.loss < 0.2", "b"),
        ("metrics.loss = inf", "e"),
        ("metrics.loss = nan", "d"),
        ("metrics.loss != 0.1", "edca"),
        ("metrics.loss IS NULL", "f"),
        ("metrics.`val/acc` <= -2", "edc"),
        ("metrics.val/acc IN (0, -1)", "ba"),
        ("max(metrics.loss) = 1 and min(metrics.loss) = 0.1", "b"),
        ("at(metrics.loss, 0) = 1 and at(metrics.loss, 5) < 0.15", "ba"),
        ("name = 'a' or (name > 'x' or run_name like 'b')", None),
        ("name = 'a' or (name ilike 'B' and status = 'RUNNING')", "ba"),
        ("status = 'FAILED'", "a"),
        ("attributes.status != 'failed' and user_id = 'ada'", "fedcb"),
        (f"run_id IN ('{2:032x}', '{3:032x}', 'nobody')", "dc"),
        ("started > now() - 36h", "fe"),
        ("start_time > -2d and start_time <= now()", "fe"),
        (f"attributes.start_time >= {(NOW - DAY) // 1000}", "fe"),
        ("end_time is null", "fedcb"),
        ("datasets.name = 'iris' and dataset.context = 'train' and dataset.digest LIKE 'd_'", "b"),
        ("artifact_uri like 'mlflow-artifacts:/%/artifacts'", "fedcba"),
    ],
)
def test_a_filter_lets_through_what_it_says(zoo: Database, text: str, names: str | None) -> None:
    if names is None:
        with pytest.raises(Invalid, match="text"):
            found(zoo, text)
    else:
        assert found(zoo, text) == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (["metrics.loss ASC"], "abcedf"),
        (["metrics.loss DESC"], "ecbadf"),
        (["metrics.loss"], "abcedf"),
        (["params.depth DESC", "name ASC"], "cfbead"),
        (["params.depth ASC", "metrics.loss DESC"], "adebcf"),
        (["tags.team ASC"], "abfedc"),
        (["start_time ASC"], "abcdef"),
        (["end_time DESC", "name"], "abcdef"),
        (["attributes.status", "run_name DESC"], "afedcb"),
        (["max(metrics.loss) DESC"], "edcbaf"),
        (["at(metrics.loss, 5) DESC"], "ecbafd"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_order_sorts_numbers_then_nan_then_what_is_missing_over_every_page(
    zoo: Database, order: Sequence[str], names: str, limit: int
) -> None:
    assert found(zoo, "", *order, limit=limit) == names


def test_walking_the_index_and_looking_up_few_runs_find_the_same(zoo: Database) -> None:
    """Two runs of six are looked up, five are walked past; both ways over pages of one."""
    assert found(zoo, "params.depth = '1' and metrics.loss > 0", "metrics.loss DESC", limit=1) == "eb"
    assert found(zoo, "params.long like 'x%' and metrics.loss > 0.05", "metrics.loss DESC", limit=1) == "ecb"


def test_a_page_goes_on_in_the_way_it_began_when_runs_come_in_between(zoo: Database) -> None:
    text, order = "params.depth = '1'", ["metrics.loss DESC"]
    with zoo.read() as conn:
        first = search_runs(conn, [1], text=text, order_by=order, limit=1, now=NOW)
    with zoo.write() as conn:
        for number in range(100):
            run = runs.start_run(conn, project="zoo", name="x", at=NOW, actor="ada").id
            runs.log_params(conn, run, {"depth": 1})
            series.log_metrics(conn, run, {"loss": number + 1000.0}, at=1)
    with zoo.read() as conn:
        second = search_runs(conn, [1], text=text, order_by=order, limit=5, page_token=first.next_token, now=NOW)
    assert [item.run.name for item in (*first.runs, *second.runs)][:2] == ["e", "x"]


def test_only_the_columns_asked_for_are_read(zoo: Database) -> None:
    with zoo.read() as conn:
        home = projects.find_by_name(conn, "zoo")
        assert home is not None
        columns = Columns(params=("depth",), metrics=(), tags=None)
        page = search_runs(conn, [home.id], text="name = 'b'", columns=columns, now=NOW)
    assert page.runs[0].params == {"depth": "1"}
    assert page.runs[0].metrics == []
    assert page.runs[0].tags == {"team": "Team_b", "mlflow.note": "100% [sure]"}


def test_a_run_that_comes_in_between_does_not_shift_the_next_page(zoo: Database) -> None:
    with zoo.read() as conn:
        first = search_runs(conn, [1], limit=2, now=NOW)
    with zoo.write() as conn:
        runs.start_run(conn, project="zoo", name="new", at=NOW + 5, actor="ada")
    with zoo.read() as conn:
        second = search_runs(conn, [1], limit=2, page_token=first.next_token, now=NOW)
    assert [item.run.name for item in [*first.runs, *second.runs]] == ["f", "e", "d", "c"]


def test_the_trash_is_searched_when_it_is_asked_for(zoo: Database) -> None:
    with zoo.write() as conn:
        trash.delete_run(conn, f"{4:032x}", at=NOW, actor="ada")
        shown = {
            view: "".join(item.run.name for item in search_runs(conn, [1], view=view, now=NOW).runs)  # type: ignore[arg-type]
            for view in ("active", "deleted", "all")
        }
    assert shown == {"active": "fdcba", "deleted": "e", "all": "fedcba"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metrics.loss > 'a'", "no number"),
        ("params.depth > 3", "quotes"),
        ("params.depth > '3'", "LIKE"),
        ("metrics.loss LIKE 3", "numbers"),
        ("owner = 'a'", "no attribute.*run_id"),
        ("dataset.size = '3'", "name, digest, context"),
        ("metrics.loss >", "ends too early"),
        ("name = 'a' name = 'b'", "AND or OR"),
        ("(name = 'a'", r"'\)'"),
        ("name = 'a", "cannot be read"),
        ("wrong.key = 'a'", "metrics, params, tags"),
        ("name =~ '(a+)+$'", "nesting"),
        ("name =~ '['", "no regular expression"),
        ("(" * 60 + "name = 'a'" + ")" * 60, "flatter"),
        ("start_time > 'yesterday'", "not a time"),
        ("name = 'a' or " * 3000 + "name = 'b'", "shorter"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_its_mend(
    sqlite_database: Database, text: str, message: str
) -> None:
    with sqlite_database.read() as conn, pytest.raises(Invalid, match=message):
        search_runs(conn, [0], text=text, now=NOW)


def test_a_token_of_another_search_is_refused(zoo: Database) -> None:
    with zoo.read() as conn:
        token = search_runs(conn, [1], limit=1, now=NOW).next_token
        with pytest.raises(Invalid, match="another search"):
            search_runs(conn, [1], text="name = 'a'", page_token=token, now=NOW)
        with pytest.raises(Invalid, match="no page token"):
            search_runs(conn, [1], page_token="%%%", now=NOW)  # noqa: S106  a place in a list
        with pytest.raises(Invalid, match="1 to 50000"):
            search_runs(conn, [1], limit=0, now=NOW)


@given(st.text(alphabet="metricsparam.tag`\"' =<>!()ANDORNTILKE,0123-+e%~now", max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    for parse in (parse_filter, parse_order):
        try:
            parse(text)
        except Invalid as error:
            assert error.next_step  # noqa: PT017  most texts parse
