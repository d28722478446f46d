"""A real server in this process: granian on a free port, the catalogue behind it, no worker."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from granian.constants import Interfaces

from homeostat.ground.settings import Settings
from homeostat.server.app import build_app
from homeostat.server.bodies import TokenBody
from homeostat.server.listen import claim_port, listening
from homeostat.server.service import Service


class Running:
    """A server that answers, with a home of its own."""

    def __init__(self, service: Service, url: str) -> None:
        self.service = service
        self.url = url

    def make_token(self, name: str = "ci", **options: Any) -> str:
        return str(self.service.create_token(TokenBody(name=name, **options), actor="test")["secret"])

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return httpx.request(method, self.url + path, headers=headers, timeout=20, **options)


@contextmanager
def serve(settings: Settings) -> Iterator[Running]:
    """Serve the home of `settings` while the block runs."""
    service = Service(settings)
    port = claim_port("127.0.0.1", 0)
    app = build_app(service, tick=dict, serving_url=lambda: "http://127.0.0.1:9")
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with listening(app, host="127.0.0.1", port=port, interface=Interfaces.ASGI):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield Running(service, f"http://127.0.0.1:{port}")
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)
        service.close()
