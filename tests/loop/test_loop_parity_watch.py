"""Training-serving skew row by row, live: what was served is recomputed, and what differs is named with its values."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from homeostat.features.encoding import encode_frame, fit_columns
from homeostat.features.offline import training_frame
from homeostat.ground.clock import DAY, HOUR, from_datetime, to_iso
from homeostat.ground.records import PredictionBatch, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.apply import apply_file
from homeostat.loop.declaration import get_declaration
from homeostat.loop.engine import Engine
from homeostat.loop.parity import LoggedParity
from homeostat.loop.parity_watch import Answer, parity_findings
from homeostat.loop.usercode import load_model
from homeostat.monitoring.bins import fit_bins
from homeostat.monitoring.findings import noted_findings
from homeostat.monitoring.types import skew
from homeostat.registry.aliases import set_alias
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import register_version
from homeostat.server.accuracy import AccuracyBody
from homeostat.server.label_bodies import read_labels
from homeostat.server.service import Service
from homeostat.serving.log import FOLDER, PredictionLog

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
FILE = """
import homeostat as hs

flights = hs.Source("flights.parquet", time="due", key="flight")
weather = hs.Source("weather.parquet", time="ts", key="airport")
now = hs.View("weather_now", weather, ttl="3h", select=["temp"])


@hs.on_demand(inputs=["due"])
def calendar(due):
    return {"hour": due.hour}


def late_cost(y, score):
    return float((5 * y * (1 - score) + (1 - y) * score).mean())


@hs.model(
    "late",
    examples=flights.where(status="arrived"),
    label=hs.Label("delay > 15", known_at="arrived"),
    features=[now.on(airport="origin"), calendar, "distance"],
    watch=[hs.skew(rows=WATCHED), hs.accuracy(late_cost, greater_is_better=False)],
    retrain=hs.older_than("600d"),
)
def late(train, run):
    raise AssertionError("apply never trains")
"""


class Home:
    """A declared model whose version answered 400 requests a day; nothing is served, the log says what was."""

    def __init__(self, folder: Path, *, watched: int = 400) -> None:
        write_sources(folder)
        self.settings = Settings(home=str(folder / "home"), clock=to_iso(from_datetime(BEGIN)))
        self.service = Service(self.settings)
        path = folder / "declared.py"
        path.write_text(FILE.replace("WATCHED", str(watched)))
        apply_file(self.service.database, self.service.blobs, path, now=from_datetime(BEGIN), actor="test")
        with self.service.database.read() as conn:
            declaration = get_declaration(conn, "late")
        source = self.service.blobs.get(declaration.file_digest)
        _spec, self.features = load_model(source, name="declared.py", root=folder, model="late")
        self.folder = folder
        frame = training_frame(self.features, requests(0), times=times(0), root=folder)
        self.columns = fit_columns(self.features, frame)
        signature = Signature(
            task="binary", inputs=self.features.inputs, columns=self.columns, feature_hash=self.features.hash
        )
        lineage = {"file_digest": declaration.file_digest, "file_name": "declared.py", "root": str(folder)}
        with self.service.database.write() as conn:
            create_model(conn, "late", at=1, actor="test")
            register_version(
                conn,
                model="late",
                run_id=None,
                package=StoredPackage("onnx", {}, None),
                signature=signature,
                bins=fit_bins(self.columns, encode_frame(self.columns, frame)),
                evaluation={"evaluation": {"challenger": {"late_cost": 0.5}}},
                lineage=lineage | {"trained_through": from_datetime(BEGIN)},
                at=1,
                actor="test",
            )
            set_alias(conn, "late", "champion", 1, at=1, actor="test")
        self.engine = Engine(self.service.database, self.service.blobs, self.settings, self.service.clock)
        self.log = PredictionLog(self.settings.home_path / FOLDER)

    def answer(self, day: int, *, wrong: int = 0) -> list[str]:
        """Log a day; the first `wrong` rows were served one degree too much."""
        asked, at = requests(day), times(day)
        vectors = encode_frame(self.columns, training_frame(self.features, asked, times=at, root=self.folder))
        vectors[:wrong, [column.name for column in self.columns].index("weather_now.temp")] += 1
        ids = [f"{day}-{place}" for place in range(len(asked))]
        batch = PredictionBatch(
            endpoint="late",
            model="late",
            version=1,
            arm="stable",
            status="ok",
            request_ids=ids,
            times=at.to_list(),
            received=int(at[0]),
            latency_us=100,
            feature_hash=self.features.hash,
            inputs={
                name: (asked[name].dt.epoch("us") if name == "due" else asked[name]).to_list() for name in asked.columns
            },
            vectors=np.ascontiguousarray(vectors, dtype="<f8").tobytes(),
            scores=[0.4] * len(asked),
        )
        self.log.append([batch])
        return ids

    def move(self, day: float) -> None:
        self.service.move_clock(to_iso(from_datetime(BEGIN) + int(day * DAY)))
        self.engine.tick()

    def found(self, kind: str) -> dict[str, Any]:
        with self.service.database.read() as conn:
            return {one.subject: one for one in noted_findings(conn, "late") if one.kind == kind}

    def alarms(self) -> list[dict[str, Any]]:
        return [one for one in self.service.alarms.list(state="all") if one["kind"] == "parity"]

    def close(self) -> None:
        self.log.close()
        self.service.close()


def write_sources(folder: Path) -> None:
    due = [BEGIN + timedelta(minutes=6 * place) for place in range(2000)]
    pl.DataFrame(
        {
            "flight": range(2000),
            "due": due,
            "origin": ["JFK"] * 2000,
            "distance": [100.0 + place % 50 for place in range(2000)],
            "status": ["arrived"] * 2000,
            "arrived": [moment + timedelta(hours=3) for moment in due],
            "delay": [float(place % 40) for place in range(2000)],
        }
    ).write_parquet(folder / "flights.parquet")
    hours = [BEGIN + timedelta(hours=place) for place in range(240)]
    temperatures = [20.0 + place % 24 for place in range(240)]
    pl.DataFrame({"ts": hours, "airport": ["JFK"] * 240, "temp": temperatures}).write_parquet(
        folder / "weather.parquet"
    )


def requests(day: int) -> pl.DataFrame:
    due = [BEGIN + timedelta(days=day, minutes=3.5 * place) for place in range(400)]
    return pl.DataFrame({"origin": ["JFK"] * 400, "due": due, "distance": [120.0] * 400})


def times(day: int) -> pl.Series:
    return requests(day)["due"].dt.epoch("us")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def test_vectors_that_are_recomputed_as_they_were_served_are_fine(home: Home) -> None:
    home.answer(1)
    home.move(2.1)
    found = home.found("parity")
    assert set(found) == {column.name for column in home.columns}
    assert {one.status for one in found.values()} == {"ok"}
    assert all(one.evidence["checked"] >= 200 and one.evidence["differ"] == 0 for one in found.values())


def test_a_feature_that_was_served_otherwise_is_alarmed_with_both_values(home: Home) -> None:
    home.answer(1, wrong=100)
    home.move(2.1)
    (alarm,) = home.alarms()
    assert (alarm["subject"], alarm["severity"]) == ("weather_now.temp", "page")
    example = alarm["evidence"]["examples"][0]
    assert example["served"] == example["recomputed"] + 1 and example["request_id"].startswith("1-")
    assert home.found("parity")["distance"].status == "ok"


def test_a_model_may_do_without_and_few_rows_say_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path, watched=0)
    home.answer(1, wrong=400)
    home.move(2.1)
    assert home.found("parity") == {} and home.alarms() == []
    home.close()


def test_what_cannot_be_recomputed_is_insufficient_and_says_why(home: Home) -> None:
    home.answer(1)
    (home.folder / "weather.parquet").unlink()
    home.move(2.1)
    (found,) = home.found("parity").values()
    assert found.status == "insufficient" and "weather" in found.evidence["reason"]


def test_a_metric_of_the_declared_file_is_kept_by_window(home: Home) -> None:
    ids = home.answer(1)
    rows = [
        {"request_id": one, "value": place % 4 == 0, "at": to_iso(from_datetime(BEGIN) + 2 * DAY)}
        for place, one in enumerate(ids)
    ]
    home.service.labels.take(read_labels(msgspec.json.encode({"model": "late", "labels": rows})))
    home.move(3)
    shown = home.service.accuracy.show("late", AccuracyBody(window="day"))
    (one,) = shown["windows"]
    assert (shown["metric"], shown["reference"], shown["greater_is_better"]) == ("late_cost", 0.5, False)
    assert one["value"] == pytest.approx(0.25 * 5 * 0.6 + 0.75 * 0.4) and one["method"] == "jackknife over 12 spans"
    (finding,) = home.found("accuracy").values()
    assert finding.subject == "late_cost"


def test_a_share_between_the_limit_and_surely_more_is_not_decided() -> None:
    report = LoggedParity(model="m", checked=300, mismatched=5, features={"x": 5}, examples=[])
    found = parity_findings(Answer(report=report), skew(), ["x", "y"], (0, HOUR))
    assert [(one.subject, one.status) for one in found] == [("x", "insufficient"), ("y", "ok")]
    (none,) = parity_findings(Answer(error="no file"), skew(), ["x"], (0, HOUR))
    assert (none.subject, none.status, none.evidence["reason"]) == ("", "insufficient", "no file")
