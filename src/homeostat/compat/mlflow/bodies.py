"""Bodies as they come in: whole for JSON, straight into the blob store for files."""

import asyncio
from concurrent.futures import Executor
from typing import Any

from homeostat.compat.mlflow.wire import Received
from homeostat.store.blobs import BlobStore

_HELD = 1 << 20
"""Bytes that are gathered before they go to disk; most artifacts are smaller and take one hop to a thread."""


async def read_body(receive: Any) -> bytes | None:
    """The body in one piece; None when the caller hung up before its end."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def store_body(receive: Any, blobs: BlobStore, threads: Executor) -> Received | None:
    """The body as a blob, never held in memory as a whole; None when the caller hung up before its end."""
    run = asyncio.get_running_loop().run_in_executor
    held, more = await _gather(receive)
    if held is None:
        return None
    if not more:
        return Received(await run(threads, blobs.put, held), len(held))
    incoming = await run(threads, blobs.receive)
    try:
        await run(threads, incoming.write, held)
        while more:
            held, more = await _gather(receive)
            if held is None:
                return None
            await run(threads, incoming.write, held)
        return Received(await run(threads, incoming.finish), incoming.size)
    finally:
        await run(threads, incoming.discard)


async def _gather(receive: Any) -> tuple[bytes | None, bool]:
    """The next bytes, a megabyte or what is left, and whether there are more."""
    parts, size = [], 0
    while size < _HELD:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, False
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body"):
            return b"".join(parts), False
    return b"".join(parts), True
