"""`POST /predictions` in every form, for a model that is served elsewhere; and what is refused, by row and field."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from homeostat.ground.clock import DAY, HOUR, MINUTE, to_datetime, to_iso
from homeostat.ground.records import FeatureColumn, InputColumn, Signature
from homeostat.ground.settings import Settings
from homeostat.loop.engine import Engine
from homeostat.loop.intake_files import chunks_of_rows
from homeostat.monitoring.drift import profile
from homeostat.monitoring.health import traffic
from homeostat.monitoring.outcomes import outcomes_of
from homeostat.registry.models import create_model
from homeostat.registry.types import StoredPackage
from homeostat.registry.versions import get_version, register_version
from homeostat.server.app import build_app
from homeostat.server.bodies import TokenBody
from homeostat.server.service import Service
from homeostat.serving.segments import list_segments

pytestmark = pytest.mark.anyio
SHOPS = ("tea", "milk", "bread")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Home:
    """A home with its control plane in this process, and a model that answers somewhere else."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(home=str(folder), **settings)
        self.service = Service(self.settings)
        self.engine = Engine(self.service.database, self.service.blobs, self.settings, self.service.clock)
        self.now = self.service.clock.now()
        self.http: httpx.AsyncClient

    async def post(self, rows: list[Any], **more: Any) -> httpx.Response:
        query = {"partial": True} if more.pop("partial", False) else {}
        return await self.http.post("/predictions", json={"model": "parcel", "rows": rows} | more, params=query)

    async def send(self, content: bytes | str, kind: str, **query: Any) -> httpx.Response:
        given = {"model": "parcel"} | query
        return await self.http.post("/predictions", content=content, params=given, headers={"Content-Type": kind})

    async def watch(self, **more: Any) -> httpx.Response:
        body: dict[str, Any] = {"name": "parcel", "task": "binary", "reference": reference(), "keys": ["shop"]}
        return await self.http.post("/api/monitors", json=body | more)

    async def counts(self) -> dict[str, int]:
        return (await self.http.get("/api/models/parcel/counts")).json()  # type: ignore[no-any-return]

    def row(self, name: str, **more: Any) -> dict[str, Any]:
        """A row as somebody would send it."""
        at = to_iso(self.now - HOUR)
        return {"request_id": name, "time": at, "weight": 1.5, "item": "tea", "score": 0.25, "shop": "s1"} | more

    def profiled(self) -> dict[str, list[int]]:
        """How the rows of version 1 fell into its bins."""
        with self.service.database.read() as conn:
            bins = get_version(conn, "parcel", 1).bins
            counts = profile(conn, "parcel", 1, bins, start=0, end=self.now + DAY)
        return {column.name: count.tolist() for column, count in zip(bins, counts, strict=True)}


def reference(rows: int = 300) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    weights, scores = rng.normal(2, 1, rows), rng.uniform(0, 1, rows)
    return [
        {"weight": float(w), "item": SHOPS[place % 3], "score": float(s), "shop": f"s{place % 9}"}
        for place, (w, s) in enumerate(zip(weights, scores, strict=True))
    ]


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Home]:
    """The home, answering, with the model watched."""
    app = build_app(home.service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as home.http:
        answer = await home.watch()
        assert answer.status_code == 200, answer.text
        yield home
    home.service.close()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with opened(Home(tmp_path, max_body_mb=1)) as home:
        yield home


async def test_a_monitor_is_a_version_with_bins_and_no_package(home: Home) -> None:
    view = (await home.http.get("/api/monitors/parcel")).json()
    assert [(one["name"], one["kind"]) for one in view["features"]] == [("weight", "number"), ("item", "category")]
    assert view["watch"] == ["data drift over 7d, at most 1 false alarms a month", "errors < 1.00%"]
    with home.service.database.read() as conn:
        version = get_version(conn, "parcel", "champion")
    assert (version.package.manifest, [one.name for one in version.bins]) == ({}, ["weight", "item", "_score"])
    refused = await home.http.post("/api/rollouts", json={"model": "parcel", "version": 1})
    assert refused.status_code == 422 and "served elsewhere" in refused.json()["error"]
    assert (await home.http.get("/api/models/parcel")).json()["endpoint"] is None


async def test_rows_are_counted_profiled_joined_and_logged_as_our_own_are(home: Home) -> None:
    rows = [home.row(f"r{n}", weight=n / 10, latency_ms=12.5) for n in range(20)]
    assert (await home.post(rows)).json() == {"accepted": 20, "duplicates": 0}
    for n in range(10):
        label = {"model": "parcel", "request_id": f"r{n}", "value": n % 2 == 0}
        assert (await home.http.post("/labels", json=label)).status_code == 200
    assert await home.counts() == {"predictions": 20, "labels": 10, "joined": 10, "waiting": 0}
    assert {name: sum(counts) for name, counts in home.profiled().items()} == {"weight": 20, "item": 20, "_score": 20}
    with home.service.database.read() as conn:
        (arm,) = traffic(conn, "parcel", start=0)
    assert (arm.requests, arm.rows, arm.errors, sum(arm.latency)) == (20, 20, 0, 20)
    assert arm.p99_us == pytest.approx(12_500, rel=0.3)
    home.engine._posted.seal(now=home.now, at_once=True)
    shown = (await home.http.get("/api/predictions/r3")).json()
    (answer,) = shown["answers"]
    assert (answer["score"], answer["protocol"], answer["latency_us"]) == (0.25, "posted", 12_500)
    assert answer["features"] == {"weight": 0.3, "item": "tea"} and answer["inputs"] == {"shop": "s1", "item": "tea"}
    assert [label["value"] for label in shown["labels"]] == [0.0]
    frame = pl.read_ipc_stream((await home.http.get("/api/predictions?model=parcel")).content)
    assert frame.height == 20


async def test_the_same_rows_again_in_whatever_form_count_once(tmp_path: Path, database_url: str) -> None:
    async with opened(Home(tmp_path, database=database_url)) as home:
        rows = [home.row(f"r{n}") for n in range(30)] + [home.row("failed", status="error", error="timeout")]
        assert (await home.post(rows)).json()["accepted"] == 31
        before = home.profiled()
        frame = pl.DataFrame(rows).with_columns(pl.col("time").str.to_datetime(time_zone="UTC"))
        parquet, stream, file = io.BytesIO(), io.BytesIO(), io.BytesIO()
        frame.write_parquet(parquet)
        frame.write_ipc_stream(stream)
        frame.write_ipc(file)
        lines = "\n".join(json.dumps(row) for row in rows)
        forms = [
            (lines, "application/x-ndjson"),
            (pl.DataFrame(rows).write_csv(), "text/csv"),
            (parquet.getvalue(), "application/vnd.apache.parquet"),
            (stream.getvalue(), "application/vnd.apache.arrow.stream"),
            (file.getvalue(), "application/vnd.apache.arrow.file"),
        ]
        for content, kind in forms:
            answer = await home.send(content, kind)
            assert answer.json() == {"accepted": 0, "duplicates": 31}, (kind, answer.text)
        assert home.profiled() == before
        with home.service.database.read() as conn:
            (arm,) = traffic(conn, "parcel", start=0)
        assert (arm.requests, arm.errors) == (31, 1)
        twice = await home.post([home.row("x"), home.row("x"), home.row("y")])
        assert twice.json() == {"accepted": 2, "duplicates": 1}


async def test_each_form_brings_the_same_rows(home: Home) -> None:
    days = [home.now // DAY * DAY - (number + 1) * DAY for number in range(5)]
    for day, kind in zip(days, ("json", "columns", "ndjson", "csv", "parquet"), strict=True):
        at = to_iso(day + HOUR)
        rows = [home.row(f"{kind}{n}", weight=float(n), item=SHOPS[n % 3], time=at) for n in range(7)]
        if kind == "json":
            nested = [
                {name: row[name] for name in ("request_id", "time", "score", "shop")}
                | {"features": {"weight": row["weight"], "item": row["item"]}}
                for row in rows
            ]
            answer = await home.post(nested)
        elif kind == "columns":
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            answer = await home.http.post("/api/predictions", json={"model": "parcel", "columns": columns})
        elif kind == "ndjson":
            answer = await home.send("\n".join(json.dumps(row) for row in rows), "application/x-ndjson")
        elif kind == "csv":
            answer = await home.send(pl.DataFrame(rows).write_csv(), "text/csv")
        else:
            held = io.BytesIO()
            pl.DataFrame(rows).write_parquet(held)
            answer = await home.send(held.getvalue(), "application/x-parquet")
        assert answer.json() == {"accepted": 7, "duplicates": 0}, answer.text
    with home.service.database.read() as conn:
        bins = get_version(conn, "parcel", 1).bins
        counted = [
            [count.tolist() for count in profile(conn, "parcel", 1, bins, start=day, end=day + DAY)] for day in days
        ]
    assert all(one == counted[0] for one in counted) and sum(counted[0][0]) == 7


@pytest.mark.parametrize(
    ("wrong", "field", "text"),
    [
        ({"weight": "heavy"}, "weight", "is not a number"),
        ({"weight": [1]}, "weight", "is not a number"),
        ({"item": {"a": 1}}, "item", "is no category"),
        ({"score": "high"}, "score", "is not a number"),
        ({"score": None}, "score", "neither a score nor a prediction"),
        ({"score": None, "prediction": "maybe"}, "prediction", "no class of the model"),
        ({"time": "yesterday"}, "time", "is not a time"),
        ({"time": None}, "time", "is no time"),
        ({"time": "2199-01-01T00:00:00Z"}, "time", "lies in the future"),
        ({"request_id": ""}, "request_id", "is no id"),
        ({"request_id": "x" * 200}, "request_id", "is no id"),
        ({"request_id": None, "shop": None, "item": None}, "request_id", "x"),
        ({"version": 7}, "version", "has no version '7'"),
        ({"status": "odd"}, "status", "is none of"),
        ({"status": 302}, "status", "is none of"),
        ({"latency_ms": -1}, "latency_ms", "is no latency"),
        ({"latency_ms": "slow"}, "latency_ms", "is no latency"),
        ({"arm": "left"}, "arm", "is none of"),
    ],
)
async def test_a_wrong_row_is_told_by_its_place_and_field_and_nothing_is_kept(
    home: Home, wrong: dict[str, Any], field: str, text: str
) -> None:
    rows = [home.row("a"), home.row("b"), home.row("c") | wrong, home.row("d")]
    if text == "x":  # with a key and a time an id can be made
        assert (await home.post(rows)).json()["accepted"] == 4
        return
    answer = await home.post(rows)
    assert (answer.status_code, answer.json()["field"]) == (400, f"rows[2].{field}"), answer.text
    assert text in answer.json()["error"] and (await home.counts())["predictions"] == 0
    some = (await home.post(rows, partial=True)).json()
    assert (some["accepted"], some["refused"]) == (3, 1)
    assert some["errors"][0]["row"] == "rows[2]" and some["errors"][0]["field"] == field
    lines = "\n".join(json.dumps(row) for row in rows) + "\nnonsense\n[1]\n"
    told = (await home.send(lines, "application/x-ndjson", partial=True)).json()
    assert (told["accepted"], told["duplicates"], told["refused"]) == (0, 3, 3)
    assert sorted(one["row"] for one in told["errors"]) == ["line 3", "line 5", "line 6"]


async def test_what_a_body_cannot_be_is_refused_without_a_trace(home: Home) -> None:
    async def refused(status: int, answer: httpx.Response) -> str:
        assert answer.status_code == status, answer.text
        assert (await home.counts())["predictions"] == 0
        return str(answer.json()["error"])

    assert "no JSON" in await refused(400, await home.http.post("/predictions", content=b"{"))
    assert "give rows, or columns" in await refused(400, await home.http.post("/predictions", json={"model": "parcel"}))
    uneven = {"model": "parcel", "columns": {"request_id": ["a"], "weight": []}}
    assert "one length" in await refused(400, await home.http.post("/predictions", json=uneven))
    answer = await home.http.post("/predictions", json={"model": "nobody", "rows": []})
    assert answer.status_code == 404
    assert "do not come as" in await refused(400, await home.send("x", "image/png"))
    assert "of one model" in await refused(
        400, await home.http.post("/predictions", content=b"x", headers={"Content-Type": "text/csv"})
    )
    assert "no feature of the model is there" in await refused(
        400, await home.post([{"request_id": "a", "score": 0.1, "wieght": 2}])
    )
    for kind in ("application/vnd.apache.parquet", "application/vnd.apache.arrow.file"):
        for content in (b"", b"PAR1", b"PAR1" + b"\xff" * 200 + b"PAR1", b"ARROW1\0\0" + b"\x80" * 99):
            await refused(400, await home.send(content, kind))
    assert "is longer than" in await refused(413, await home.send("x" * (1 << 21), "application/x-ndjson"))
    big = await home.post([home.row(f"r{n}", item="x" * 900) for n in range(1500)])
    assert big.status_code == 413
    assert (await home.post([])).json() == {"accepted": 0, "duplicates": 0}


async def test_columns_that_nobody_reads_and_features_that_are_gone_are_told(home: Home) -> None:
    rows = [{name: value for name, value in home.row(f"r{n}", debug=n).items() if name != "weight"} for n in range(3)]
    answer = (await home.post(rows)).json()
    assert answer == {"accepted": 3, "duplicates": 0, "ignored": ["debug"], "missing": ["weight"]}
    assert home.profiled()["weight"][-1] == 3  # counted as missing: such a break is to be seen


async def test_a_new_category_is_another_value_and_no_missing_one(home: Home) -> None:
    await home.post([home.row("a", item="cake"), home.row("b", item=None)])
    assert home.profiled()["item"][-2:] == [1, 1]


async def test_an_id_is_made_from_key_and_time_and_stays_the_same(home: Home) -> None:
    row = {name: value for name, value in home.row("x").items() if name != "request_id"}
    assert (await home.post([row, row | {"shop": "s2"}])).json() == {"accepted": 2, "duplicates": 0}
    assert (await home.post([row])).json() == {"accepted": 0, "duplicates": 1}
    bare = {name: value for name, value in row.items() if name != "shop"}
    assert "none can be made" in (await home.post([bare])).json()["error"]


async def test_labels_by_key_find_posted_rows(home: Home) -> None:
    await home.post([home.row("a", shop="s4")])
    by_key = {"model": "parcel", "keys": {"shop": "s4"}, "time": to_iso(home.now - HOUR), "value": True}
    assert (await home.http.post("/labels", json=by_key)).json()["accepted"] == 1
    home.engine.tick()
    await home.post([home.row("b", shop="s4")])
    assert (await home.counts())["joined"] == 2


async def test_answers_that_are_no_numbers_and_requests_that_failed_are_counted(home: Home) -> None:
    rows = [
        home.row("a", status=200),
        home.row("b", status=422, score=None),
        home.row("c", status=503, score=None, error="overloaded"),
        home.row("d", status="invalid", score=None),
        home.row("e", score=1.7),
    ]
    assert (await home.post(rows)).json()["accepted"] == 5
    held = io.BytesIO()
    pl.DataFrame([home.row("f", score=float("nan"))]).write_parquet(held)
    assert (await home.send(held.getvalue(), "application/parquet")).json()["accepted"] == 1
    with home.service.database.read() as conn:
        (arm,) = traffic(conn, "parcel", start=0)
    assert (arm.requests, arm.rejected, arm.errors, arm.invalid, sum(arm.latency)) == (6, 1, 1, 3, 0)


async def test_versions_go_by_the_names_they_have_elsewhere(home: Home) -> None:
    made = (await home.watch(version="2024-06-b", reference=reference(200))).json()
    assert (made["version"], made["versions"]) == (2, {"1": 1, "2024-06-b": 2})
    again = (await home.watch(version="2024-06-b", reference=reference(200))).json()
    assert again["version"] == 2
    answer = await home.post([home.row("a"), home.row("b", version="1"), home.row("c", version="2024-06-b")])
    assert answer.json()["accepted"] == 3, answer.text
    with home.service.database.read() as conn:
        assert [(arm.version, arm.rows) for arm in traffic(conn, "parcel", start=0)] == [(1, 1), (2, 2)]


async def test_fields_may_have_other_names(home: Home) -> None:
    names = {"request_id": "id", "time": "ts", "score": "p"}
    assert (await home.watch(name="other", columns=names, reference=reference())).status_code == 200
    row = {"id": "a", "ts": to_iso(home.now - HOUR), "p": 0.5, "weight": 1, "item": "tea", "shop": "s1", "score": 3}
    answer = await home.http.post("/predictions", json={"model": "other", "rows": [row]})
    assert answer.json()["accepted"] == 1, answer.text


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"task": "guessing"}, "task"),
        ({"task": "multiclass"}, "classes"),
        ({"reference": []}, "features"),
        ({"reference": [{"weight": 1}]}, "reference"),
        ({"reference": [{"id": f"x{n}"} for n in range(900)]}, "reference"),
        ({"features": ["height"]}, "height"),
        ({"features": [{"name": "weight", "dtype": "odd"}]}, "dtype"),
        ({"columns": {"colour": "c"}}, "columns.colour"),
        ({"watch": [{"kind": "guess"}]}, "watch"),
        ({"watch": [{"kind": "data_drift", "odd": 1}]}, "watch"),
        ({"watch": [{"kind": "accuracy", "metric": "rmse"}]}, "metric"),
        ({"watch": [{"kind": "latency", "p99": "soon"}]}, "p99"),
        ({"metrics": {"rmse": 1}}, "metric"),
        ({"version": ""}, "version"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 300}, "name"),
    ],
)
async def test_a_monitor_that_cannot_be_is_refused_by_name(home: Home, wrong: dict[str, Any], field: str) -> None:
    answer = await home.watch(**({"name": "new"} | wrong))
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text
    assert [one["name"] for one in (await home.http.get("/api/monitors")).json()] == ["parcel"]


async def test_a_model_without_a_reference_is_counted_and_has_too_little_to_compare(home: Home) -> None:
    body = {"name": "bare", "task": "regression", "features": ["x", {"name": "kind", "dtype": "string"}]}
    made = (await home.http.post("/api/monitors", json=body)).json()
    assert (made["reference"], made["features"]) == (None, ["x", "kind"])
    rows = [{"request_id": "a", "x": 1, "kind": "new", "prediction": 12.5}]
    assert (await home.http.post("/predictions", json={"model": "bare", "rows": rows})).json()["accepted"] == 1
    home.engine.tick()
    checks = (await home.http.get("/api/monitors/bare")).json()["checks"]
    assert {(one["kind"], one["status"]) for one in checks} == {
        ("data_drift", "insufficient"),
        ("errors", "insufficient"),
    }


async def test_a_reference_with_labels_says_what_the_model_scored(home: Home) -> None:
    rows = [row | {"truth": row["score"] > 0.5} for row in reference()]
    made = (await home.watch(name="judged", reference=rows, columns={"label": "truth"})).json()
    assert made["reference"]["metrics"]["roc_auc"] == 1.0 and made["features"] == ["weight", "item"]


async def test_a_reference_comes_as_a_file_too_and_says_what_is_left_out(home: Home) -> None:
    rows = [row | {"parcel_id": f"p{n}", "empty": None} for n, row in enumerate(reference(600))]
    held = io.BytesIO()
    stamped = pl.DataFrame(rows).with_columns(pl.lit(to_datetime(home.now)).alias("made_at"))
    stamped.write_parquet(held)
    monitor = json.dumps({"name": "filed", "task": "binary", "keys": ["shop"]})
    answer = await home.http.post(
        "/api/monitors",
        content=held.getvalue(),
        params={"monitor": monitor},
        headers={"Content-Type": "application/vnd.apache.parquet"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["features"] == ["weight", "item"]
    assert set(answer.json()["reference"]["left_out"]) == {"parcel_id", "made_at", "empty"}


async def test_small_posts_grow_into_few_segments_and_no_row_is_lost_or_doubled(home: Home) -> None:
    for number in range(40):
        await home.post([home.row(f"r{number}-{n}") for n in range(3)])
        home.engine._posted.seal(now=home.now + number * MINUTE, at_once=True)
    with home.service.database.read() as conn:
        segments = list_segments(conn)
    assert len(segments) <= 7 and sum(one.rows for one in segments) == 120
    frame = pl.read_ipc_stream((await home.http.get("/api/predictions?model=parcel")).content)
    assert frame.height == 120 and frame["request_id"].n_unique() == 120
    assert home.engine._posted.seal(now=home.now + DAY) == 0


async def test_posting_needs_write_and_watching_deploy_and_a_project_is_kept_to(tmp_path: Path) -> None:
    home = Home(tmp_path, auth="required")
    app = build_app(home.service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")

    def token(name: str, **options: Any) -> dict[str, str]:
        made = home.service.create_token(TokenBody(name=name, **options), actor="test")
        return {"Authorization": f"Bearer {made['secret']}"}

    writer = token("w", permissions=("read", "write"))
    deployer = token("d", permissions=("deploy",), projects=["parcel"])
    monitor = {"name": "parcel", "task": "binary", "features": ["weight"]}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as http:
        assert (await http.post("/predictions", json={})).status_code == 401
        assert (await http.post("/api/monitors", json=monitor, headers=writer)).status_code == 403
        assert (await http.post("/api/monitors", json=monitor | {"name": "x"}, headers=deployer)).status_code == 403
        assert (await http.post("/api/monitors", json=monitor, headers=deployer)).status_code == 200
        rows = {"model": "parcel", "rows": [{"request_id": "a", "weight": 1, "score": 0.5}]}
        assert (await http.post("/predictions", json=rows, headers=deployer)).status_code == 403
        assert (await http.post("/predictions", json=rows, headers=writer)).json()["accepted"] == 1
        assert (await http.delete("/api/monitors/parcel", headers=writer)).status_code == 403
        assert (await http.delete("/api/monitors/parcel", headers=deployer)).status_code == 200
        theirs = token("t", permissions=("read", "write"), projects=["mine"])
        assert (await http.post("/predictions", json=rows, headers=theirs)).status_code == 403
        assert (await http.get("/api/monitors", headers=theirs)).json() == []
    home.service.close()


async def test_a_model_that_is_registered_here_may_be_posted_for_by_its_features_names(home: Home) -> None:
    signature = Signature(
        task="multiclass",
        inputs=(InputColumn(name="n", dtype="number"), InputColumn(name="made", dtype="time")),
        columns=(FeatureColumn(name="n", kind="number"), FeatureColumn(name="made", kind="number")),
        feature_hash="",
        classes=("cat", "dog"),
    )
    with home.service.database.write() as conn:
        create_model(conn, "pets", at=1, actor="me")
        package = StoredPackage("onnx", {}, None)
        register_version(conn, model="pets", run_id=None, package=package, signature=signature, at=1, actor="me")
    rows = [
        {"request_id": "a", "n": 1, "made": "2024-01-01T00:00:00Z", "prediction": "dog"},
        {"request_id": "b", "n": True, "made": 1, "score": 0},
        {"request_id": "c", "n": None, "made": None, "prediction": "cat", "version": 1},
    ]
    answer = await home.http.post("/predictions", json={"model": "pets", "rows": rows})
    assert answer.json() == {"accepted": 3, "duplicates": 0}, answer.text
    with home.service.database.read() as conn:
        assert [one.score for name in "abc" for one in outcomes_of(conn, name)] == [1.0, 0.0, 0.0]
    wrong = [{"request_id": "d", "n": 1, "made": "soon", "prediction": "dog"}]
    refused = await home.http.post("/predictions", json={"model": "pets", "rows": wrong})
    assert refused.json()["field"] == "rows[0].made"


async def test_rows_that_are_wide_or_long_take_no_more_memory_than_others(home: Home) -> None:
    wide = {f"x{n}": 1 for n in range(20_000)}
    answer = await home.send(json.dumps(home.row("a") | wide), "application/x-ndjson")
    assert answer.status_code == 413 and "more than 10000 columns" in answer.json()["error"]
    other = "\n".join(json.dumps(home.row(f"r{n}") | {f"x{n}-{k}": 1 for k in range(90)}) for n in range(300))
    assert (await home.send(other, "application/x-ndjson")).status_code == 413  # each has columns of its own
    header = ",".join(f"x{n}" for n in range(20_000))
    assert (await home.send(header + "\n", "text/csv")).status_code == 413
    long = "\n".join(json.dumps(home.row(f"l{n}", note="x" * 100_000)) for n in range(400))
    taken = await home.send(long, "application/x-ndjson")
    assert taken.json() == {"accepted": 400, "duplicates": 0, "ignored": ["note"]}
    chunks = list(chunks_of_rows([{f"x{n}": 1 for n in range(5_000)}] * 1_000))
    assert len(chunks) == 3 and sum(len(one.places) for one in chunks) == 1_000
