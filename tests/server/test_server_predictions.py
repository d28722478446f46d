"""The prediction log, read: one request with its labels, stretches of it, how long it is kept."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from labelled_home import LabelledHome

from homeostat.ground.clock import DAY, HOUR, to_iso
from homeostat.ground.ids import new_id
from homeostat.loop.engine import log_folder
from homeostat.loop.key_index import index_log
from homeostat.server.app import build_app
from homeostat.server.label_bodies import LabelRow, LabelsBody
from homeostat.serving.segments import list_segments

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LabelledHome]:
    home = LabelledHome(tmp_path)
    yield home
    home.close()


@pytest.fixture
async def http(home: LabelledHome) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(home.service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


def label(home: LabelledHome, request_id: str, value: str) -> None:
    home.service.labels.take(LabelsBody(model="parcel", request_id=request_id, value=value))


async def test_what_was_answered_is_shown_with_all_arms_and_its_labels(
    home: LabelledHome, http: httpx.AsyncClient
) -> None:
    at = home.answer(["a", "b"])
    home.answer(["a", "b"], arm="shadow", at=at)
    label(home, "a", "late")
    label(home, "a", "on time")
    for moment in ("written", "taken in", "sealed"):
        if moment == "taken in":
            home.look()
        if moment == "sealed":
            home.seal()
        shown = (await http.get("/api/predictions/a")).json()
        assert [answer["arm"] for answer in shown["answers"]] == ["stable", "shadow"], moment
        first = shown["answers"][0]
        assert (first["model"], first["version"], first["score"], first["at"]) == ("parcel", 1, 0.25, to_iso(at))
        assert first["inputs"] == {"shop": 7, "item": "tea"}
        assert first["features"] == {"shop": 7.0, "item": "tea"}
        assert [one["value"] for one in shown["labels"]] == [0.0, 1.0]


async def test_a_request_that_no_version_scored_is_found_by_the_time_in_its_id(
    home: LabelledHome, http: httpx.AsyncClient
) -> None:
    ids = [new_id() for _ in range(3)]
    for one in ids:
        home.answer([one], status="error")
        home.seal()
    home.answer(["client's own"], status="error")
    home.seal()
    for one in (*ids, "client's own"):
        (answer,) = (await http.get(f"/api/predictions/{one}")).json()["answers"]
        assert (answer["status"], answer["score"]) == ("error", None)


async def test_an_unknown_request_is_not_found_and_one_with_labels_only_is(
    home: LabelledHome, http: httpx.AsyncClient
) -> None:
    answer = await http.get("/api/predictions/never")
    assert answer.status_code == 404 and "never" in answer.json()["error"]
    label(home, "early", "late")
    shown = (await http.get("/api/predictions/early")).json()
    assert (shown["answers"], shown["labels"][0]["waiting"]) == ([], True)


async def test_a_stretch_of_the_log_comes_as_one_arrow_stream(home: LabelledHome, http: httpx.AsyncClient) -> None:
    start = home.now - 5 * HOUR
    for hour in range(5):
        home.answer([f"a{hour}", f"b{hour}"], at=start + hour * HOUR)
        if hour in (1, 2):
            home.seal()
    whole = await http.get("/api/predictions", params={"model": "parcel"})
    assert whole.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert len(pl.read_ipc_stream(io.BytesIO(whole.content))) == 10
    asked = {"model": "parcel", "start": to_iso(start + HOUR), "end": str(start + 4 * HOUR)}
    part = pl.read_ipc_stream(io.BytesIO((await http.get("/api/predictions", params=asked)).content))
    assert sorted(part["request_id"]) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert part.schema["at"] == pl.Datetime("us", "UTC")
    assert json.loads(part["inputs"][0]) == {"shop": 7, "item": "tea"}
    empty = await http.get("/api/predictions", params={"model": "parcel", "end": to_iso(start)})
    nothing = pl.read_ipc_stream(io.BytesIO(empty.content))
    assert len(nothing) == 0 and nothing.schema == part.schema


@pytest.mark.parametrize(
    ("query", "status", "names"),
    [({}, 400, "model"), ({"model": "nobody"}, 404, "nobody"), ({"model": "parcel", "start": "soon"}, 400, "start")],
)
async def test_a_stretch_that_cannot_be_is_refused(
    http: httpx.AsyncClient, query: dict[str, str], status: int, names: str
) -> None:
    answer = await http.get("/api/predictions", params=query)
    assert answer.status_code == status, answer.text
    assert names in answer.text


async def test_keys_that_are_new_are_indexed_over_segments_and_files_that_are_written(home: LabelledHome) -> None:
    for place in range(4):
        home.answer([f"r{place}"], shop=place)
        if place < 3:
            home.seal()
    home.look()
    rows = [LabelRow(keys={"shop": place}, value=True) for place in range(4)]
    assert home.service.labels.take(LabelsBody(model="parcel", labels=rows))["waiting"] == 4
    service, steps = home.service, 0
    while not index_log(service.database, service.blobs, log_folder(home.settings), seconds=0):
        steps += 1  # as if killed after each
    assert steps == 5  # the file being written, three segments, the end
    assert home.service.counts("parcel") == {"predictions": 4, "labels": 4, "joined": 4, "waiting": 0}


def segments(home: LabelledHome) -> int:
    with home.service.database.read() as conn:
        return len(list_segments(conn))


def test_predictions_are_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    home = LabelledHome(tmp_path, keep_predictions="7d")
    for days in (30, 8, 6, 0):
        home.answer([f"{days} days old"], at=home.now - days * DAY)
        home.seal()
    home.look()
    with home.service.database.read() as conn:
        named = {segment.digest for segment in list_segments(conn)}
    assert len(named) == 2
    assert {blob.digest for blob in home.service.blobs.stored()} == named  # the bytes are gone too
    shown = home.service.predictions.show("8 days old")
    assert shown["answers"][0]["score"] == 0.25 and "no longer in the log" in shown["answers"][0]["detail"]
    assert home.service.counts("parcel")["predictions"] == 4
    home.close()


def test_predictions_are_never_dropped_within_the_window_of_labels(tmp_path: Path) -> None:
    home = LabelledHome(tmp_path, keep_predictions="1h", label_window="5d")
    for days in (6, 4):
        home.answer([f"{days}"], at=home.now - days * DAY)
        home.seal()
    home.look()
    assert segments(home) == 1
    home.close()


def test_without_the_setting_everything_is_kept(home: LabelledHome) -> None:
    home.answer(["old"], at=home.now - 4000 * DAY)
    home.seal()
    home.look()
    assert segments(home) == 1
