"""MLflow's endpoints in process, over real HTTP semantics, for tests that send what no client would."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from homeostat.compat.mlflow.app import build_mlflow
from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock, SystemClock
from homeostat.ground.settings import Settings
from homeostat.registry.keys import signing_key, trusted
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

API = "/api/2.0/mlflow"
INVALID = (400, "INVALID_PARAMETER_VALUE")
DENIED = (403, "PERMISSION_DENIED")
MISSING = (404, "RESOURCE_DOES_NOT_EXIST")
THERE_ALREADY = (400, "RESOURCE_ALREADY_EXISTS")


class Mlflow:
    """A client of the application, without a socket."""

    def __init__(
        self, database: Database, folder: Path, *, clock: Clock | None = None, settings: Settings | None = None
    ) -> None:
        """With `settings` what is registered is signed, and checked against its signature."""
        self.blobs = BlobStore(str(folder / "blobs"))
        self.app = build_mlflow(
            database,
            self.blobs,
            clock or SystemClock(),
            signing_key=partial(signing_key, settings) if settings else None,
            trust=partial(trusted, settings) if settings else None,
        )
        self.database = database
        self.identity: Identity = LOCAL
        self._runner = asyncio.Runner()

    @contextmanager
    def open(self) -> Iterator["Mlflow"]:
        with self._runner:
            yield self

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._with_identity)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **more)

        return self._runner.run(call())

    def run_async(self, work: Coroutine[Any, Any, Any]) -> None:
        self._runner.run(work)

    async def _with_identity(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["identity"] = self.identity
        await self.app(scope, receive, send)

    def post(self, route: str, **body: Any) -> dict[str, Any]:
        """The reply to a good request."""
        response = self.request("POST", API + route, json=body)
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]

    def get(self, route: str, **query: Any) -> dict[str, Any]:
        response = self.request("GET", API + route, params=query)
        assert response.status_code == 200, response.text
        return response.json()  # type: ignore[no-any-return]

    def refused(self, route: str, error: tuple[int, str] = INVALID, **body: Any) -> str:
        """The message of a refusal, which has to have this status and code."""
        response = self.request("POST", API + route, json=body)
        assert (response.status_code, response.json()["error_code"]) == error, response.text
        return response.json()["message"]  # type: ignore[no-any-return]

    def start(self, experiment: str = "0", **more: Any) -> str:
        """A new run's id."""
        run = self.post("/runs/create", experiment_id=experiment, start_time=1000, **more)
        return run["run"]["info"]["run_id"]  # type: ignore[no-any-return]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.get("/runs/get", run_id=run_id)["run"]  # type: ignore[no-any-return]
