"""How much of a request is read: bytes, counted as they come, and how deep its JSON may nest."""

from collections.abc import Awaitable, Callable
from typing import Any

from homeostat.ground.errors import Invalid, TooLarge

MAX_DEPTH = 100
"""Levels of JSON. The decoder itself ends at a thousand, but what it took in there could not be read back deeper in."""

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
Receive = Callable[[], Awaitable[Any]]


class CountedBody:
    """An ASGI `receive` that ends with an error at the first byte over the limit, however the body is sent."""

    def __init__(self, receive: Receive, *, limit: int, setting: str) -> None:
        self._receive = receive
        self._limit = limit
        self._setting = setting
        self._size = 0
        self.error: TooLarge | None = None

    def check_announced(self, length: bytes | None) -> None:
        """Refuse by the Content-Length, before anything is read.

        Raises:
            TooLarge: naming the setting.
        """
        if length is not None and length.isdigit() and int(length) > self._limit:
            raise self._over()

    async def __call__(self) -> Any:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            self.error = self._over()
            raise self.error
        return message

    async def whole(self) -> bytes | None:
        """The body in one piece; None when the caller hung up before its end."""
        parts = []
        while True:
            message = await self()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    def _over(self) -> TooLarge:
        return TooLarge(
            f"the body is over {self._limit} bytes",
            field="body",
            next_step=f"send less at a time, or raise HOMEOSTAT_{self._setting.upper()}",
        )


def replay(body: bytes, rest: Receive) -> Receive:
    """A `receive` that gives the body again, then waits for what the caller does."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return left.pop() if left else await rest()

    return receive


def check_depth(body: bytes) -> None:
    """Refuse JSON that nests too deep; 80 kB of metric points take 0.2 ms.

    Raises:
        Invalid: when it does. Brackets that do not match are left to the decoder's own words.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    left = _brackets(body)
    for _ in range(MAX_DEPTH):
        fewer = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    if left.count(b"[") + left.count(b"{") > MAX_DEPTH or b"{}" in left or b"[]" in left:
        raise Invalid(
            f"the JSON body nests deeper than {MAX_DEPTH} levels", field="body", next_step="send flatter data"
        )


def _brackets(body: bytes) -> bytes:
    """The brackets outside of strings."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2]).translate(None, _NOT_BRACKETS)
