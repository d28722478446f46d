"""Talking to a server: requests with our token, answers or our errors back."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import httpx
import msgspec

from homeostat.ground import errors

_CHUNK = 1 << 20

_BY_CODE = {
    kind.code: kind
    for kind in (
        errors.Invalid,
        errors.NotFound,
        errors.Conflict,
        errors.Denied,
        errors.Unauthenticated,
        errors.Refused,
        errors.TooLarge,
        errors.Unavailable,
        errors.TimedOut,
        errors.Corrupt,
        errors.UserCodeFailed,
        errors.MissingExtra,
    )
}


class Http:
    """A connection to one server, kept open between requests."""

    def __init__(self, url: str, *, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=self.url, timeout=60.0, headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float = 60.0,
    ) -> Any:
        """Send JSON, get JSON.

        Raises:
            HomeostatError: the one that the server answered with, or Unavailable when it does not answer.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self._send(method, path, params=query, content=content, headers=headers, timeout=timeout)
        return msgspec.json.decode(answer.content)

    def fetch(self, path: str, *, query: Mapping[str, Any] | None = None) -> bytes:
        """The bytes at a path."""
        return self._send("GET", path, params=query, timeout=600.0).content

    def download(self, path: str, target: Path) -> None:
        """Write what is at a path to a file, which appears only when it is whole."""
        partial = target.with_name(f".{target.name}.part")
        try:
            with self._client.stream("GET", path, timeout=600.0) as answer, partial.open("wb") as stream:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                for chunk in answer.iter_bytes(_CHUNK):
                    stream.write(chunk)
            partial.replace(target)
        except httpx.TransportError as error:
            raise self._away() from error
        finally:
            partial.unlink(missing_ok=True)

    def upload(
        self,
        path: str,
        source: Path,
        *,
        query: Mapping[str, Any],
        kind: str = "application/octet-stream",
        progress: Callable[[int, int], None] | None = None,
    ) -> Any:
        """Send a file as the body; `progress` gets the bytes sent and the bytes in all."""
        size = source.stat().st_size
        headers = {"Content-Type": kind, "Content-Length": str(size)}
        with source.open("rb") as stream:
            content = _counted(stream, size, progress)
            answer = self._send("POST", path, params=query, content=content, headers=headers, timeout=600.0)
        return msgspec.json.decode(answer.content)

    def close(self) -> None:
        self._client.close()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.ConnectError as error:
            raise self._away() from error
        if answer.is_success:
            return answer
        raise self._error(answer)

    def _away(self) -> errors.Unavailable:
        return errors.Unavailable(
            f"nothing answers at {self.url}", field="url", next_step="start it with: homeostat up"
        )

    def _error(self, answer: httpx.Response) -> errors.HomeostatError:
        try:
            body = msgspec.json.decode(answer.content)
            code, text = str(body.get("code", "")), str(body.get("error", answer.text))
        except (msgspec.DecodeError, AttributeError):
            code, text, body = "", answer.text, {}
        next_step = str(body.get("next_step", ""))
        message = text.removesuffix(f"; {next_step}") if next_step else text
        kind = _BY_CODE.get(code, errors.Unavailable if answer.status_code >= 500 else errors.Invalid)
        return kind(message, field=str(body.get("field", "")), next_step=next_step)


def _counted(stream: IO[bytes], total: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    sent = 0
    while chunk := stream.read(_CHUNK):
        yield chunk
        sent += len(chunk)
        if progress is not None:
            progress(sent, total)
