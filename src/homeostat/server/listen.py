"""Granian inside our own event loop: no extra process, and we decide about signals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server


@asynccontextmanager
async def listening(app: Any, *, host: str, port: int, interface: Interfaces) -> AsyncIterator[None]:
    """Serve `app` while the block runs; leaving it finishes what is in flight."""
    server = Server(app, address=host, port=port, interface=interface, log_enabled=False, websockets=False)
    task = asyncio.create_task(server.serve())
    await _wait_for_socket(host, port, task)
    try:
        yield
    finally:
        server.stop()  # type: ignore[no-untyped-call]  # granian leaves it unannotated
        await task


async def _wait_for_socket(host: str, port: int, task: asyncio.Task[Any]) -> None:
    while not task.done():
        try:
            _reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    await task  # it ended before it listened: raise why
