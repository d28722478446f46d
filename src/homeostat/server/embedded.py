"""The data plane inside somebody else's process: what `hs.serving.app(...)` gives, an ASGI application.

It starts with the host's lifespan, with `async with app:`, or with the first request where a framework tells mounted
applications nothing of its lifespan. Versions are loaded in threads; requests are answered on the host's event loop.
"""

import asyncio
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from homeostat.compat.translators import translators
from homeostat.ground.clock import SECOND, SystemClock, parse_duration
from homeostat.ground.errors import HomeostatError, Unavailable, http_status
from homeostat.ground.settings import Settings
from homeostat.server.exported import load_exported, open_exported
from homeostat.server.folder import is_exported
from homeostat.server.solo import resolve
from homeostat.server.watching import CatalogueSource, FixedSource, RefSource, Source, Watcher
from homeostat.server.worker import load_from_registry
from homeostat.serving.asgi import Receive, Scope, Send, answer, respond_with
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.front import Front
from homeostat.serving.log import FOLDER, PredictionLog
from homeostat.serving.table import Load
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database


class _Running(NamedTuple):
    database: Database | None
    plane: DataPlane
    watcher: Watcher


class ServingApp:
    """Answers on ASGI for the versions that `refs` name, followed as aliases move; without any, for all endpoints.

    One reference may be an exported folder instead.
    """

    def __init__(self, settings: Settings, *refs: str) -> None:
        self._settings = settings
        self._refs = refs
        self._max_body = settings.max_body_mb << 20
        self._starting = asyncio.Lock()
        self._running: _Running | None = None
        self._front: Front | None = None

    async def start(self) -> None:
        """Load what is to be served; does nothing when that is done.

        Raises:
            HomeostatError: when it cannot be.
        """
        async with self._starting:
            if self._front is None:
                self._running = await asyncio.to_thread(self._open)
                self._front = Front(
                    self._running.plane,
                    translators(),
                    version=package_version("homeostat"),
                )

    async def stop(self) -> None:
        """Let go of everything and close the prediction log; the host has answered its last request."""
        async with self._starting:
            front, running = self._front, self._running
            self._front = self._running = None
            if front is not None and running is not None:
                front.close()
                await asyncio.to_thread(_close, running)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await receive()  # a WebSocket's first message
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._front is None:
                await self.start()
        except HomeostatError as error:
            body = msgspec.json.encode(error.as_dict())
            await respond_with(send, http_status(error), [("content-type", "application/json")], body)
            return
        assert self._front is not None  # it has just been started
        await answer(self._front, scope, receive, send, max_body=self._max_body)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except HomeostatError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> _Running:
        database, source, load = self._served()
        settings = self._settings
        plane = DataPlane(
            PredictionLog(settings.home_path / FOLDER),
            SystemClock(),
            load,
            request_seconds=parse_duration(settings.request_timeout) / SECOND,
            log_share=settings.log_share,
        )
        running = _Running(database, plane, Watcher(source, plane, _ignore))
        try:
            running.watcher.look()
            self._check(plane)
        except BaseException:
            _close(running)
            raise
        running.watcher.start()
        return running

    def _served(self) -> tuple[Database | None, Source, Load]:
        """What says which versions to serve, and what loads them."""
        settings = self._settings
        if self._folder is not None:
            exported = open_exported(self._folder, settings)
            version = exported.version
            return None, FixedSource(version.model, version.version), lambda *_: load_exported(exported)
        targets = resolve(settings, self._refs, follow=True)
        database = open_database(settings.database_url)
        load = partial(load_from_registry, settings, database, BlobStore(settings.blobs_url))
        refs = [target.ref for target in targets]
        return database, RefSource(database, refs) if refs else CatalogueSource(database), load

    @property
    def _folder(self) -> Path | None:
        """The exported folder that is named, if it is one."""
        return Path(self._refs[0]) if len(self._refs) == 1 and is_exported(Path(self._refs[0])) else None

    def _check(self, plane: DataPlane) -> None:
        """Who names a version wants that one, or an error; endpoints may come and go."""
        if self._refs and plane.table.failures:
            name, why = next(iter(plane.table.failures.items()))
            raise Unavailable(f"{name!r} cannot be loaded: {why}", field="version", next_step="see: homeostat model ls")


def _close(running: _Running) -> None:
    running.watcher.end()
    running.plane.close()
    if running.database is not None:
        running.database.close()


def _ignore(_generation: int) -> None:
    """Nobody waits to hear of a new routing here."""
