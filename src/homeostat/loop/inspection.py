"""Looking at a version that was registered without saying what it answers, in a process of its own."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import msgspec

from homeostat.ground.errors import HomeostatError
from homeostat.ground.records import Signature
from homeostat.ground.settings import Settings
from homeostat.loop.compile_process import compile_version
from homeostat.registry.formats.mlflow_model import DESCRIPTION, main_file
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version, keep_signature
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

PATIENCE = 120.0
"""Seconds that loading a model and asking it once may take."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of which home."""

    settings: Settings
    model: str
    version: int


class Inspection:
    """Looks at versions of a home. Never within a transaction: it takes a second, a large model more."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings) -> None:
        self._database = database
        self._blobs = blobs
        self._settings = settings

    def of(self, model: str, version: int | str, *, at: int, actor: str) -> ModelVersion:
        """The version with what it takes and gives, looked at first when that is not known, and compiled.

        Whoever promotes a version looks once more at one that could not answer; a library may be there by now.
        """
        found = self._known(model, version, at=at, actor=actor)
        if found.signature.task:
            with suppress(HomeostatError):  # the original serves, then
                compile_version(self._database, self._blobs, self._settings, model, found.version, at=at, actor=actor)
        return found

    def _known(self, model: str, version: int | str, *, at: int, actor: str) -> ModelVersion:
        with self._database.read() as conn:
            found = get_version(conn, model, version)
        if found.signature.task or not found.package.manifest:  # a prompt has no files
            return found
        signature = self._look(found)
        if signature == found.signature:
            return found
        with self._database.write() as conn:
            return keep_signature(conn, model, found.version, signature, at=at, actor=actor)

    def _look(self, version: ModelVersion) -> Signature:
        try:
            self._refuse_unread(version)
        except HomeostatError as error:
            return _obstacle(version, str(error))
        settings = msgspec.structs.replace(self._settings, home=str(self._settings.home_path), clock="system")
        question = Question(settings=settings, model=version.model, version=version.version)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "homeostat.loop.inspector"],
                input=msgspec.json.encode(question),
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
                env={"OMP_NUM_THREADS": "1"} | os.environ,
            )
        except subprocess.TimeoutExpired:
            return _obstacle(version, f"it was looked at for {PATIENCE:.0f} s without an end")
        if done.returncode < 0:
            return _obstacle(version, f"the process that read it was killed by {signal.Signals(-done.returncode).name}")
        if done.returncode > 0:
            return _obstacle(version, f"the process that read it ended with exit code {done.returncode}")
        return msgspec.json.decode(done.stdout, type=Signature)

    def _refuse_unread(self, version: ModelVersion) -> None:
        """A pickle of MLflow's is known by its name, a package without a model by having none: no child is needed."""
        files = version.package.manifest
        if version.package.flavor == "mlflow":
            described = {DESCRIPTION: self._blobs.get(files[DESCRIPTION].digest)} if DESCRIPTION in files else {}
            main_file(dict.fromkeys(files, b"") | described)


def _obstacle(version: ModelVersion, why: str) -> Signature:
    return msgspec.structs.replace(version.signature, task="", obstacle=why)
