"""Granian inside our own event loop: no extra process, and we decide about signals."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from homeostat.ground.errors import Unavailable


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


def claim_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Asked for before granian, which would share a taken port silently.

    Raises:
        Unavailable: when another process listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise Unavailable(
            f"port {port} on {host} cannot be had: {error.strerror}",
            field="port",
            next_step="choose another port, or 0 for a free one",
        ) from error
