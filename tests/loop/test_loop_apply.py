"""`homeostat apply`: everything is validated before anything changes, and a refusal names the part and the mend."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from homeostat.ground.errors import HomeostatError, Invalid, Refused, UserCodeFailed
from homeostat.loop.apply import apply_file
from homeostat.loop.declaration import PlanLine, get_declaration, list_declarations
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.events import list_events

FILE = """
import homeostat as hs

flights = hs.Source("flights.parquet", time="due", key="flight")
weather = hs.Source("weather.parquet", time="ts", key="airport")
now = hs.View("weather_now", weather, ttl="3h", select=["temp"])
history = hs.View("carrier_history", flights.known_at("arrived"), key="carrier", hop="1h",
                  aggregates=[hs.mean("delay", "1d"), hs.count("7d")])


@hs.on_demand(inputs=["due"])
def calendar(due):
    return {"hour": due.hour}


@hs.model(
    "late",
    examples=flights.where(status="arrived"),
    label=hs.Label("delay > 15", known_at="arrived"),
    features=[now.on(airport="origin"), history, calendar, "distance"],
    gate=[hs.at_least("roc_auc", 0.6), hs.no_slice_worse("origin", by=0.1)],
    watch=[hs.accuracy("log_loss")],
    retrain=hs.when(hs.worse("log_loss", by=0.1)) | hs.older_than("60d"),
)
def late(train, run):
    raise AssertionError("apply never trains")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    count = 400
    due = [begin + timedelta(hours=number) for number in range(count)]
    flew = [number % 8 != 0 for number in range(count)]
    pl.DataFrame(
        {
            "flight": range(count),
            "due": due,
            "carrier": ["AA", "BB"] * (count // 2),
            "origin": ["JFK"] * count,
            "distance": [float(number) for number in range(count)],
            "status": ["arrived" if up else "cancelled" for up in flew],
            "arrived": [moment + timedelta(hours=3) if up else None for moment, up in zip(due, flew, strict=True)],
            "delay": [float(number % 40) if up else None for number, up in enumerate(flew)],
            "air_time": [100.0 if up else None for up in flew],
        }
    ).write_parquet(tmp_path / "flights.parquet")
    pl.DataFrame({"ts": due, "airport": ["JFK"] * count, "temp": [1.0] * count}).write_parquet(
        tmp_path / "weather.parquet"
    )
    return tmp_path


def apply(database: Database, project: Path, text: str = FILE, *, dry_run: bool = False) -> list[PlanLine]:
    path = project / "declared.py"
    path.write_text(text)
    blobs = BlobStore(str(project / "blobs"))
    return apply_file(database, blobs, path, now=1_706_000_000_000_000, actor="test", dry_run=dry_run)


def refusal(database: Database, project: Path, text: str) -> HomeostatError:
    assert text != FILE
    with pytest.raises(HomeostatError) as caught:
        apply(database, project, text)
    with database.read() as conn:
        assert list_declarations(conn) == []
        assert list_events(conn) == []
    return caught.value


def test_the_plan_says_new_then_unchanged_then_what_changed(database: Database, project: Path) -> None:
    assert [line.change for line in apply(database, project)] == ["new"]
    assert [line.change for line in apply(database, project)] == ["unchanged"]
    (line,) = apply(database, project, FILE.replace("60d", "30d"))
    assert line.change == "changed"
    assert {field.split(":")[0] for field in line.fields} == {"retrain", "file_digest"}
    with database.read() as conn:
        assert [event.reason for event in list_events(conn, kinds=("model.declared",))] == ["new", "changed"]


def test_a_dry_run_prints_the_plan_and_changes_nothing(database: Database, project: Path) -> None:
    assert [line.change for line in apply(database, project, dry_run=True)] == ["new"]
    with database.read() as conn:
        assert list_declarations(conn) == []


def test_what_was_validated_is_what_is_kept(sqlite_database: Database, project: Path) -> None:
    apply(sqlite_database, project)
    with sqlite_database.read() as conn:
        declaration = get_declaration(conn, "late")
    assert declaration.task == "binary"
    assert declaration.features == (
        "weather_now.temp",
        "carrier_history.delay_mean_1d",
        "carrier_history.count_7d",
        "calendar.hour",
        "distance",
    )
    assert [column.name for column in declaration.inputs] == ["origin", "carrier", "due", "distance"]


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('select=["temp"]', 'select=["tmp"]', ["tmp", "temp"]),
        ('"distance"]', '"distanse"]', ["distanse", "distance"]),
        ('airport="origin"', 'airport="orign"', ["orign", "origin"]),
        ('inputs=["due"]', 'inputs=["dew"]', ["dew"]),
        ('hs.Label("delay > 15"', 'hs.Label("dealy > 15"', ["dealy"]),
        ('known_at="arrived")', 'known_at="arived")', ["arived"]),
        ('hs.mean("delay", "1d")', 'hs.mean("dlay", "1d")', ["dlay", "delay"]),
        ('hs.no_slice_worse("origin"', 'hs.no_slice_worse("origen"', ["origen", "origin"]),
    ],
)
def test_an_unknown_column_is_refused_by_name(
    sqlite_database: Database, project: Path, old: str, new: str, names: list[str]
) -> None:
    error = refusal(sqlite_database, project, FILE.replace(old, new))
    assert isinstance(error, Invalid)
    assert all(name in str(error) for name in names), str(error)


@pytest.mark.parametrize("leak", ["delay", "arrived_minute", "air_time", "status_known"])
def test_a_feature_that_is_known_only_after_the_prediction_is_refused(
    sqlite_database: Database, project: Path, leak: str
) -> None:
    texts = {
        "delay": FILE.replace('"distance"]', '"delay"]'),
        "arrived_minute": FILE.replace('inputs=["due"]', 'inputs=["arrived"]'),
        "air_time": FILE.replace('"distance"]', '"air_time"]'),
        "status_known": FILE.replace('key="flight")', 'key="flight", later={"arrived": ["distance"]})'),
    }
    error = refusal(sqlite_database, project, texts[leak])
    column = {"delay": "delay", "arrived_minute": "arrived", "air_time": "air_time", "status_known": "distance"}[leak]
    assert isinstance(error, Refused)
    assert column in str(error)
    assert "known_at" in error.next_step or "known_at" in str(error)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('hs.at_least("roc_auc", 0.6)', 'hs.at_least("rmse", 0.6)'),
        ('hs.accuracy("log_loss")', 'hs.accuracy("r2")'),
        ('hs.worse("log_loss", by=0.1)', 'hs.worse("mae", by=0.1)'),
    ],
)
def test_a_metric_that_the_task_has_not_is_refused_and_those_it_has_are_listed(
    sqlite_database: Database, project: Path, old: str, new: str
) -> None:
    error = refusal(sqlite_database, project, FILE.replace(old, new))
    assert isinstance(error, Invalid)
    assert "log_loss" in str(error)
    assert "roc_auc" in str(error)


def test_an_a_b_by_a_loss_that_the_task_has_not_is_refused(sqlite_database: Database, project: Path) -> None:
    declared = FILE.replace("watch=[", 'rollout=hs.shadow() >> hs.ab(50, metric="squared_error"),\n    watch=[')
    error = refusal(sqlite_database, project, declared)
    assert isinstance(error, Invalid) and error.field == "metric" and "log_loss" in error.next_step
    apply(sqlite_database, project, declared.replace("squared_error", "brier"))
    with sqlite_database.read() as conn:
        steps = get_declaration(conn, "late").rollout.steps()
    assert [step.name for step in steps] == ["shadow", "a/b 50 %", "bake"]


def test_views_that_need_each_other_are_refused_with_their_chain(sqlite_database: Database, project: Path) -> None:
    cyclic = FILE.replace(
        'now = hs.View("weather_now", weather, ttl="3h", select=["temp"])',
        'now = hs.View("weather_now", "weather_smooth", select=["temp"])\n'
        'smooth = hs.View("weather_smooth", "weather_now", select=["temp"])',
    ).replace("features=[now.on", 'features=[smooth.on(airport="origin"), now.on')
    error = refusal(sqlite_database, project, cyclic)
    assert isinstance(error, Refused)
    assert "weather_now" in str(error)
    assert "weather_smooth" in str(error)


def test_a_file_that_raises_is_named_with_its_line(sqlite_database: Database, project: Path) -> None:
    error = refusal(sqlite_database, project, FILE + "\n1 / 0\n")
    assert isinstance(error, UserCodeFailed)
    assert f"line {len(FILE.splitlines()) + 2}" in str(error)
    assert "ZeroDivisionError" in str(error)


def test_a_file_without_a_model_is_refused(sqlite_database: Database, project: Path) -> None:
    error = refusal(sqlite_database, project, "import homeostat as hs\n")
    assert "declares no model" in str(error)


def test_two_models_of_one_name_are_refused(sqlite_database: Database, project: Path) -> None:
    error = refusal(sqlite_database, project, FILE + FILE[FILE.index("@hs.model") :])
    assert "declared twice" in str(error)


def test_one_bad_model_keeps_the_good_ones_of_its_file_from_being_declared(
    sqlite_database: Database, project: Path
) -> None:
    second = FILE[FILE.index("@hs.model") :].replace('"late",', '"later",').replace("log_loss", "rmse")
    error = refusal(sqlite_database, project, FILE + second)
    assert "'later'" in str(error)
