"""Our side: a home with both models in three versions each, registered as a user does, and workers that serve it."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

import homeostat as hs
from benchmarks.processes import Server, free_port
from benchmarks.serving.load import SERVER_CORE
from benchmarks.serving.models import NAMES, fitted, training_rows
from benchmarks.serving.peers import ONE_THREAD
from homeostat.serving.endpoints import current_generation, set_routing
from homeostat.serving.types import FULL, Arm
from homeostat.store.database import Database, open_database

STABLE, CANARY, SHADOW = 1, 2, 3
ECHO = Path(__file__).with_name("echo.py")


def make_home(folder: Path) -> Path:
    """A home with the models; version 1 of each is the one that the peers have, too."""
    home = folder / "home"
    client = hs.connect(str(home))
    for name in NAMES:
        for version in (STABLE, CANARY, SHADOW):
            client.registry.register(fitted(name, seed=version - 1), name, example=training_rows()[0])
            compile_version(home, f"{name}@{version}")
        client.registry.set_alias(name, "champion", STABLE)
        route(home, name)
    client.close()
    return home


def compile_version(home: Path, ref: str) -> None:
    """`homeostat model compile`, unless that was done when it was registered."""
    command = [sys.executable, "-m", "homeostat.cli.entry", "model", "compile", ref, "--home", str(home)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def route(home: Path, name: str, *, stable: int = STABLE, canary: int = 0, shadows: Sequence[int] = ()) -> None:
    """Serve a version of a model, with so much of 10,000 to the canary, and perhaps with shadows."""
    arms = [Arm(version=stable, weight=FULL - canary)]
    if canary:
        arms.append(Arm(version=CANARY, weight=canary, arm="canary"))
    with catalogue(home) as database, database.write() as conn:
        set_routing(conn, name, model=name, arms=arms, shadows=shadows, actor="bench", reason="a case", at=1)


def settle(server: Server, home: Path) -> None:
    """Wait until a worker serves what the home's catalogue says.

    Raises:
        RuntimeError: when it does not within a minute.
    """
    with catalogue(home) as database, database.read() as conn:
        wanted = current_generation(conn)
    deadline = time.monotonic() + 60
    while httpx.get(f"{server.url}/v2/health/live", timeout=10).json()["generation"] < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError("the new routing was not taken up within a minute")
        time.sleep(0.02)


@contextmanager
def catalogue(home: Path) -> Iterator[Database]:
    """The home's catalogue, open for the block."""
    database = open_database(f"sqlite:///{home / 'catalogue.db'}")
    try:
        yield database
    finally:
        database.close()


def start_worker(home: Path, folder: Path, **settings: str) -> Server:
    """A worker of ours as `homeostat up` starts it, with everything on; `settings` change that."""
    port = free_port()
    command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(home), "--port", str(port)]
    return Server(
        command,
        port=port,
        folder=folder,
        ready="/v2/health/ready",
        core=SERVER_CORE,
        environment=ONE_THREAD | {f"HOMEOSTAT_{name.upper()}": value for name, value in settings.items()},
    )


def start_serve(home: Path, folder: Path, ref: str) -> Server:
    """`homeostat serve` of one version."""
    port = free_port()
    command = [sys.executable, "-m", "homeostat.cli.entry", "serve", ref, "--home", str(home), "--port", str(port)]
    return Server(command, port=port, folder=folder, ready="/v2/health/ready", core=SERVER_CORE, environment=ONE_THREAD)


def start_echo(folder: Path) -> Server:
    """The bare echo on our HTTP stack."""
    port = free_port()
    command = [sys.executable, str(ECHO), str(port)]
    return Server(command, port=port, folder=folder, ready="/", core=SERVER_CORE, environment=ONE_THREAD)
