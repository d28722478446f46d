"""Tracking over HTTP: what goes in through one route comes out of another."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from homeostat.ground.ids import new_id
from homeostat.ground.settings import Settings
from homeostat.server.app import build_app
from homeostat.server.service import Service
from homeostat.store.blobs import digest_of
from homeostat.tracking.ops import EndRun, Files, IngestBatch, Op, Params, Series, StartRun, Tags

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    service = Service(Settings(home=str(tmp_path)))
    app = build_app(service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client
    service.close()


async def send(http: httpx.AsyncClient, spool: str, start: int, ops: list[Op]) -> httpx.Response:
    batch = IngestBatch(spool, start, start + 10, ops)
    return await http.post("/api/ingest", content=msgspec.msgpack.encode(batch))


def series(run: str, key: str, values: np.ndarray) -> Series:
    steps = np.arange(len(values))
    return Series(run, key, steps.tobytes(), (steps + 1_000).tobytes(), values.astype(np.float64).tobytes())


async def start(http: httpx.AsyncClient, *, name: str = "r", depth: int = 3, loss: float = 0.5) -> str:
    run, spool = new_id(), new_id()
    values = np.full(5000, loss)
    values[4321] = 99.0
    code = {"commit": "c1", "patch": f"-a\n+{name}\n"}
    ops: list[Op] = [
        StartRun(run, "exp", name, 5, code=code, environment={"packages": {"x": str(depth)}}),
        Params(run, {"depth": depth}),
        Tags(run, {"team": "a"}),
        series(run, "val/loss", values),
        EndRun(run, "finished", 9),
    ]
    reply = await send(http, spool, 0, ops)
    assert reply.status_code == 200, reply.text
    assert reply.json() == {"position": 10, "rejected": []}
    return run


async def test_a_stretch_that_is_sent_again_changes_nothing_and_a_gap_is_refused(http: httpx.AsyncClient) -> None:
    run, spool = new_id(), new_id()
    ops: list[Op] = [StartRun(run, "exp", "r", 5), series(run, "loss", np.arange(3.0))]
    for _ in range(3):
        assert (await send(http, spool, 0, ops)).json()["position"] == 10
    gap = await send(http, spool, 11, ops)
    assert gap.status_code == 409
    assert "send from 10" in gap.json()["error"]
    assert (await http.get(f"/api/spools/{spool}")).json() == {"position": 10}
    assert (await http.get(f"/api/runs/{run}/metrics/loss")).json()["points"] == 3


async def test_what_cannot_be_taken_in_is_said_and_the_rest_is_kept(http: httpx.AsyncClient) -> None:
    run = new_id()
    ops: list[Op] = [
        StartRun(run, "exp", "r", 5),
        Params(run, {"depth": 1}),
        Params(run, {"depth": 2, "width": 1}),
        Series(run, "loss", b"\0" * 8, b"\0" * 8, b"\0" * 7),
        Series("f" * 32, "loss", b"\0" * 8, b"\0" * 8, b"\0" * 8),
        Params(run, {"width": 5}),
    ]
    reply = (await send(http, new_id(), 0, ops)).json()
    assert [item["index"] for item in reply["rejected"]] == [2, 3, 4]
    found = (await http.get(f"/api/runs/{run}")).json()
    assert found["params"] == {"depth": "1", "width": "5"}


async def test_a_long_series_is_thinned_out_and_keeps_its_spike(http: httpx.AsyncClient) -> None:
    run = await start(http)
    thin = (await http.get(f"/api/runs/{run}/metrics/val/loss", params={"points": 100})).json()
    assert thin["points"] == 5000
    assert thin["shown"] == len(thin["values"]) <= 100
    assert max(thin["values"]) == 99.0
    assert thin["steps"][thin["values"].index(99.0)] == 4321
    part = (await http.get(f"/api/runs/{run}/metrics/val/loss", params={"from_step": 10, "to_step": 12})).json()
    assert part["steps"] == [10, 11, 12]


async def test_a_metric_is_drawn_along_another_one(http: httpx.AsyncClient) -> None:
    run = new_id()
    epochs = Series(
        run, "epoch", np.array([0, 2]).tobytes(), np.array([1, 1]).tobytes(), np.array([0.0, 1.0]).tobytes()
    )
    await send(
        http, new_id(), 0, [StartRun(run, "exp", "r", 5), series(run, "loss", np.array([3.0, 2.0, 1.0])), epochs]
    )
    drawn = (await http.get(f"/api/runs/{run}/metrics/loss", params={"x": "epoch"})).json()
    assert (drawn["xs"], drawn["values"]) == ([0.0, 1.0], [3.0, 1.0])


async def test_nan_and_infinities_are_spelled_out(http: httpx.AsyncClient) -> None:
    run = new_id()
    await send(
        http, new_id(), 0, [StartRun(run, "exp", "r", 5), series(run, "m", np.array([np.nan, np.inf, -np.inf, 1]))]
    )
    found = (await http.get(f"/api/runs/{run}/metrics/m")).json()
    assert found["values"] == [None, None, None, 1.0]
    assert found["special"] == {"0": "NaN", "1": "Infinity", "2": "-Infinity"}
    row = (await http.post("/api/runs/search", json={})).json()["runs"][0]
    assert row["metrics"]["m"]["max"] == "Infinity"


async def test_runs_are_searched_counted_and_compared(http: httpx.AsyncClient) -> None:
    good, bad = await start(http, name="good", loss=0.1), await start(http, name="bad", depth=7, loss=0.9)
    body = {
        "projects": ["exp"],
        "filter": "metrics.val/loss < 0.5",
        "order_by": ["metrics.val/loss"],
        "params": ["depth"],
    }
    found = (await http.post("/api/runs/search", json=body)).json()["runs"]
    assert [(run["name"], run["params"]) for run in found] == [("good", {"depth": "3"})]
    assert (await http.post("/api/runs/count", json={"projects": ["exp"]})).json() == {"count": 2}
    both = (await http.post("/api/runs/compare", json={"runs": [good, bad]})).json()
    assert both["params"] == {"depth": ["3", "7"]}
    assert both["params_that_differ"] == ["depth"]
    assert [cell["last"] for cell in both["metrics"]["val/loss"]] == [0.1, 0.9]
    assert both["environment"][1]["packages"] == {"x": ["3", "7"]}
    assert both["code"][1]["same_commit"] and "-+good" in both["code"][1]["patch_diff"]
    lines = (await http.post("/api/runs/histories", json={"runs": [good, bad], "key": "val/loss", "points": 50})).json()
    assert [line["run"] for line in lines] == [good, bad]
    assert (await http.get("/api/keys/metrics", params={"project": "exp"})).json() == ["val/loss"]


async def test_a_deleted_project_frees_its_name_and_comes_back_with_its_runs(http: httpx.AsyncClient) -> None:
    run = await start(http)
    project = next(item for item in (await http.get("/api/projects")).json() if item["name"] == "exp")
    assert (await http.delete(f"/api/projects/{project['id']}")).status_code == 200
    again = await http.post("/api/projects", json={"name": "exp"})
    assert again.status_code == 201 and again.json()["id"] != project["id"]
    taken = await http.post(f"/api/projects/{project['id']}/restore")
    assert taken.status_code == 409 and "rename or delete that one first" in taken.json()["error"]
    await http.patch(f"/api/projects/{again.json()['id']}", json={"name": "exp2", "tags": {"why": "freed"}})
    assert (await http.post(f"/api/projects/{project['id']}/restore")).status_code == 200
    assert (await http.post("/api/runs/search", json={"projects": ["exp"]})).json()["runs"][0]["id"] == run


async def test_an_upload_goes_on_where_it_was_cut_off_and_is_checked(http: httpx.AsyncClient) -> None:
    data = bytes(range(256)) * 40
    digest, url = digest_of(data), f"/api/blobs/{digest_of(data)}"
    length = {"Upload-Length": str(len(data))}
    assert (await http.get(f"{url}/upload")).json() == {"complete": False, "offset": 0}
    first = await http.put(url, content=data[:1000], headers=length)
    assert first.json() == {"complete": False, "offset": 1000}
    assert (await http.get(f"{url}/upload")).json()["offset"] == 1000
    wrong = await http.put(url, content=data[500:], headers=length | {"Upload-Offset": "500"})
    assert wrong.status_code == 409 and "send from byte 1000" in wrong.json()["error"]
    rest = await http.put(url, content=data[1000:], headers=length | {"Upload-Offset": "1000"})
    assert rest.json()["complete"]
    assert (await http.get(f"{url}/upload")).json()["complete"]

    run = new_id()
    ops: list[Op] = [StartRun(run, "exp", "r", 5), Files(run, "a/data.bin", digest, len(data))]
    await send(http, new_id(), 0, ops)
    assert (await http.get(f"/api/runs/{run}/artifacts/a/data.bin")).content == data
    assert (await http.get(f"/api/runs/{run}/artifacts")).json() == [
        {"path": "a", "is_folder": True, "size": len(data)}
    ]

    liar = await http.put(f"/api/blobs/{'0' * 64}", content=b"other")
    assert liar.status_code == 500 and "announced digest" in liar.json()["error"]
    missing = await send(http, new_id(), 0, [StartRun(run, "exp", "r", 5), Files(run, "b", "1" * 64, 3)])
    assert missing.status_code == 404 and "upload" in missing.json()["error"]
