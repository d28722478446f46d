"""`hs.serving.app(...)` within other people's applications and servers, with a real model and real HTTP."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from litestar import Litestar, asgi, get

import homeostat as hs
from homeostat.serving.log import FOLDER, is_finished, read_all, wal_files

COLUMNS = 3
ROWS = np.random.default_rng(5).normal(size=(60, COLUMNS))
BODY = msgspec.json.encode(
    {"inputs": [{"name": "x", "shape": [2, COLUMNS], "datatype": "FP64", "data": ROWS[:2].ravel().tolist()}]}
)
INFER = "/v2/models/late/infer"


@pytest.fixture(scope="module")
def models() -> list[Any]:
    """A model, and one that says the opposite."""
    from sklearn.linear_model import LogisticRegression

    labels = (ROWS[:, 0] > 0).astype(int)
    return [LogisticRegression().fit(ROWS, labels), LogisticRegression().fit(ROWS, 1 - labels)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, models: list[Any]) -> Path:
    """A home with both as versions; the first is champion."""
    folder = tmp_path_factory.mktemp("template") / "home"
    opened = hs.connect(str(folder))
    for model in models:
        opened.registry.register(model, "late")
    opened.registry.set_alias("late", "champion", 1)
    opened.close()
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(template, tmp_path / "home"))


def client(app: Any, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host", headers=headers)


def scores(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["outputs"][0]["data"])


def expected(model: Any) -> Any:
    return pytest.approx(model.predict_proba(ROWS[:2])[:, 1])


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def test_the_application_answers_what_the_model_says_and_logs_it(home: str, models: list[Any]) -> None:
    async def main() -> None:
        async with hs.serving.app("models:/late@champion", home=home) as app, client(app) as http:
            assert scores(await http.post(INFER, content=BODY)) == expected(models[0])
            assert (await http.get("/v2/health/ready")).json()["ready"] is True
            split = {"dataframe_split": {"columns": ["x0", "x1", "x2"], "data": ROWS[:2].tolist()}}
            said = (await http.post("/invocations", json=split)).json()["predictions"]
            assert said == expected(models[0])

    run(main())
    logged = [batch for path in wal_files(Path(home) / FOLDER) for batch in read_all(path)]
    assert [(batch.version, len(batch.scores)) for batch in logged] == [(1, 2), (1, 2)]


def test_the_alias_is_followed_while_it_answers(home: str, models: list[Any]) -> None:
    async def main() -> None:
        async with hs.serving.app("late@champion", home=home) as app, client(app) as http:
            assert scores(await http.post(INFER, content=BODY)) == expected(models[0])
            hs.connect(home).registry.set_alias("late", "champion", 2, reason="better")
            deadline = time.monotonic() + 20
            while scores(await http.post(INFER, content=BODY)) != expected(models[1]):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    run(main())


def test_mounted_in_litestar_it_starts_with_the_first_request(home: str, models: list[Any]) -> None:
    serving = hs.serving.app("late@champion", home=home)

    @asgi("/models", is_mount=True, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await serving(scope, receive, send)

    @get("/", sync_to_thread=False)
    def greet() -> str:
        return "the host's own page"

    async def main() -> None:
        async with client(Litestar([mounted, greet])) as http:
            assert (await http.get("/")).text == "the host's own page"
            assert scores(await http.post(f"/models{INFER}", content=BODY)) == expected(models[0])
            assert (await http.get("/models/v2/models/late")).json()["name"] == "late"
        await serving.stop()

    run(main())


@pytest.mark.parametrize("is_cut", [False, True], ids=["the path keeps its root", "the root is cut off"])
def test_mounted_by_bare_asgi_it_finds_its_own_path(home: str, models: list[Any], *, is_cut: bool) -> None:
    serving = hs.serving.app("late@champion", home=home)

    async def host(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/inner") if is_cut else scope["path"]
        await serving(scope | {"root_path": "/inner", "path": path}, receive, send)

    async def main() -> None:
        async with serving, client(host) as http:
            assert scores(await http.post(f"/inner{INFER}", content=BODY)) == expected(models[0])
            assert (await http.get("/inner/v2/models/late/versions/1/ready")).json()["ready"] is True

    run(main())


def test_two_requests_that_start_it_at_once_start_it_once(home: str, models: list[Any]) -> None:
    async def main() -> None:
        app = hs.serving.app("late@champion", home=home)
        async with client(app) as http:
            answers = await asyncio.gather(*(http.post(INFER, content=BODY) for _ in range(8)))
            assert [scores(answer) for answer in answers] == [expected(models[0])] * 8
        await app.stop()

    run(main())
    assert len(wal_files(Path(home) / FOLDER)) == 1


def test_what_cannot_be_answered_is_said_as_by_our_own_server(home: str) -> None:
    async def main() -> None:
        async with hs.serving.app("late@champion", home=home) as app, client(app) as http:
            assert (await http.post("/v2/models/early/infer", content=BODY)).status_code == 404
            assert (await http.get("/nowhere")).json()["code"] == "not_found"
            wrong = await http.get(INFER)
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
            assert (await http.post(INFER, content=b"{")).status_code == 400
            head = await http.head("/v2")
            assert (head.status_code, head.content) == (200, b"")

    run(main())


def test_a_body_over_the_bound_is_refused_whether_or_not_its_length_is_said(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEOSTAT_MAX_BODY_MB", "1")

    async def pieces() -> Any:
        for _ in range(200):
            yield b" " * 10_000

    async def main() -> None:
        async with hs.serving.app("late@champion", home=home) as app, client(app) as http:
            for content in (b" " * 2_000_000, pieces()):
                refused = await http.post(INFER, content=content)
                assert (refused.status_code, "HOMEOSTAT_MAX_BODY_MB" in refused.json()["error"]) == (413, True)
            assert (await http.post(INFER, content=BODY)).status_code == 200

    run(main())


def test_a_caller_who_hangs_up_before_all_has_come_is_dropped(home: str) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        scope = {"type": "http", "method": "POST", "path": INFER, "query_string": b"", "headers": []}
        async with hs.serving.app("late@champion", home=home) as app:
            await app(scope, receive, send)

    run(main())
    assert sent == []


def test_a_reference_that_leads_nowhere_fails_the_start_and_each_request(home: str) -> None:
    async def main() -> None:
        app = hs.serving.app("late@nobody", home=home)
        with pytest.raises(hs.HomeostatError, match="nobody"):
            await app.start()
        async with client(app) as http:
            refused = await http.post(INFER, content=BODY)
            assert (refused.status_code, "nobody" in refused.json()["error"]) == (404, True)
        assert (await lifespan(app))[0]["type"] == "lifespan.startup.failed"

    run(main())


def test_the_lifespan_of_the_host_starts_and_stops_it(home: str) -> None:
    async def main() -> None:
        said = await lifespan(hs.serving.app("late@champion", home=home))
        assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    run(main())


async def lifespan(app: Callable[..., Awaitable[None]]) -> list[Any]:
    """What an application says to start and shutdown."""
    said: list[Any] = []
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


def test_a_websocket_is_closed(home: str) -> None:
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    run(hs.serving.app(home=home)({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert said == ["websocket.close"]


@pytest.mark.slow
def test_under_granian_it_answers_and_ends_with_the_server(home: str, models: list[Any], tmp_path: Path) -> None:
    (tmp_path / "hosted.py").write_text(
        f"import homeostat as hs\napp = hs.serving.app('late@champion', home={home!r})\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    granian = Path(sys.executable).with_name("granian")
    command = [str(granian), "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "hosted:app"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    try:
        assert scores(_answered(port)) == expected(models[0])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [is_finished(path) for path in wal_files(Path(home) / FOLDER)] == [True]


def _answered(port: int) -> httpx.Response:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            return httpx.post(f"http://127.0.0.1:{port}{INFER}", content=BODY, timeout=30)
        time.sleep(0.05)
    raise AssertionError("granian did not answer within 30 s")
