"""Starting the child that compiles a registered version, and living with whatever becomes of it."""

import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

import msgspec

from homeostat.ground.errors import Refused
from homeostat.ground.settings import Settings
from homeostat.loop.compile_job import Answer, CompileJob, Outcome, left_alone
from homeostat.loop.compiled import keep_compiled
from homeostat.registry.versions import get_version
from homeostat.serving.compiling.catalogue import Record, find_compiled
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database


def compile_version(
    database: Database,
    blobs: BlobStore,
    settings: Settings,
    model: str,
    version: int | str,
    *,
    again: bool = False,
    thorough: bool = False,
    at: int,
    actor: str,
) -> Record:
    """Compile a registered version and record what came of it; one that is recorded already is left as it is.

    `again` compiles it anew. One whose artifact a worker could not load is compiled anew in any case.

    Raises:
        NotFound: when there is no such version.
        Refused: when the version itself may not be loaded.
    """
    with database.read() as conn:
        found = get_version(conn, model, version)
        known = find_compiled(conn, found.package.digest)
    if known is not None and not known.trouble and not again and not thorough:
        return known
    outcome = compile_in_child(settings, found.model, found.version, thorough=thorough)
    with database.write() as conn:
        keep_compiled(conn, blobs, settings, found, outcome, at=at, actor=actor)
        record = find_compiled(conn, found.package.digest)
    assert record is not None  # just written
    return record


def compile_in_child(settings: Settings, model: str, version: int, *, thorough: bool = False) -> Outcome:
    """Compile a version in a process of its own.

    Raises:
        Refused: when the version itself may not be loaded; the message says why.
    """
    plain = msgspec.structs.asdict(settings) | {"home": str(settings.home_path)}
    job = CompileJob(settings=plain, model=model, version=version, thorough=thorough)
    with tempfile.TemporaryFile() as held, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "homeostat.loop.compile_child", str(held.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(held.fileno(),),
        )
        try:
            child.communicate(msgspec.json.encode(job), timeout=job.seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return left_alone(f"compiling it took longer than {job.seconds} s")
        held.seek(0)
        said = held.read()
        if child.returncode or not said:
            return left_alone(f"the compiling process {_how_it_ended(child.returncode)}: {_tail(log)}")
    answer = msgspec.json.decode(said, type=Answer)
    if answer.outcome is None:
        raise Refused(answer.error, field="version", next_step=answer.next_step)
    return answer.outcome


def _how_it_ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _tail(log: Any) -> str:
    size = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), 2_000, max(0, size - 2_000)).decode("utf-8", "replace").strip()
    return text.splitlines()[-1][:300] if text else "it said nothing"
