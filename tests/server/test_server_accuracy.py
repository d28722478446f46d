"""Accuracy by window over HTTP, by command and from Python; kept up by the loop, re-opened by late labels."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from labelled_home import LabelledHome

from homeostat.cli.main import cli
from homeostat.ground.clock import DAY, HOUR, from_iso, to_iso
from homeostat.ground.errors import Invalid
from homeostat.sdk.connect import connect
from homeostat.server.app import build_app
from homeostat.server.label_bodies import LabelRow, LabelsBody

pytestmark = pytest.mark.anyio
MONDAY = from_iso("2013-03-04")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LabelledHome]:
    home = LabelledHome(tmp_path, clock=to_iso(MONDAY))
    yield home
    home.close()


@pytest.fixture
async def http(home: LabelledHome) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(home.service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


def answer_days(home: LabelledHome, days: range, *, shops: tuple[float, ...] = (1, 2), late: int = HOUR) -> list[str]:
    """Twenty answers a shop and day, all 'late' with 75 %; of shop 1 every answer comes true, of the others half."""
    rows = []
    for day in days:
        for shop in shops:
            for place in range(20):
                at = MONDAY + day * DAY + place * HOUR
                one = f"{day}-{shop:g}-{place}"
                home.answer([one], at=at, shop=shop, item="tea" if place % 2 else "milk")
                value = "late" if shop == 1 or place % 2 else "on time"
                rows.append(LabelRow(request_id=one, value=value, at=at + late))
    home.service.labels.take(LabelsBody(model="parcel", labels=rows))
    return [str(row.request_id) for row in rows]


def move(home: LabelledHome, day: float) -> None:
    home.service.move_clock(to_iso(int(MONDAY + day * DAY)))
    home.look()


async def show(http: httpx.AsyncClient, **query: Any) -> Any:
    answer = await http.get("/api/models/parcel/accuracy", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_day_shows_coverage_lateness_metric_and_interval(
    home: LabelledHome, http: httpx.AsyncClient
) -> None:
    answer_days(home, range(3))
    home.answer(["unlabelled"], at=MONDAY + 5 * HOUR)
    move(home, 4)
    shown = await show(http, metric="accuracy", window="day")
    assert [one["start"] for one in shown["windows"]] == [to_iso(MONDAY + day * DAY) for day in range(3)]
    first = shown["windows"][0]
    assert (first["predictions"], first["labels"], first["value"], first["method"]) == (41, 40, 0.75, "wilson")
    assert first["low"] < 0.75 < first["high"] and first["coverage"] == pytest.approx(40 / 41, abs=1e-6)
    assert first["lateness_s"] == {"median": 3600.0, "p90": 3600.0, "p99": 3600.0}
    assert not first["provisional"] and shown["final_until"] is not None


async def test_a_column_of_the_log_tells_slices_apart(home: LabelledHome, http: httpx.AsyncClient) -> None:
    answer_days(home, range(2))
    for state in ("written", "sealed"):
        move(home, 3) if state == "written" else home.seal()
        shown = await show(http, metric="accuracy", window="day", by="shop")
        found = {(one["start"][:10], one["slice"]): (one["labels"], one["value"]) for one in shown["slices"]}
        assert found["2013-03-04", "1"] == (20, 1.0), state
        assert found["2013-03-05", "2"] == (20, 0.5), state
    by_item = await show(http, metric="balanced_accuracy", window="day", by="item")
    assert {one["slice"] for one in by_item["slices"]} == {"tea", "milk"}


async def test_without_a_word_metric_and_window_are_chosen(home: LabelledHome, http: httpx.AsyncClient) -> None:
    answer_days(home, range(3), shops=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    move(home, 4)
    shown = await show(http)
    assert (shown["metric"], shown["window"]) == ("log_loss", "day")
    weekly = await show(http, window="7d", metric="roc_auc")
    assert [one["start"] for one in weekly["windows"]] == [to_iso(MONDAY)]
    assert weekly["windows"][0]["value"] is not None


async def test_times_in_any_zone_name_the_same_windows(home: LabelledHome, http: httpx.AsyncClient) -> None:
    answer_days(home, range(3))
    move(home, 4)
    utc = await show(http, metric="accuracy", window="day", start="2013-03-05T00:00:00Z", end="2013-03-06T00:00:00Z")
    there = await show(
        http, metric="accuracy", window="day", start="2013-03-04T19:00:00-05:00", end="2013-03-06T05:30:00+05:30"
    )
    assert utc["windows"] == there["windows"] and len(utc["windows"]) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"metric": "beauty"}, "metric"),
        ({"window": "3h"}, "window"),
        ({"by": "colour"}, "by"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2013-03-09", "end": "2013-03-01"}, "start"),
        ({"window": "hour", "start": "2001-01-01", "end": "2030-01-01"}, None),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(
    home: LabelledHome, http: httpx.AsyncClient, query: dict[str, str], field: str | None
) -> None:
    answer_days(home, range(1))
    move(home, 2)
    answer = await http.get("/api/models/parcel/accuracy", params=query)
    assert answer.status_code == (200 if field is None else 400), answer.text
    if field is not None:
        assert answer.json()["field"] == field


async def test_an_unknown_model_is_not_found_and_one_without_answers_shows_nothing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/models/nobody/accuracy")).status_code == 404
    assert (await show(http))["windows"] == []


async def test_the_loop_keeps_what_a_monitor_declares_and_a_late_label_reopens_it(
    home: LabelledHome, http: httpx.AsyncClient
) -> None:
    reference = [{"x": float(place), "score": 0.2 + 0.6 * (place % 2), "label": place % 2 == 1} for place in range(300)]
    rules = [{"kind": "accuracy", "metric": "balanced_accuracy"}]
    body = {"name": "post", "task": "binary", "reference": reference, "watch": rules}
    assert (await http.post("/api/monitors", json=body)).status_code == 200
    times = [MONDAY + place * HOUR for place in range(24)]
    rows = [{"request_id": f"p{at}", "time": to_iso(at), "x": 1.0, "score": 0.2} for at in times]
    assert (await http.post("/predictions", json={"model": "post", "rows": rows})).status_code == 200
    labels = [{"request_id": f"p{at}", "value": at % (2 * HOUR) > 0, "at": to_iso(at + HOUR)} for at in times[1:]]
    await http.post("/labels", json={"model": "post", "labels": labels})
    move(home, 3)
    late = {"request_id": f"p{times[0]}", "value": True, "at": to_iso(MONDAY + 9 * DAY)}
    await http.post("/labels", json={"model": "post", "labels": [late]})
    move(home, 10)
    shown = (await http.get("/api/models/post/accuracy", params={"window": "day", "history": True})).json()
    (one,) = shown["windows"]
    assert (shown["metric"], one["value"], one["labels"]) == ("balanced_accuracy", 0.5, 24)
    assert (one["reopened"], one["said"]) == (1, to_iso(MONDAY + 10 * DAY))
    assert [(old["labels"], old["said"]) for old in one["before"]] == [(23, to_iso(MONDAY + 3 * DAY))]
    refused = await http.post("/api/monitors", json=body | {"watch": [{"kind": "accuracy", "metric": "beauty"}]})
    assert refused.status_code == 400 and refused.json()["field"] == "metric"


def test_the_command_prints_a_table_and_a_line(home: LabelledHome) -> None:
    answer_days(home, range(3))
    move(home, 4)
    folder = str(home.settings.home_path)
    done = CliRunner().invoke(
        cli,
        ["model", "accuracy", "parcel", "--metric", "accuracy", "--window", "day", "--by", "shop", "--home", folder],
    )
    assert done.exit_code == 0, done.output
    assert "parcel: accuracy by day" in done.output and "40 (100%)" in done.output and "0.75" in done.output
    plain = CliRunner().invoke(cli, ["model", "accuracy", "parcel", "--window", "1d", "--json", "--home", folder])
    assert len(msgspec.json.decode(plain.output)["windows"]) == 3


def test_python_gets_the_same(home: LabelledHome) -> None:
    answer_days(home, range(3))
    move(home, 4)
    client = connect(home.settings.home_path)
    found = client.accuracy("parcel", metric="accuracy", window="1d", start=MONDAY, version=1)
    assert [one["value"] for one in found["windows"]] == [0.75] * 3
    assert client.accuracy("parcel", metric="accuracy", window="1d", version=7)["windows"][0]["predictions"] == 0
    with pytest.raises(Invalid, match="no metric"):
        client.accuracy("parcel", metric="no_such_metric")
    client.close()


def test_numbers_are_the_same_as_scikit_learn_says(home: LabelledHome) -> None:
    from sklearn.metrics import balanced_accuracy_score

    answer_days(home, range(1))
    move(home, 2)
    client = connect(home.settings.home_path)
    found = client.accuracy("parcel", metric="balanced_accuracy", window="day")["windows"][0]
    y = np.array([0] * 30 + [1] * 10)
    assert found["value"] == pytest.approx(balanced_accuracy_score(y, np.zeros(40)))
    client.close()
