"""A child that compiles one registered version: `python -m homeostat.loop.compile_child`, a job in, an outcome out.

It loads the model, so it may die or hang; whoever started it then says that the original serves. It never writes to the
catalogue.
"""

import os
import signal
import sys
from typing import Any

import msgspec
import polars as pl

from homeostat.datasets.catalogue import get_dataset
from homeostat.datasets.frames import read_fragments
from homeostat.ground.errors import HomeostatError
from homeostat.ground.settings import Settings
from homeostat.loop.compile_job import Answer, CompileJob, left_alone
from homeostat.loop.compiling import compile_package
from homeostat.loop.reference_rows import rows_like_requests, training_rows
from homeostat.loop.served import looked_at
from homeostat.registry.keys import trusted
from homeostat.registry.loading import load_version, open_package
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.serving.compiling.questions import Reference
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database


def answer_job(job: CompileJob) -> Answer:
    """Compile the version; what the caller has to know is in the answer, errors too."""
    settings = msgspec.convert(job.settings, Settings)
    blobs, trust = BlobStore(settings.blobs_url), trusted(settings)
    database = open_database(settings.database_url)
    try:
        with database.read() as conn:
            version = get_version(conn, job.model, job.version)
        if not version.signature.task:
            version = msgspec.structs.replace(version, signature=looked_at(blobs, version, trust))
        if version.signature.obstacle:
            return Answer(outcome=left_alone(f"it cannot answer: {version.signature.obstacle}"))
        opened = open_package(blobs, version, trust, may_run_code=True)
        outcome = compile_package(
            blobs,
            version.package.flavor,
            opened.files,
            version.signature,
            load_version(blobs, version, trust, may_run_code=True),
            _reference(database, blobs, version, opened.files),
            allow_pickle=opened.allow_pickle,
            thorough=job.thorough,
        )
        return Answer(outcome=outcome)
    except HomeostatError as error:
        return Answer(error=error.message, next_step=error.next_step)
    finally:
        database.close()


def _reference(database: Database, blobs: BlobStore, version: ModelVersion, files: dict[str, bytes]) -> Reference:
    frame = _training_frame(database, blobs, version)
    if frame is not None:
        return training_rows(version.signature.columns, frame)
    return rows_like_requests(version.signature, version.bins, files)


def _training_frame(database: Database, blobs: BlobStore, version: ModelVersion) -> Any:
    """What it was trained on, where that is a data set of ours which has the version's own columns."""
    if version.dataset is None or not version.signature.feature_hash:
        return None
    try:
        with database.read() as conn:
            frame = read_fragments(blobs, get_dataset(conn, version.dataset).fragments)
        names = [column.name for column in version.signature.columns]
        return frame.select(names) if len(frame) else None
    except (HomeostatError, pl.exceptions.PolarsError):
        return None


def main() -> None:
    """Read the job from standard input, write the answer to the file descriptor given as argument."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=CompileJob)
    signal.alarm(job.seconds + 5)  # whoever started us may be gone
    with os.fdopen(int(sys.argv[1]), "wb") as out:
        out.write(msgspec.json.encode(answer_job(job)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; tearing down the libraries would cost half a second


if __name__ == "__main__":
    main()
