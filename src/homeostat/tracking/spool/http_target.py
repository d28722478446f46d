"""Shipping to a server over HTTP, on one connection that is kept."""

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from homeostat.ground import errors
from homeostat.tracking.ops import IngestBatch, IngestReply
from homeostat.tracking.spool.bundles import bundles_of, is_small
from homeostat.tracking.spool.target import KnownRun

CHUNK_BYTES = 4 << 20
"""Of a file, in one request: an upload that is cut off goes on behind the last whole chunk."""
_TIMEOUT = 60.0
_AWAY = (OSError, http.client.HTTPException)
_REFUSALS = {kind.code: kind for kind in (errors.Invalid, errors.NotFound, errors.Conflict, errors.TooLarge)}
_MSGPACK = {"Content-Type": "application/x-msgpack"}
_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    code: str = ""
    field: str = ""


class _UploadState(msgspec.Struct, frozen=True):
    complete: bool
    offset: int | None


class HttpTarget:
    """Talks to the routes `/api/ingest`, `/api/spools` and `/api/blobs`."""

    def __init__(self, url: str, *, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise errors.Invalid(f"{url!r:.200} is no URL of a server", field="url", next_step="http://HOST:PORT")
        self.url = url.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT)
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def position(self, spool: str) -> int:
        return int(msgspec.json.decode(self._ask("GET", f"/api/spools/{spool}"))["position"])

    def ship(self, batch: IngestBatch) -> IngestReply:
        answer = self._ask("POST", "/api/ingest", msgspec.msgpack.encode(batch), _MSGPACK)
        return msgspec.json.decode(answer, type=IngestReply)

    def put_files(self, files: Mapping[str, Path]) -> None:
        for bundle in bundles_of(files.values()):
            body = msgspec.msgpack.encode([path.read_bytes() for path in bundle])
            self._ask("POST", "/api/blobs", body, _MSGPACK)
        for digest, path in files.items():
            if not is_small(path):
                self._upload(digest, path)

    def run(self, run_id: str) -> KnownRun | None:
        wanted = {"filter": f"attributes.run_id = '{run_id}'", "view": "all", "limit": 1}
        answer = self._ask("POST", "/api/runs/search", msgspec.json.encode(wanted), _JSON)
        found = msgspec.json.decode(answer)["runs"]
        if not found:
            return None
        steps = {key: metric["last_step"] + 1 for key, metric in found[0]["metrics"].items()}
        return KnownRun(found[0]["project"], found[0]["params"], steps)

    def close(self) -> None:
        self._connection.close()

    def _upload(self, digest: str, path: Path) -> None:
        """Send what the server has not got of a file, chunk by chunk."""
        target, size = f"/api/blobs/{digest}", path.stat().st_size
        state = self._upload_state(target)
        with path.open("rb") as source:
            while not state.complete:
                source.seek(state.offset or 0)
                headers = {"Upload-Offset": str(state.offset or 0), "Upload-Length": str(size)}
                try:
                    answer = self._ask("PUT", target, source.read(CHUNK_BYTES), _BYTES | headers)
                    state = msgspec.json.decode(answer, type=_UploadState)
                except errors.Conflict:  # somebody else uploads the same bytes, or an earlier answer was lost
                    state = self._upload_state(target)

    def _upload_state(self, target: str) -> "_UploadState":
        return msgspec.json.decode(self._ask("GET", f"{target}/upload"), type=_UploadState)

    def _ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        status, answer = self._request(method, path, body, headers or {})
        if status >= 300:
            raise self._error(status, answer)
        return answer

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        is_fresh = self._connection.sock is None
        try:
            try:
                return self._once(method, path, body, headers)
            except _AWAY:
                if is_fresh:
                    raise
                self._connection.close()  # the server had closed the kept connection; every request may be repeated
                return self._once(method, path, body, headers)
        except _AWAY as error:
            self._connection.close()
            raise errors.Unavailable(
                f"nothing answers at {self.url}", field="url", next_step="it is tried again"
            ) from error

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection.sock is None:
            self._connection.connect()
            connected: Any = self._connection.sock  # typed as None before `connect`
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.request(method, self._base + path, body or None, self._headers | headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def _error(self, status: int, answer: bytes) -> errors.HomeostatError:
        """Our server's refusals by their code; whatever else answers here may be another server tomorrow."""
        try:
            said = msgspec.json.decode(answer, type=_Refusal)
        except msgspec.DecodeError:
            said = _Refusal(f"{self.url} answered {status}", "too_large" if status == 413 else "")
        if status in (401, 403):
            return errors.Denied(said.error, field="token", next_step="give a token that may write in HOMEOSTAT_TOKEN")
        return _REFUSALS.get(said.code, errors.Unavailable)(said.error, field=said.field)
