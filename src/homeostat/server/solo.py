"""`homeostat serve`: versions that references name, in workers of their own, no control plane."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Invalid, Unavailable
from homeostat.ground.refs import parse_model_ref
from homeostat.ground.settings import Settings
from homeostat.loop.ingest import Ingester
from homeostat.loop.inspection import Inspection
from homeostat.loop.releases import check_answers
from homeostat.server.folder import name_of
from homeostat.server.guard import check_solo_bind
from homeostat.server.logged_model import SCHEME, version_of_run
from homeostat.server.supervisor import Supervisor, claim_serving_port, worker_environment
from homeostat.serving.log import FOLDER
from homeostat.store.blobs import BlobStore
from homeostat.store.database import open_database
from homeostat.store.migrate import upgrade

ACTOR = "serve"
INGEST_SECONDS = 5.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is served, and what its worker is told: an alias that it follows, or this one for ever."""

    model: str
    version: int
    ref: str

    @property
    def follows(self) -> bool:
        return not self.ref.rpartition("@")[2].isdecimal()


def serve_refs(
    settings: Settings,
    refs: Sequence[str],
    *,
    follow: bool = True,
    name: str = "",
    on_ready: Callable[[str, list[Target]], None],
) -> None:
    """Serve what the references mean until SIGINT or SIGTERM; with `follow` aliases are followed as they move.

    A reference is models:/NAME@ALIAS, models:/NAME/3, NAME@3, or runs:/RUN/PATH for a model that a run logged, which is
    registered first (as a version of `name`). Without any, the catalogue's endpoints are served: a replica, on this
    machine or another one that shares catalogue and blobs.

    Raises:
        Refused: when a version cannot answer.
        Conflict, Invalid: when two references name one model.
        Unavailable: when the port cannot be had, or a worker ends before it has answered.
    """
    check_solo_bind(settings.host)
    targets = resolve(settings, refs, follow=follow, name=name)
    # Whoever reaches this machine may ask: a worker on its own knows no tokens.
    settings = msgspec.structs.replace(settings, auth="")
    serving = [word for target in targets for word in ("--ref", target.ref)]
    supervisor = Supervisor(settings, port=claim_serving_port(settings), serving=serving)
    ended, failed = threading.Event(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())

    def watch() -> None:
        if supervisor.wait_ended():
            failed.set()
            ended.set()

    threading.Thread(target=watch, name="watch", daemon=True).start()
    supervisor.start()
    taking_in = threading.Thread(target=_take_in_log, args=(settings, ended), name="log", daemon=True)
    taking_in.start()
    try:
        if _is_ready(supervisor, ended):
            on_ready(supervisor.url, targets)
        ended.wait()
    finally:
        supervisor.stop()
        taking_in.join(timeout=30.0)
    if failed.is_set():
        what = ", ".join(f"{target.model}@{target.version}" for target in targets) or "the endpoints"
        raise Unavailable(f"the worker of {what} ended", next_step="see its messages above")


def serve_folder(settings: Settings, folder: Path, *, on_ready: Callable[[str, str, int], None]) -> None:
    """Serve a folder that `homeostat model export --serving` wrote, until SIGINT or SIGTERM."""
    check_solo_bind(settings.host)
    command = [sys.executable, "-m", "homeostat.server.folder_worker", str(folder)]
    command += ["--home", str(settings.home_path), "--parent-watch"]
    command += ["--host", settings.host, "--port", str(settings.serving_port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=worker_environment(settings))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    assert process.stdout is not None  # PIPE above
    for line in process.stdout:
        if line.startswith(b'{"ready"'):
            on_ready(f"http://{settings.host}:{msgspec.json.decode(line)['port']}", *name_of(folder))
    if process.wait() != 0:
        raise Unavailable(f"the worker of {folder.name} ended", next_step="see its messages above")


def resolve(settings: Settings, refs: Sequence[str], *, follow: bool, name: str = "") -> list[Target]:
    """The versions that references mean now, each looked at when nobody knows what it answers.

    Raises:
        NotFound: when there is no such model, version, alias or run.
        Invalid: when two references name one model.
        Refused: when a version cannot answer.
    """
    database = open_database(settings.database_url)
    try:
        upgrade(database)
        blobs = BlobStore(settings.blobs_url)
        inspection = Inspection(database, blobs, settings)
        targets = []
        for ref in refs:
            if ref.startswith(SCHEME):
                version = version_of_run(database, blobs, settings, ref, name=name)
                model, what = version.model, str(version.version)
            else:
                model, what = (str(part) for part in parse_model_ref(ref))
            found = inspection.of(model, what, at=SystemClock().now(), actor=ACTOR)
            check_answers(found)
            kept = what if follow else str(found.version)
            targets.append(Target(model=model, version=found.version, ref=f"{model}@{kept}"))
    finally:
        database.close()
    _check_distinct(targets)
    return targets


def _take_in_log(settings: Settings, ended: threading.Event) -> None:
    """What our workers answered goes into the catalogue, as `homeostat up` does it for its own."""
    database = open_database(settings.database_url)
    ingester = Ingester(database, BlobStore(settings.blobs_url), settings.home_path / FOLDER)
    try:
        while not ended.wait(INGEST_SECONDS):
            try:
                ingester.run()
            except Exception as error:  # noqa: BLE001  the catalogue may be away; the log keeps what was answered
                sys.stderr.write(f"log: {error}\n")
    finally:
        database.close()


def _check_distinct(targets: Sequence[Target]) -> None:
    models = [target.model for target in targets]
    twice = next((model for model in models if models.count(model) > 1), None)
    if twice is not None:
        raise Invalid(
            f"{twice!r} is named twice, and each model answers under its own name",
            field="model",
            next_step="serve two versions of it by a rollout: homeostat up, then homeostat rollout start",
        )


def _is_ready(supervisor: Supervisor, ended: threading.Event) -> bool:
    """Wait for the workers; however long a large model loads, but not when one has ended."""
    while not ended.is_set():
        try:
            supervisor.wait_ready(0.2)
        except Unavailable:
            continue
        return True
    return False
