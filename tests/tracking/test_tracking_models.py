"""Logged models: what they hold, how they are found, what is refused; on both databases."""

import math

import pytest

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.store.database import Database
from homeostat.tracking import artifacts, models, projects, runs, traces, trash
from homeostat.tracking.lookup import run_number
from homeostat.tracking.model_metrics import log_model_metrics, log_run_models, run_models
from homeostat.tracking.search.models import DatasetFilter, ModelOrder, search_models
from homeostat.tracking.types import LoggedModel, ModelMetric, RunModel

RUN = f"{1:032x}"


@pytest.fixture
def shelf(database: Database) -> Database:
    """Three models, `a`, `b` and `c`, made at 1, 2 and 3 s; `a` and `b` measured, `b` on a data set."""
    with database.write() as conn:
        home = projects.create_project(conn, "shelf", at=0, actor="ada")
        runs.start_run(conn, project=home, at=0, actor="ada", run_id=RUN)
        made = {}
        for place, name in enumerate("abc", start=1):
            made[name] = models.create_model(
                conn,
                home.id,
                name=name,
                model_type="agent" if name == "a" else "",
                source_run=RUN if name == "b" else None,
                params={"depth": str(place), "odd key": "x"},
                tags={"team": f"Team_{name}"},
                at=place * 1_000_000,
                actor="ada",
            ).id
        measured = {
            made["a"]: [
                ModelMetric(key="acc", value=0.5, at=1, step=1),
                ModelMetric(key="acc", value=0.9, at=2, step=2),
            ],
            made["b"]: [
                ModelMetric(key="acc", value=0.7, at=1, dataset_name="iris", dataset_digest="d1"),
                ModelMetric(key="odd", value=math.nan, at=1),
            ],
        }
        log_model_metrics(conn, RUN, measured)
        models.finalise_model(conn, made["a"], status="ready", at=5_000_000, actor="ada")
    return database


def one(database: Database, name: str) -> LoggedModel:
    with database.read() as conn:
        home = projects.find_by_name(conn, "shelf")
        assert home is not None
        return search_models(conn, [home.id], text=f"name = '{name}'", now=0).models[0]


def found(
    database: Database,
    text: str = "",
    *,
    order: tuple[ModelOrder, ...] = (),
    datasets: tuple[DatasetFilter, ...] = (),
    limit: int = 100,
) -> str:
    """The names of the models, in order, page by page."""
    names, token = "", None
    with database.read() as conn:
        home = projects.find_by_name(conn, "shelf")
        assert home is not None
        while True:
            page = search_models(
                conn, [home.id], text=text, datasets=datasets, order_by=order, limit=limit, page_token=token, now=0
            )
            names, token = names + "".join(model.name for model in page.models), page.next_token
            if token is None:
                return names


def test_a_model_comes_back_as_it_was_logged(shelf: Database) -> None:
    model = one(shelf, "a")
    assert model.id.startswith("m-") and len(model.id) == 34
    assert (model.status, model.model_type, model.source_run, model.created, model.updated) == (
        *("ready", "agent", None),
        *(1_000_000, 5_000_000),
    )
    assert model.params == {"depth": "1", "odd key": "x"} and model.tags == {"team": "Team_a"}
    assert [(metric.value, metric.step, metric.run_id) for metric in model.metrics] == [(0.5, 1, RUN), (0.9, 2, RUN)]
    assert math.isnan(one(shelf, "b").metrics[1].value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "cba"),
        ("name = 'a'", "a"),
        ("name != 'a' and name LIKE '_'", "cb"),
        ("model_type = 'agent'", "a"),
        ("status = 'READY'", "a"),
        ("status = 'LOGGED_MODEL_PENDING'", "cb"),
        (f"source_run_id = '{RUN}'", "b"),
        ("source_run_id IS NULL", "ca"),
        ("creation_timestamp >= 2000", "cb"),
        ("metrics.acc > 0.6", "ba"),
        ("metrics.acc < 0.6", "a"),
        ("metrics.acc IS NULL", "c"),
        ("metrics.odd = nan", "b"),
        ("params.depth IN ('1', '3')", "ca"),
        ("params.`odd key` = 'x' and tags.team ILIKE 'team_B'", "b"),
        ("not metrics.acc > 0.8 or params.depth = '1'", "cba"),
    ],
)
def test_a_filter_lets_through_what_it_says(shelf: Database, text: str, names: str) -> None:
    assert found(shelf, text) == names


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_order_puts_what_is_missing_last_over_every_page(shelf: Database, limit: int) -> None:
    assert found(shelf, order=(ModelOrder("metrics.acc"),), limit=limit) == "bac"
    assert found(shelf, order=(ModelOrder("metrics.acc", descending=True),), limit=limit) == "abc"
    on_iris = ModelOrder("metrics.acc", dataset=DatasetFilter("iris"))
    assert found(shelf, order=(on_iris,), limit=limit) == "bca"
    assert found(shelf, order=(ModelOrder("source_run_id"), ModelOrder("name")), limit=limit) == "bac"
    assert found(shelf, order=(ModelOrder("creation_timestamp"),), limit=limit) == "abc"


def test_data_sets_narrow_what_was_measured(shelf: Database) -> None:
    assert found(shelf, datasets=(DatasetFilter("iris"),)) == "b"
    assert found(shelf, datasets=(DatasetFilter("iris", "d2"),)) == ""
    assert found(shelf, "metrics.acc > 0.6", datasets=(DatasetFilter("iris", "d1"), DatasetFilter("none"))) == "b"


@pytest.mark.parametrize(
    "text", ["colour = 'x'", "metrics.acc = 'x'", "datasets.name = 'iris'", "min(metrics.acc) > 1", "name ="]
)
def test_a_filter_that_makes_no_sense_is_refused(shelf: Database, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        found(shelf, text)
    assert caught.value.field == "filter" and caught.value.next_step


def test_a_page_token_of_another_search_is_refused(shelf: Database) -> None:
    with shelf.read() as conn:
        home = projects.find_by_name(conn, "shelf")
        assert home is not None
        token = search_models(conn, [home.id], limit=1, now=0).next_token
        for other in (token, "nonsense"):
            with pytest.raises(Invalid, match="token"):
                search_models(conn, [home.id], text="name = 'a'", limit=1, page_token=other, now=0)


def test_a_deleted_model_is_gone_and_its_name_can_be_used_again(shelf: Database) -> None:
    gone = one(shelf, "a")
    with shelf.write() as conn:
        models.delete_model(conn, gone.id, at=9, actor="ada")
        models.create_model(conn, gone.project_id, name="a", at=10_000_000, actor="ada")
    assert found(shelf) == "acb"
    with shelf.write() as conn:
        assert models.get_model(conn, gone.id, allow_deleted=True).deleted == 9
        with pytest.raises(NotFound, match="no logged model"):
            models.get_model(conn, gone.id)
        with pytest.raises(NotFound):
            models.delete_model(conn, gone.id, at=11, actor="ada")


def test_params_stay_and_tags_may_change(shelf: Database) -> None:
    model = one(shelf, "a")
    with shelf.write() as conn:
        models.log_model_params(conn, model.id, {"depth": "1", "new": "y"}, at=7)
        models.set_model_tags(conn, model.id, {"team": "other"}, at=7)
        with pytest.raises(Conflict, match="cannot become"):
            models.log_model_params(conn, model.id, {"depth": "2"}, at=8)
        models.delete_model_tag(conn, model.id, "team", at=9)
        with pytest.raises(NotFound, match="no tag"):
            models.delete_model_tag(conn, model.id, "team", at=9)
    after = one(shelf, "a")
    assert after.params == {"depth": "1", "new": "y", "odd key": "x"} and after.tags == {} and after.updated == 9


def test_bad_names_and_values_too_long_are_refused_by_field(shelf: Database) -> None:
    home = one(shelf, "a").project_id
    with shelf.write() as conn:
        for name in ("a/b", "a:b", "x" * 501, "a.b"):
            with pytest.raises(Invalid, match="model name"):
                models.create_model(conn, home, name=name, at=0, actor="ada")
        for params in ({"k" * 251: "v"}, {"": "v"}, {"k": "v" * 6001}):
            with pytest.raises(Invalid, match="parameter"):
                models.create_model(conn, home, params=params, at=0, actor="ada")
        with pytest.raises(NotFound, match="no project"):
            models.create_model(conn, 99, at=0, actor="ada")
        with pytest.raises(Invalid, match="status"):
            models.finalise_model(conn, one(shelf, "a").id, status="odd", at=0, actor="ada")  # type: ignore[arg-type]


def test_a_run_knows_which_models_it_read_and_made(shelf: Database) -> None:
    a, b = one(shelf, "a").id, one(shelf, "b").id
    with shelf.write() as conn:
        log_run_models(conn, RUN, [RunModel(a, 1), RunModel(b, 2), RunModel(a, 3)], direction="output")
        log_run_models(conn, RUN, [RunModel(b)], direction="input")
        number = run_number(conn, RUN)
        assert run_models(conn, [number]) == {
            number: {"input": [RunModel(b)], "output": [RunModel(b, 2), RunModel(a, 3)]}
        }
        with pytest.raises(NotFound, match="no logged model"):
            log_run_models(conn, RUN, [RunModel("m-none")], direction="input")
        with pytest.raises(NotFound, match="no run"):
            log_run_models(conn, "0" * 32, [RunModel(a)], direction="input")


def test_the_same_measurement_again_adds_nothing(shelf: Database) -> None:
    model = one(shelf, "a")
    with shelf.write() as conn:
        log_model_metrics(conn, RUN, {model.id: [ModelMetric(key="acc", value=0.5, at=1, step=1)]})
        with pytest.raises(NotFound, match="log the model first"):
            log_model_metrics(conn, RUN, {"m-none": [ModelMetric(key="acc", value=0.5, at=1)]})
    assert len(one(shelf, "a").metrics) == 2


def test_what_a_purged_project_held_goes_with_it(shelf: Database) -> None:
    model = one(shelf, "a")
    with shelf.write() as conn:
        log_run_models(conn, RUN, [RunModel(model.id)], direction="output")
        artifacts.put_artifact(conn, model.id, "MLmodel", digest="0" * 64, size=1)
        traces.record_trace(conn, "tr-1", model.project_id, requested=1, tags={"k": "v"})
        traces.link_traces(conn, RUN, ["tr-1"])
        trash.delete_project(conn, model.project_id, at=5, actor="ada")
        trash.purge_runs(conn, [RUN], at=6, actor="ada")
        trash.purge_projects(conn, [model.project_id], at=6, actor="ada")
        with pytest.raises(NotFound):
            models.get_model(conn, model.id, allow_deleted=True)
        with pytest.raises(NotFound):
            traces.get_trace(conn, "tr-1")
        assert artifacts.list_artifacts(conn, model.id) == []
