"""`homeostat serve`: one version of one model in a worker of its own, no control plane."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeostat.ground.errors import Unavailable
from homeostat.ground.refs import parse_model_ref
from homeostat.ground.settings import Settings
from homeostat.registry.versions import get_version
from homeostat.server.folder import name_of
from homeostat.server.guard import check_solo_bind
from homeostat.server.supervisor import worker_environment
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade

OnReady = Callable[[str, str, int], None]
"""Gets address, model, version."""


def serve_version(settings: Settings, ref: str, *, on_ready: OnReady) -> None:
    """Serve the version that `ref` names now, until SIGINT or SIGTERM."""
    check_solo_bind(settings.host)
    model, version = resolve(settings, ref)
    module = ["homeostat.server.worker", "--model", model, "--version", str(version)]
    _serve(settings, module, f"{model}@{version}", lambda url: on_ready(url, model, version))


def serve_folder(settings: Settings, folder: Path, *, on_ready: OnReady) -> None:
    """Serve a folder that `homeostat model export --serving` wrote, until SIGINT or SIGTERM."""
    check_solo_bind(settings.host)

    module = ["homeostat.server.folder_worker", str(folder)]
    _serve(settings, module, folder.name, lambda url: on_ready(url, *name_of(folder)))


def _serve(settings: Settings, module: list[str], what: str, ready: Callable[[str], None]) -> None:
    command = [sys.executable, "-m", *module, "--home", str(settings.home_path), "--parent-watch"]
    command += ["--host", settings.host, "--port", str(settings.serving_port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    assert process.stdout is not None  # PIPE above
    for line in process.stdout:
        if line.startswith(b'{"ready"'):
            ready(f"http://{settings.host}:{msgspec.json.decode(line)['port']}")
    if process.wait() != 0:
        raise Unavailable(f"the worker of {what} ended", next_step="see its messages above")


def resolve(settings: Settings, ref: str) -> tuple[str, int]:
    """The model and the version number that a reference means now."""
    name, what = parse_model_ref(ref)
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        with database.read() as conn:
            return name, get_version(conn, name, what).version
    finally:
        database.close()
