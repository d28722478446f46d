"""Compiled scorers of registered versions: signed when they are recorded, checked in every way when they are loaded."""

import hashlib
import sys
from contextlib import suppress
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.ground.errors import Corrupt, HomeostatError
from homeostat.ground.ports import Scorer
from homeostat.ground.settings import Settings
from homeostat.loop.compile_job import Outcome
from homeostat.registry.bundle import Statement, make_bundle, read_bundle
from homeostat.registry.keys import Trust, signing_key
from homeostat.registry.signing import check_signature, open_checked
from homeostat.registry.types import ModelVersion
from homeostat.serving.compiling.artifact import decode_artifact
from homeostat.serving.compiling.catalogue import Record, find_compiled, note_trouble, record_compiled
from homeostat.serving.compiling.running import proven_scorer
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.store.events import append_event

FILE = "scorer.msgpack"
"""What the artifact is called in its signed statement."""


class Serving(NamedTuple):
    """A scorer that may serve, and of which kind it is."""

    scorer: Scorer
    kind: str


def keep_compiled(
    conn: Connection,
    blobs: BlobStore,
    settings: Settings,
    version: ModelVersion,
    outcome: Outcome,
    *,
    at: int,
    actor: str,
) -> None:
    """Record what came of compiling a version; an artifact is signed with the project's key, for this package alone."""
    signed = None
    if outcome.blob is not None:
        said = Statement(
            name=version.model,
            files={FILE: hashlib.sha256(blobs.get(outcome.blob)).hexdigest()},
            about={
                "compiled_from": version.package.digest,
                "kind": outcome.report.kind,
                "task": outcome.report.task,
                "signed_by": actor,
                "signed_at": to_iso(at),
            },
        )
        signed = make_bundle(signing_key(settings), said)
    record_compiled(
        conn, version.package.digest, outcome.report, blob=outcome.blob, size=outcome.size, signed=signed, at=at
    )
    data = {"version": version.version, "kind": outcome.report.kind, "package_digest": version.package.digest}
    append_event(
        conn,
        "version.compiled",
        subject=version.model,
        at=at,
        actor=actor,
        reason=outcome.report.line()[:1000],
        data=data,
    )


def compiled_scorer(database: Database, blobs: BlobStore, version: ModelVersion, trust: Trust) -> Serving | None:
    """The compiled scorer of a version; None when there is none, or it is not beyond doubt: then the original serves.

    Raises:
        Corrupt: naming the file of the package that was changed, added or is missing.
        Refused: when the version's signer is not trusted.
    """
    with database.read() as conn:
        record = find_compiled(conn, version.package.digest)
    if record is None or record.blob is None:
        return None
    serving, trouble = scorer_of_record(blobs, version, record, trust)
    _note(database, record, trouble)
    return serving


def scorer_of_record(
    blobs: BlobStore, version: ModelVersion, record: Record, trust: Trust
) -> tuple[Serving | None, str]:
    """The compiled scorer that a record names, or why it is not used, which is told on standard error, too.

    The version's own package is checked as if it were loaded, so that a version whose files were changed is refused
    whichever scorer it has.

    Raises:
        Corrupt: naming the file of the package that was changed, added or is missing.
        Refused: when the version's signer is not trusted.
    """
    said = check_signature(version, trust)
    for path in version.package.manifest:
        open_checked(blobs, version, path, said).close()
    try:
        return Serving(_loaded(blobs, version, record, trust), record.kind), ""
    except Exception as error:  # noqa: BLE001  whatever is wrong with it, there is the original
        trouble = error.message if isinstance(error, HomeostatError) else f"{type(error).__name__}: {error!s:.200}"
        sys.stderr.write(
            f"homeostat: the compiled scorer of {version.ref} is not used: {trouble}; the original serves\n"
        )
        return None, trouble


def _loaded(blobs: BlobStore, version: ModelVersion, record: Record, trust: Trust) -> Scorer:
    assert record.blob is not None  # as the caller has seen
    data = blobs.get(record.blob)
    said = read_bundle(record.signed or {}, trust)
    if said.files != {FILE: hashlib.sha256(data).hexdigest()}:
        raise _not_the_one("its bytes are not those that were signed")
    if said.about.get("compiled_from") != version.package.digest:
        raise _not_the_one("it was made from another package")
    if version.signature.task and said.about.get("task") != version.signature.task:
        raise _not_the_one(f"it was made for a {said.about.get('task')!r:.40} task")
    artifact = decode_artifact(data)
    if version.signature.columns and artifact.columns != len(version.signature.columns):
        raise _not_the_one(f"it takes {artifact.columns} columns, the version {len(version.signature.columns)}")
    return proven_scorer(artifact)


def _note(database: Database, record: Record, trouble: str) -> None:
    """Tell everybody who looks; a catalogue that cannot be written now does not keep a worker from serving."""
    if record.trouble == trouble:
        return
    with suppress(HomeostatError, sa.exc.SQLAlchemyError), database.write() as conn:
        note_trouble(conn, record.package, trouble)


def _not_the_one(why: str) -> Corrupt:
    return Corrupt(f"the compiled scorer is not this version's: {why}", next_step="homeostat model compile --force")
