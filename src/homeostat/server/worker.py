"""A serving worker: one process that loads model versions and answers on one port.

`python -m homeostat.server.worker --home .homeostat --port 0 --parent-watch`. It reads the endpoints from the
catalogue, looks ten times a second whether they changed, and swaps without dropping a request. When it is ready it
prints one JSON line: `{"ready": true, "port": ..., "pid": ...}`. SIGTERM drains: no new connections, requests in flight
and shadows are finished, the prediction log is closed.
"""

import os

if __name__ == "__main__":  # before NumPy is loaded: on tiny batches a thread pool costs more than the work
    for _library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped]  # it ships none

from homeostat.compat.oip_grpc import grpc_connection
from homeostat.compat.translators import translators
from homeostat.ground.clock import SECOND, Clock, DrivenClock, SystemClock, from_iso, parse_duration
from homeostat.ground.errors import HomeostatError, Invalid, Unavailable, exit_code
from homeostat.ground.ports import Served
from homeostat.ground.settings import Settings, load_settings
from homeostat.server.guard import is_loopback
from homeostat.server.watching import CatalogueSource, FixedSource, RefSource, Source, Watcher
from homeostat.serving.afterwards import Afterwards
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.front import Front
from homeostat.serving.http import HttpServer
from homeostat.serving.log import FOLDER, PredictionLog
from homeostat.serving.metrics import Meters, leave
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database

DRAIN_SECONDS = 25.0
"""Requests in flight may take this long after SIGTERM; who stops containers waits 30 s."""

SWITCH_SECONDS = 0.001
"""How long the shadows' thread may hold the interpreter while a request waits for it (Python's default: 5 ms)."""

LoadServed = Callable[[Database, BlobStore, str, int], Served]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker is to run."""

    settings: Settings
    model: str = ""
    """Serve only this model's endpoints; with `version`, that version and nothing else."""
    version: int = 0
    refs: tuple[str, ...] = ()
    """Serve what these references mean and follow them, instead of the catalogue's endpoints."""
    slot: str = "0"
    """Which of the workers of one port this is."""
    fd: int = -1
    """A listening socket that was handed down; its queue outlives this process."""
    driven_clock: bool = False
    """Take any request time and follow it: a replay."""
    parent_watch: bool = False
    """End when standard input ends, that is, when the parent is gone."""


def run_worker(options: Options, load_served: LoadServed) -> None:
    """Serve until SIGTERM, SIGINT or, with `parent_watch`, the end of standard input.

    Raises:
        Unavailable: when the catalogue or the port cannot be had.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = options.settings
    listener = socket.socket(fileno=options.fd) if options.fd >= 0 else listen(settings.host, settings.serving_port)
    database = open_database(settings.database_url)
    blobs = BlobStore(settings.blobs_url)
    plane = DataPlane(
        PredictionLog(settings.home_path / FOLDER),
        _clock(options),
        lambda model, version: load_served(database, blobs, model, version),
        request_seconds=parse_duration(settings.request_timeout) / SECOND,
        log_share=settings.log_share,
        meters=Meters(options.slot),
    )
    watcher = Watcher(_source(options, database), plane, lambda generation: _tell(generation=generation))
    try:
        watcher.look()
        _check_loaded(plane, options)
        watcher.start()
        _run(_serve(plane, options, listener))
    finally:
        watcher.end()
        plane.close()
        database.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        options = read_options(arguments)
        run_worker(options, partial(load_from_registry, options.settings))
    except HomeostatError as error:
        _say(str(error))
        return exit_code(error)
    return 0


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line and the settings below it.

    Raises:
        Invalid: for a version without a model, or a setting that is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m homeostat.server.worker", description="A serving worker.")
    parser.add_argument("--home", help="folder of the catalogue and the prediction log")
    parser.add_argument("--host", help="address to bind to")
    parser.add_argument("--port", type=int, help="port to answer on; 0 picks a free one")
    parser.add_argument("--model", default="", help="serve only this model's endpoints")
    parser.add_argument("--version", type=int, default=0, help="serve this version of --model and nothing else")
    parser.add_argument("--ref", action="append", default=[], help="serve what this means, and follow it")
    parser.add_argument("--slot", default="0", help="which of the workers of one port this is")
    parser.add_argument("--fd", type=int, default=-1, help="a listening socket that was handed down")
    parser.add_argument("--driven-clock", action="store_true", help="take any request time (a replay)")
    parser.add_argument("--parent-watch", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    if given.version and not given.model:
        raise Invalid("--version needs --model", field="version", next_step="add --model NAME")
    return Options(
        settings=load_settings(home=given.home, host=given.host, serving_port=given.port),
        model=given.model,
        version=given.version,
        refs=tuple(given.ref),
        slot=given.slot,
        fd=given.fd,
        driven_clock=given.driven_clock,
        parent_watch=given.parent_watch,
    )


def load_from_registry(settings: Settings, database: Database, blobs: BlobStore, model: str, version: int) -> Served:
    """Load a registered version; the loop room knows how packages and features come together."""
    # Imported here: it brings scikit-learn and polars, which only a worker that loads a registered package needs.
    from homeostat.loop.served import load_served
    from homeostat.registry.keys import trusted

    return load_served(database, blobs, model, version, trust=trusted(settings))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 picks a free one.

    Raises:
        Unavailable: when another process listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Unavailable(
            f"port {port} on {host} cannot be had: {error.strerror}",
            field="port",
            next_step="choose another port, or 0 for a free one",
        ) from error


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is to be had: a fifth faster, and there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
        return
    uvloop.run(main)


async def _serve(plane: DataPlane, options: Options, listener: socket.socket) -> None:
    settings = options.settings
    max_body = settings.max_body_mb << 20
    folder = settings.home_path / "workers"
    afterwards = Afterwards(settings.access_log, traced=True)
    front = Front(
        plane,
        translators(),
        version=package_version("homeostat"),
        # Taken out, so that no model's code finds it in the environment.
        key=os.environ.pop("HOMEOSTAT_WORKER_KEY", ""),
        may_place=settings.model_control == "on" or (not settings.model_control and is_loopback(settings.host)),
        max_body=max_body,
        counters=folder,
        afterwards=afterwards,
    )
    http = HttpServer(front.handle, max_body=max_body)
    http.http2 = lambda: grpc_connection(front, max_body=max_body, group=http.connections)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if options.parent_watch:
        threading.Thread(target=_watch_parent, args=(loop, ended.set), name="parent", daemon=True).start()
    server = await loop.create_server(http, sock=listener)
    plane.meters.gauges["connections"] = lambda: len(http.connections)
    plane.meters.gauges["resident_bytes"] = lambda: psutil.Process().memory_info().rss
    leaving = asyncio.create_task(_leave_counters(plane.meters, folder))
    settle_memory()
    _tell(ready=True, port=listener.getsockname()[1], pid=os.getpid(), generation=plane.table.generation)
    await ended.wait()
    front.begin_draining()
    server.close()
    await http.drain(DRAIN_SECONDS)
    leaving.cancel()
    front.close()
    await asyncio.to_thread(afterwards.close)


def settle_memory() -> None:
    """What is loaded by now stays: the collector need not look through it at every turn, which takes tens of ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _leave_counters(meters: Meters, folder: Path) -> None:
    """Once a second, for whichever worker Prometheus reaches."""
    while True:
        with contextlib.suppress(OSError):  # a full disk must not end what answers
            await asyncio.to_thread(leave, meters.snapshot(), folder)
        await asyncio.sleep(1.0)


def _watch_parent(loop: asyncio.AbstractEventLoop, drain: Callable[[], None]) -> None:
    while os.read(0, 4096):
        continue
    loop.call_soon_threadsafe(drain)


def _source(options: Options, database: Database) -> Source:
    if options.refs:
        return RefSource(database, options.refs)
    if options.version:
        return FixedSource(options.model, options.version)
    return CatalogueSource(database, options.model)


def _check_loaded(plane: DataPlane, options: Options) -> None:
    """Who names a version wants that one, or an error; endpoints may come and go."""
    failures = plane.table.failures
    if failures and (options.version or options.refs):
        name, why = next(iter(failures.items()))
        raise Unavailable(f"{name!r} cannot be loaded: {why}", field="version", next_step="see `homeostat model list`")


def _clock(options: Options) -> Clock:
    start = options.settings.clock
    if start != "system":
        return DrivenClock(from_iso(start, field="clock"))
    return DrivenClock() if options.driven_clock else SystemClock()


def _tell(**facts: Any) -> None:
    """A line for the parent process, which waits for them."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"homeostat worker {os.getpid()}: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
