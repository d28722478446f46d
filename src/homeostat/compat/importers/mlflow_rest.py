"""Asking an MLflow server: pages of JSON, and files."""

import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import httpx
import msgspec

from homeostat.ground import errors

_TRIES = 4
_TIMEOUT = 60.0
_Plain = dict[str, Any]


class MlflowRest:
    """A connection; who asks is said as MLflow's own client says it, in the environment."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        token, user = environ.get("MLFLOW_TRACKING_TOKEN"), environ.get("MLFLOW_TRACKING_USERNAME")
        auth = (user, environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
        headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
        self._http = httpx.Client(base_url=self._url, timeout=_TIMEOUT, auth=auth, headers=headers)

    def close(self) -> None:
        self._http.close()

    def pages(self, method: str, path: str, body: _Plain, field: str) -> Iterator[_Plain]:
        """What a list holds, page after page."""
        token = ""
        while True:
            answer = self._ask(method, path, body | ({"page_token": token} if token else {}))
            yield from answer.get(field, [])
            following = answer.get("next_page_token") or ""
            if not following or following == token:
                return
            token = following

    def _ask(self, method: str, path: str, body: _Plain) -> _Plain:
        options: _Plain = {"params": body} if method == "GET" else {"json": body}
        answer = self._send(method, path, **options)
        try:
            read = msgspec.json.decode(answer.content)
        except msgspec.DecodeError as error:
            raise errors.Unavailable(
                f"{self._url} does not answer as MLflow does", field="source", next_step="check the URL"
            ) from error
        return read if isinstance(read, dict) else {}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer that is a success; a server that stutters is asked again, for reading changes nothing."""
        for left in reversed(range(_TRIES)):
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if not left:
                    raise errors.Unavailable(
                        f"nothing answers at {self._url}", field="source", next_step="check the URL; import again"
                    ) from error
                continue
            if answer.status_code < 500 or not left:
                return self._successful(answer)
        raise AssertionError("unreachable")

    def _successful(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        text = f"the server answered {answer.status_code}"
        if answer.status_code in (401, 403):
            raise errors.Denied(
                text, field="source", next_step="set MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        raise (errors.NotFound if answer.status_code == 404 else errors.Unavailable)(text, field="source")

    def download(self, target: str) -> IO[bytes]:
        """A file's bytes, on disk until they are stored."""
        held = tempfile.TemporaryFile()  # noqa: SIM115  whoever opened the artifact closes it
        try:
            with self._http.stream("GET", target) as answer:
                if not answer.is_success:
                    raise errors.Unavailable(f"the server answered {answer.status_code}")
                for chunk in answer.iter_bytes(1 << 20):
                    held.write(chunk)
        except httpx.TransportError as error:
            held.close()
            raise errors.Unavailable("the download broke off") from error
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return held
