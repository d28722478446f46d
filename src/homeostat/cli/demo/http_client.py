"""A keep-alive JSON client: the demo sends tens of thousands of small requests, one after the other."""

import http.client
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from homeostat.ground.errors import HomeostatError, Unavailable


class JsonClient:
    """One connection to one address; asks again when the server is being started again."""

    def __init__(self, url: str, *, patience: float = 30.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._patience = patience
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any) -> Any:
        """POST `body`; every request of the demo can be repeated without harm, so a lost connection is tried again."""
        data = msgspec.json.encode(body)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._once(path, data)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if time.monotonic() > deadline:
                    host, port = self._address
                    raise Unavailable(
                        f"{host}:{port} does not answer: {error}", next_step="see its messages"
                    ) from error
                time.sleep(0.05)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, path: str, data: bytes) -> Any:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=600)
        self._connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise HomeostatError(f"{path} answered {answer.status}: {content.decode(errors='replace')[:500]}")
        return msgspec.json.decode(content)
