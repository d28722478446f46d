"""`homeostat serve`: one version of one model in a worker of its own, no control plane."""

import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec

from homeostat.ground.errors import Unavailable
from homeostat.ground.refs import parse_model_ref
from homeostat.ground.settings import Settings
from homeostat.registry.versions import get_version
from homeostat.server.guard import check_solo_bind
from homeostat.server.supervisor import worker_environment
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade


def serve_version(settings: Settings, ref: str, *, on_ready: Callable[[str, str, int], None]) -> None:
    """Serve the version that `ref` names now, until SIGINT or SIGTERM; `on_ready` gets address, model, version."""
    check_solo_bind(settings.host)
    model, version = resolve(settings, ref)
    command = [sys.executable, "-m", "homeostat.server.worker", "--home", str(settings.home_path), "--parent-watch"]
    command += ["--host", settings.host, "--port", str(settings.serving_port)]
    command += ["--model", model, "--version", str(version)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    assert process.stdout is not None  # PIPE above
    line = process.stdout.readline()
    if line:
        ready = msgspec.json.decode(line)
        on_ready(f"http://{settings.host}:{ready['port']}", model, version)
    if process.wait() != 0:
        raise Unavailable(f"the worker of {model}@{version} ended", next_step="see its messages above")


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
