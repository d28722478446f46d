"""`homeostat up`: control plane, loop and serving worker in one process tree."""

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
from granian.constants import Interfaces

from homeostat.ground.clock import SECOND, DrivenClock, SystemClock, parse_duration, to_iso
from homeostat.ground.errors import HomeostatError
from homeostat.ground.settings import Settings
from homeostat.loop.engine import Engine
from homeostat.loop.notifying import deliver_news, note_news
from homeostat.loop.workers import WorkerState
from homeostat.server.app import build_app
from homeostat.server.guard import check_bind, is_loopback
from homeostat.server.listen import claim_port, listening
from homeostat.server.service import Service
from homeostat.server.supervisor import CLIENT_SECRETS, Supervisor, claim_serving_port
from homeostat.server.tokens import has_token
from homeostat.server.webhooks import send_due
from homeostat.server.worker_states import failures_of, states_of
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade
from homeostat.tracking.spool.at_home import take_in_leftovers

ROLLOUT_SECONDS = 2.0
"""How often open rollouts are looked at, whatever the tick."""
TABLE_SECONDS = 5.0
"""How often it is asked which tables are due."""
NEWS_SECONDS = 2.0
"""How often alarms are looked at for those who are to be told of them."""


class Home:
    """The running parts of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.service = Service(settings)
        self.supervisor = Supervisor(settings, port=claim_serving_port(settings))
        self.engine = Engine(
            self.service.database, self.service.blobs, settings, self.service.clock, workers=self._worker_states
        )
        self._driven = isinstance(self.service.clock, DrivenClock)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the worker, and the loop's threads when the clock runs by itself."""
        self.supervisor.start()
        if not self._driven:
            every = parse_duration(self.settings.tick) / SECOND
            self._thread("loop", self.engine.tick, every)
            self._thread("cycles", self.engine.run_cycles, min(every, 1.0))
            self._thread("tables", self.engine.tables.look, TABLE_SECONDS)
            self._thread("rollouts", self.engine.look_at_rollouts, min(every, ROLLOUT_SECONDS))
        self._thread("webhooks", lambda: send_due(self.service.database, self.settings), 0.5)
        self._thread("notifications", self._tell, NEWS_SECONDS)
        self._thread("spools", self._take_in_spools, 5.0)

    def stop(self) -> None:
        self._stop.set()
        self.supervisor.stop()

    def tick(self) -> dict[str, Any]:
        """Everything that is due at a driven clock's time, finished before it moves on."""
        report = self.engine.tick()
        if self.engine.run_cycles() or report.moved:
            self.supervisor.settle(self.service.generation())
        return msgspec.to_builtins(report) | {"now": to_iso(report.now)}  # type: ignore[no-any-return]

    def _tell(self) -> None:
        """Tell channels of alarms."""
        note_news(self.service.database, self.service.clock.now())
        deliver_news(self.service.database, allowed=self.service.webhook_allow)

    def _worker_states(self, *, closely: bool = False) -> list[WorkerState]:
        supervisor = self.supervisor
        return states_of(supervisor.pids, failures_of(supervisor.url, supervisor.key) if closely else {})

    def _take_in_spools(self) -> None:
        """What runs of this home left behind when they were killed."""
        url = f"http://{self.settings.host}:{self.settings.port}"
        service = self.service
        take_in_leftovers(self.settings.home_path, service.database, service.blobs, service.clock, url=url)

    def _thread(self, name: str, work: Callable[[], Any], every: float) -> None:
        thread = threading.Thread(target=self._repeat, args=(name, work, every), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _repeat(self, name: str, work: Callable[[], Any], every: float) -> None:
        while not self._stop.wait(every):
            try:
                work()
            except Exception as error:  # noqa: BLE001  one bad look must not end the loop; it is said and tried again
                known = isinstance(error, HomeostatError)
                text = str(error) if known else "".join(traceback.format_exception(error))
                sys.stderr.write(f"{name}: {text}\n")


def run_home(settings: Settings, *, on_ready: Callable[[str, Home], None], parent_watch: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` gets the address once both planes answer."""
    _check_bind(settings)
    for name in CLIENT_SECRETS:  # nothing that we start, training functions included, inherits a client's token
        os.environ.pop(name, None)
    port = claim_port(settings.host, settings.port)
    home = Home(settings)
    if parent_watch:
        threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    home.start()  # first: the worker loads while the application is put together
    try:
        supervisor = home.supervisor
        app = build_app(home.service, tick=home.tick, serving_url=lambda: supervisor.url, worker_key=supervisor.key)
        asyncio.run(_serve(app, home, settings.host, port, on_ready))
    finally:
        home.stop()
        home.service.close()


def _check_bind(settings: Settings) -> None:
    """Before anything listens: others may reach us only when a token can stop them."""
    if is_loopback(settings.host) or settings.auth != "required":
        check_bind(settings.host, auth=settings.auth)
        return
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        with database.read() as conn:
            check_bind(settings.host, auth=settings.auth, has_token=has_token(conn, now=SystemClock().now()))
    finally:
        database.close()


async def _serve(app: Any, home: Home, host: str, port: int, on_ready: Callable[[str, Home], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(app, host=host, port=port, interface=Interfaces.ASGI):
        await asyncio.to_thread(home.supervisor.wait_ready)
        on_ready(f"http://{host}:{port}", home)
        await stop.wait()


def _end_with_parent() -> None:
    """Whoever started us holds our standard input open; its end is ours."""
    while os.read(0, 4096):
        continue
    signal.raise_signal(signal.SIGTERM)
