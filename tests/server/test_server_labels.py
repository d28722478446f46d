"""`POST /labels` in every form, and what is refused: by name, and without a trace."""

import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from labelled_home import LabelledHome

from homeostat.ground.clock import DAY, HOUR, MINUTE, to_datetime, to_iso
from homeostat.server.app import build_app

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Home(LabelledHome):
    """With its control plane in this process."""

    http: httpx.AsyncClient

    async def post(self, body: Any, path: str = "/labels", **query: Any) -> httpx.Response:
        return await self.http.post(path, json=body, params=query)

    async def send(self, content: bytes | str, kind: str, **query: Any) -> httpx.Response:
        given = {"model": "parcel"} | query
        return await self.http.post("/labels", content=content, params=given, headers={"Content-Type": kind})

    async def values(self, request_id: str) -> list[float]:
        answer = await self.http.get(f"/api/labels/parcel/{request_id}")
        return [label["value"] for label in answer.json()] if answer.status_code == 200 else []

    async def counts(self) -> dict[str, int]:
        return (await self.http.get("/api/models/parcel/counts")).json()  # type: ignore[no-any-return]


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Home]:
    """The home, answering."""
    app = build_app(home.service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as home.http:
        yield home
    home.close()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with opened(Home(tmp_path, max_body_mb=1)) as home:
        yield home


async def test_one_label_by_request_id_is_joined_whichever_comes_first(home: Home) -> None:
    home.answer(["before"])
    home.look()
    for name in ("before", "after"):
        answer = await home.post({"model": "parcel", "request_id": name, "value": "on time"})
        assert answer.status_code == 200, answer.text
    assert answer.json() == {"accepted": 1, "duplicates": 0}
    assert (await home.counts())["waiting"] == 1
    home.answer(["after"])
    home.look()
    assert await home.counts() == {"predictions": 2, "labels": 2, "joined": 2, "waiting": 0}


async def test_both_databases_join_by_key_and_keep_the_history(tmp_path: Path, database_url: str) -> None:
    async with opened(Home(tmp_path, database=database_url)) as home:
        at = home.answer(["a"])
        home.look()
        by_key = {"model": "parcel", "keys": {"shop": 7, "item": "tea"}, "time": to_iso(at), "value": "late"}
        assert (await home.post(by_key)).json() == {"accepted": 1, "duplicates": 0, "waiting": 1}  # not indexed yet
        home.look()
        assert await home.values("a") == [0.0]
        assert (await home.post(by_key | {"value": "on time"})).json() == {"accepted": 1, "duplicates": 0, "changed": 1}
        history = (await home.http.get("/api/labels/parcel/a")).json()
        assert [(one["value"], one["believed"], one["actor"]) for one in history] == [
            (0.0, False, "person"),
            (1.0, True, "person"),
        ]
        assert history[0]["keys"] == {"shop": 7, "item": "tea"} and history[0]["time"] == to_iso(at)
        csv = "request_id,value,at\na,late,2024-05-01T00:00:00Z\nb,true,\n"
        assert (await home.send(csv, "text/csv")).json() == {
            "accepted": 2,
            "duplicates": 0,
            "changed": 1,
            "waiting": 1,
        }


async def test_a_label_by_key_alone_is_for_every_request_about_the_entity(home: Home) -> None:
    home.answer(["a"], item="milk")
    home.seal()
    answer = await home.post({"model": "parcel", "keys": {"item": "milk"}, "value": True})
    assert answer.json()["accepted"] == 1
    home.answer(["b"], item="milk", shop=1)
    home.answer(["c"], item="tea")
    home.look()
    assert [await home.values(name) for name in ("a", "b", "c")] == [[1.0], [1.0], []]


async def test_the_window_before_the_time_can_be_said(home: Home) -> None:
    at = home.answer(["a"], at=home.now - 3 * HOUR)
    label = {"model": "parcel", "keys": {"shop": 7}, "time": at + 2 * HOUR, "value": 1}
    await home.post(label | {"within": "1h"})
    home.look()
    assert await home.values("a") == []
    await home.post(label | {"time": at + 2 * HOUR + 1, "within": "3h"})
    assert await home.values("a") == [1.0]


async def test_the_same_label_again_is_kept_once_with_or_without_its_time(home: Home) -> None:
    dated = {"model": "parcel", "request_id": "a", "value": True, "at": "2024-01-01T00:00:00Z"}
    undated = {"model": "parcel", "request_id": "b", "value": True}
    keyed = {"model": "parcel", "keys": {"shop": 7}, "value": True}
    for label in (dated, undated, keyed):
        assert (await home.post(label)).json()["accepted"] == 1
        assert (await home.post(label)).json() == {"accepted": 0, "duplicates": 1}
    for value in (False, True):
        assert (await home.post(undated | {"value": value})).json()["accepted"] == 1
    assert await home.values("b") == [1.0, 0.0, 1.0]


async def test_of_two_that_contradict_each_other_in_one_batch_the_last_wins(home: Home) -> None:
    rows = [{"request_id": "a", "value": value} for value in (True, False, True, False)]
    answer = await home.post({"model": "parcel", "labels": rows})
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (2, 2)
    history = (await home.http.get("/api/labels/parcel/a")).json()
    assert [one["believed"] for one in history] == [False, True]
    assert history[-1]["value"] == 0.0


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"request_id": "a", "value": "early"}, "late, on time"),
    ({"request_id": "a"}, "value is missing"),
    ({"request_id": "a", "value": [1]}, "value"),
    ({"request_id": "a", "value": True, "colour": "red"}, "colour"),
    ({"value": True}, "request_id"),
    ({"request_id": "a", "keys": {"shop": 7}, "value": True}, "either a request_id or keys"),
    ({"request_id": "", "value": True}, "request_id"),
    ({"request_id": "x" * 129, "value": True}, "request_id"),
    ({"request_id": "a\0b", "value": True}, "request_id"),
    ({"request_id": "a", "time": 5, "value": True}, "time"),
    ({"keys": {}, "value": True}, "keys"),
    ({"keys": {"colour": "red"}, "value": True}, "shop, item"),
    ({"keys": {"shop": "far"}, "value": True}, "shop"),
    ({"keys": {"shop": None}, "value": True}, "shop"),
    ({"keys": {"shop": True}, "value": True}, "shop"),
    ({"keys": {"item": 7}, "value": True}, "item"),
    ({"keys": {"item": ["tea"]}, "value": True}, "item"),
    ({"keys": {"shop": 7}, "time": "yesterday", "value": True}, "time"),
    ({"request_id": "a", "value": True, "at": "soon"}, "at"),
    ({"request_id": "a", "value": True, "at": 10**18}, "at"),
    ({"request_id": "a", "value": True, "at": -(10**18)}, "at"),
    ({"request_id": "a", "value": True, "at": "2999-01-01T00:00:00Z"}, "future"),
    ({"keys": {"shop": 7}, "time": "2999-01-01T00:00:00Z", "value": True}, "future"),
]


@pytest.mark.parametrize(("row", "names"), REFUSED, ids=[str(row)[:60] for row, _ in REFUSED])
async def test_a_wrong_label_is_refused_by_name_and_takes_its_batch_along(
    home: Home, row: dict[str, Any], names: str
) -> None:
    single = await home.post({"model": "parcel"} | row)
    batch = await home.post({"model": "parcel", "labels": [{"request_id": "good", "value": True}, row]})
    for answer in (single, batch):
        assert answer.status_code == 400, answer.text
        assert names in answer.text
    if "labels[" in batch.text:
        assert "labels[1]" in batch.json()["error"]
    assert await home.values("good") == []


async def test_partial_keeps_what_is_right_and_tells_what_is_not(home: Home) -> None:
    rows = [
        {"request_id": "good", "value": True},
        {"request_id": "bad", "value": "early"},
        {"keys": {"colour": "red"}, "value": True},
    ]
    answer = await home.post({"model": "parcel", "labels": rows}, partial=True)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["refused"]) == (1, 2)
    assert [error["row"] for error in told["errors"]] == ["labels[1]", "labels[2]"]
    assert "colour" in told["errors"][1]["error"]
    assert await home.values("good") == [1.0]
    lines = b'{"request_id": "c", "value": true}\nnonsense\n{"request_id": "d"}\n'
    told = (await home.send(lines, "application/x-ndjson", partial=True)).json()
    assert [error["row"] for error in told["errors"]] == ["line 2", "line 3"]


async def test_a_label_from_a_clock_a_little_ahead_is_taken(home: Home) -> None:
    soon = to_iso(home.service.clock.now() + 3_000_000)
    assert (await home.post({"model": "parcel", "request_id": "a", "value": True, "at": soon})).status_code == 200


async def test_a_driven_clock_is_what_the_future_is_measured_by(tmp_path: Path) -> None:
    async with opened(Home(tmp_path, clock="2020-01-01T00:00:00Z")) as home:
        # A replay tells what happens until its clock's next stop before it moves the clock there.
        told = {"model": "parcel", "request_id": "a", "value": True, "at": "2020-01-08T00:00:00Z"}
        assert (await home.post(told)).status_code == 200
        refused = await home.post(told | {"at": "2024-01-01T00:00:00Z"})
        assert refused.status_code == 400 and "2020-01-01" in refused.text


# Files ---------------------------------------------------------------------------------------------------------------

MOMENT = to_datetime(1_700_000_000_000_000)
TABLE = pl.DataFrame(
    {"request_id": ["a", "b"], "value": ["late", "on time"], "at": [MOMENT, MOMENT]},
    schema_overrides={"at": pl.Datetime("ms", "Europe/Paris")},
)


def as_parquet(table: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    table.write_parquet(held)
    return held.getvalue()


def as_stream(table: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    table.write_ipc_stream(held)
    return held.getvalue()


def as_arrow(table: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    table.write_ipc(held)
    return held.getvalue()


FILES: list[tuple[str, bytes]] = [
    (
        "application/x-ndjson",
        b'{"request_id": "a", "value": "late", "at": 1700000000000000}\n\n{"request_id": "b", "value": true}',
    ),
    ("text/csv; charset=utf-8", b"\xef\xbb\xbfvalue,request_id,at\r\nlate,a,1700000000000000\r\n1,b,\r\n"),
    ("application/vnd.apache.parquet", as_parquet(TABLE)),
    ("application/vnd.apache.arrow.stream", as_stream(TABLE)),
    ("application/vnd.apache.arrow.file", as_arrow(TABLE.with_columns(pl.col("value").cast(pl.Categorical)))),
]


@pytest.mark.parametrize(("kind", "content"), FILES, ids=[kind for kind, _ in FILES])
async def test_a_file_is_taken_by_its_content_type(home: Home, kind: str, content: bytes) -> None:
    answer = await home.send(content, kind)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 2
    assert await home.values("b") == [1.0]
    (first,) = (await home.http.get("/api/labels/parcel/a")).json()
    assert (first["value"], first["at"]) == (0.0, to_iso(1_700_000_000_000_000))


async def test_every_other_column_of_a_table_is_a_key(home: Home) -> None:
    at = home.answer(["a"], shop=3, item="milk")
    home.look()
    times = pl.Series("time", [to_datetime(at), to_datetime(at - 2 * DAY)])
    table = pl.DataFrame({"item": ["milk", "milk"], "shop": [3, 3], "time": times, "value": [True, False]})
    assert (await home.send(as_parquet(table), "application/vnd.apache.parquet")).json()["accepted"] == 2
    csv = f"request_id,item,shop,time,value\n,milk,4,{at},late\nz,,,,late\n"
    assert (await home.send(csv, "text/csv")).json()["accepted"] == 2
    home.look()
    assert await home.values("a") == [1.0]
    assert await home.values("z") == [0.0]
    assert (await home.counts())["waiting"] == 3


WRONG_FILES: list[tuple[str, bytes, str, str]] = [
    ("application/x-ndjson", b'{"request_id": "good", "value": true}\n{"request_id": "b"}\n', "line 2", "value"),
    ("application/x-ndjson", b'{"request_id": "good", "value": true}\n{"request_id": 7, "value": 1}', "line 2", "str"),
    ("application/x-ndjson", b'{"request_id": "good", "value": true}\n[]\n', "line 2", ""),
    ("application/x-ndjson", b'{"request_id": "good", "value": NaN}\n', "line 1", "JSON"),
    ("application/x-ndjson", b"[" * 5000, "line 1", ""),
    ("application/x-ndjson", b"\xff\xfe{}", "line 1", ""),
    ("text/csv", b"request_id,value\ngood,late\nb,maybe\n", "line 3", "maybe"),
    ("text/csv", b"request_id,value\ngood,late\nb\n", "line 3", "cells"),
    ("text/csv", b'request_id,value\ngood,late\n"b,late\n', "line", "CSV"),
    ("text/csv", b"request_id,value\ngood,\xff\xff\n", "", "CSV"),
    ("text/csv", b"request_id,value,value\na,1,1\n", "value", "twice"),
    ("text/csv", b"request_id,truth\na,1\n", "", "value"),
    ("text/csv", b"value\n1\n", "", "request_id"),
    ("text/csv", b"", "", "value"),
    ("text/csv", b"request_id,value\na,1\nb," + b"x" * 70_000, "", "longer"),
    (
        "application/vnd.apache.parquet",
        as_parquet(pl.DataFrame({"request_id": ["good", "b"], "value": [1.0, float("nan")]})),
        "row 2",
        "value",
    ),
    (
        "application/vnd.apache.parquet",
        as_parquet(pl.DataFrame({"request_id": ["good", None], "value": [1, 1]})),
        "row 2",
        "request_id",
    ),
    ("application/vnd.apache.parquet", as_parquet(pl.DataFrame({"request_id": ["a"], "value": [[1]]})), "", "List"),
    ("application/vnd.apache.parquet", as_parquet(TABLE)[:-9], "", "parquet"),
    ("application/vnd.apache.parquet", b"PAR1", "", "parquet"),
    ("application/vnd.apache.arrow.stream", as_stream(TABLE)[:200], "", "arrow stream"),
    ("application/vnd.apache.arrow.file", b"ARROW1" * 50, "", "arrow file"),
    ("application/x-www-form-urlencoded", b"request_id=good&value=1", "Content-Type", "application/json"),
    ("application/json", b"{", "body", "JSON"),
    ("application/json", b"[" * 200, "deep", ""),
]


@pytest.mark.parametrize(
    ("kind", "content", "where", "what"),
    WRONG_FILES,
    ids=[f"{file[0]} {file[1][:40]!r}" for file in WRONG_FILES],
)
async def test_a_wrong_file_is_refused_with_its_line_and_leaves_nothing(
    home: Home, kind: str, content: bytes, where: str, what: str
) -> None:
    answer = await home.send(content, kind)
    assert answer.status_code in (400, 413), answer.text
    assert where in answer.text and what in answer.text
    assert "Traceback" not in answer.text and "homeostat-labels-" not in answer.text
    assert await home.values("good") == []


async def test_a_file_larger_than_a_body_may_be_is_streamed_and_json_is_not(home: Home) -> None:
    lines = b"".join(b'{"request_id": "%0100d", "value": "late"}\n' % number for number in range(12_000))
    assert len(lines) > 1 << 20
    answer = await home.send(lines, "application/x-ndjson")
    assert answer.json()["accepted"] == 12_000, answer.text
    answer = await home.send(b'{"model": "parcel", "labels": [' + b" " * (1 << 20) + b"]}", "application/json")
    assert answer.status_code == 413
    assert "HOMEOSTAT_MAX_BODY_MB" in answer.json()["next_step"]


async def test_a_table_that_makes_its_reader_abort_is_refused_and_the_server_lives(home: Home) -> None:
    bad = bytearray(as_parquet(pl.DataFrame({"request_id": [str(n) for n in range(300)], "value": [True] * 300})))
    for place in range(8, len(bad) - 8, 37):  # one of these claims exabytes, others are torn
        answer = await home.send(bytes(bad[:place] + b"\xff\xff\xff\xff" + bad[place + 4 :]), "application/x-parquet")
        assert answer.status_code in (200, 400), answer.text
        if place > 300:
            break
    assert (await home.post({"model": "parcel", "request_id": "a", "value": True})).status_code == 200


async def test_a_packed_body_is_refused(home: Home) -> None:
    answer = await home.send(gzip.compress(b'{"request_id": "a", "value": true}'), "application/x-ndjson")
    assert answer.status_code == 400


async def test_a_file_names_its_model_and_the_model_must_be_there(home: Home) -> None:
    nameless = await home.http.post("/labels", content=b"", headers={"Content-Type": "text/csv"})
    assert nameless.status_code == 400 and "?model=" in nameless.text
    for answer in (
        await home.send(b"request_id,value\n", "text/csv", model="nobody"),
        await home.post({"model": "nobody", "labels": []}),
        await home.post({"model": "nobody", "labels": []}, path="/api/labels"),
    ):
        assert answer.status_code == 404 and "nobody" in answer.text


async def test_a_history_of_nothing_is_not_found(home: Home) -> None:
    answer = await home.http.get("/api/labels/parcel/never")
    assert answer.status_code == 404 and "never" in answer.json()["error"]


async def test_an_id_with_a_slash_has_a_history_too(home: Home) -> None:
    await home.post({"model": "parcel", "request_id": "a/b c", "value": True})
    assert await home.values("a/b%20c") == [1.0]


async def test_labels_of_ten_minutes_are_joined_in_one_look(home: Home) -> None:
    at = home.now - 30 * MINUTE
    for minute in range(10):
        home.answer([f"r{minute}"], at=at + minute * MINUTE)
    rows = [{"keys": {"shop": 7}, "time": at + minute * MINUTE + 5, "value": minute % 2} for minute in range(10)]
    await home.post({"model": "parcel", "labels": rows})
    home.look()
    assert [await home.values(f"r{minute}") for minute in range(10)] == [[float(minute % 2)] for minute in range(10)]
