"""Answers on their way out: JSON in one piece, files as they are read."""

import asyncio
import mimetypes
import re
import unicodedata
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any
from urllib.parse import quote

from homeostat.compat.mlflow.failures import Failure
from homeostat.compat.mlflow.wire import FileAnswer

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TEXT = {".yaml", ".yml", ".txt", ".log", ".md", ".py", ".cfg", ".toml"}
Headers = Sequence[tuple[str, str]]


async def send_bytes(send: Any, body: bytes, *, status: int = 200, headers: Headers = (), head: bool = False) -> None:
    """An answer in one piece."""
    sized = [*headers, ("content-length", str(len(body)))] if status != 204 else headers
    await send({"type": "http.response.start", "status": status, "headers": _encoded(sized)})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def send_failure(send: Any, failure: Failure, *, headers: Headers = (), head: bool = False) -> None:
    """MLflow's envelope."""
    given = [("content-type", "application/json"), *headers]
    await send_bytes(send, failure.body(), status=failure.status, headers=given, head=head)


async def send_file(send: Any, answer: FileAnswer, scope: Any, threads: Executor) -> None:
    """A file, or the one stretch of it that was asked for. Never shown by a browser: it may be anybody's HTML."""
    run = asyncio.get_running_loop().run_in_executor
    try:
        start, end, status = _stretch(dict(scope["headers"]).get(b"range"), answer.size)
        headers = [
            ("content-type", media_type(answer.name)),
            ("content-disposition", disposition(answer.name)),
            ("x-content-type-options", "nosniff"),
            ("accept-ranges", "bytes"),
            ("content-length", str(end - start)),
        ]
        if status == 206:
            headers.append(("content-range", f"bytes {start}-{end - 1}/{answer.size}"))
        if status == 416:
            headers.append(("content-range", f"bytes */{answer.size}"))
        await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        if scope["method"] == "HEAD" or start == end:
            await send({"type": "http.response.body", "body": b""})
            return
        if start:
            await run(threads, answer.stream.seek, start)
        left = end - start
        while left:
            chunk = await run(threads, answer.stream.read, min(_CHUNK, left))
            if not chunk:
                raise OSError("a stored file is shorter than it was")  # the connection breaks: half a file is no file
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
    finally:
        await run(threads, answer.stream.close)


def media_type(name: str) -> str:
    """The type a file's name tells of.

    >>> media_type("MLmodel"), media_type("roc.png"), media_type("what.ever")
    ('text/plain', 'image/png', 'application/octet-stream')
    """
    _, dot, ending = name.rpartition(".")
    if name == "MLmodel" or f"{dot}{ending}" in _TEXT:
        return "text/plain"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def disposition(name: str) -> str:
    """A Content-Disposition that saves, under a name that no header can be smuggled in by.

    >>> disposition("roc.png")
    'attachment; filename="roc.png"'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[\x00-\x1f\x7f\"\\]", "_", plain) or "download"
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _stretch(asked: bytes | None, size: int) -> tuple[int, int, int]:
    """First byte, end and status. What is no single range is answered by the whole, as HTTP allows."""
    match = _RANGE.fullmatch(asked.decode("latin-1")) if asked else None
    if match is None or not (match[1] or match[2]):
        return 0, size, 200
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < int(match[1]):
            return 0, size, 200
    else:
        start, end = max(0, size - int(match[2])), size
    return (start, end, 206) if start < end else (0, 0, 416)


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
