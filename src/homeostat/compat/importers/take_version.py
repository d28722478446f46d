"""Taking in registered models: versions keep their numbers, nothing that stands here is moved."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.engine import Connection

from homeostat.compat.importers.batch import ImportReply
from homeostat.compat.importers.model_batch import RegisteredModelBatch, VersionPart
from homeostat.compat.importers.one_by_one import write_each
from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.take_in import IDENTITY_TAG
from homeostat.compat.mlflow.mlmodel import signature_of
from homeostat.compat.mlflow.registry_view import stage_of
from homeostat.compat.mlflow.version_intake import FLAVOR
from homeostat.ground.access import Identity
from homeostat.ground.errors import HomeostatError, NotFound
from homeostat.ground.records import Signature
from homeostat.registry.aliases import set_alias
from homeostat.registry.lookup import aliases_of, model_key, newest_number
from homeostat.registry.models import create_model, get_model, set_model_tags
from homeostat.registry.signing import sign_package
from homeostat.registry.stages import ARCHIVED, enter_stage, leave_stage
from homeostat.registry.types import Model, ModelVersion, PackageFile, StoredPackage
from homeostat.registry.versions import list_versions, register_version, set_version_tags
from homeostat.store.blobs import BlobStore
from homeostat.tracking.runs import get_run
from homeostat.tracking.types import RunDetail

_CHUNK = 1 << 20
SigningKey = Callable[[], ec.EllipticCurvePrivateKey]


class Measured(msgspec.Struct, frozen=True):
    """A version's package, its files measured and signed before the write lock is taken."""

    package: StoredPackage
    signature: Signature
    signed: dict[str, Any] | None


def measure(
    batch: RegisteredModelBatch, blobs: BlobStore, signing_key: SigningKey | None, *, at: int, who: Identity
) -> Measured | None:
    """What a version is made of, read through once."""
    if batch.version is None:
        return None
    files = {
        file.path: PackageFile(file.digest, file.size, _sha256(blobs, file.digest)) for file in batch.version.files
    }
    package = StoredPackage(FLAVOR, files)
    signed = None
    if files and signing_key is not None:
        signed = sign_package(
            signing_key(), blobs, package, model=batch.name, run_id=batch.version.run_id, at=at, actor=who.name
        )
    return Measured(package, signature_of(blobs, files), signed)


def known_version(conn: Connection, batch: RegisteredModelBatch) -> ModelVersion | None:
    """The version that this one was imported as, if it was and is still there."""
    if batch.version is None:
        return None
    try:
        return _by_identity(conn, batch.name).get(batch.version.identity)
    except NotFound:
        return None


def take_registered_model(
    conn: Connection, batch: RegisteredModelBatch, measured: Measured | None, *, at: int, who: Identity
) -> ImportReply:
    """Take in a registered model: a version of it, its aliases, or just its name."""
    losses = Losses()
    try:
        model, is_new = _model(conn, batch, who=who)
    except HomeostatError as error:
        losses.add(batch.name, "registered model", str(error))
        return ImportReply(run_id=None, losses=losses.all())
    tags = {key: value for key, value in batch.tags.items() if model.tags.get(key) != value}
    write_each(
        conn,
        tags,
        lambda some: set_model_tags(conn, model.name, some, at=at),
        label=batch.name,
        what="tag",
        losses=losses,
    )
    added = 0
    if batch.version is not None and measured is not None:
        added = _take_version(conn, batch, batch.version, measured, losses, at=at, who=who)
    for alias, identity in batch.aliases.items():
        _take_alias(conn, batch.name, alias, identity, losses, at=at, who=who)
    return ImportReply(run_id=model.name, is_new=is_new, versions=added, losses=losses.all())


def _model(conn: Connection, batch: RegisteredModelBatch, *, who: Identity) -> tuple[Model, bool]:
    try:
        return get_model(conn, batch.name), False
    except NotFound:
        made = create_model(conn, batch.name, description=batch.description, at=batch.created, actor=who.name)
        return made, True


def _take_version(
    conn: Connection,
    batch: RegisteredModelBatch,
    part: VersionPart,
    measured: Measured,
    losses: Losses,
    *,
    at: int,
    who: Identity,
) -> int:
    label = f"{batch.name} version {part.number}"
    here = _by_identity(conn, batch.name)
    if part.identity in here:
        return 0
    numbers = {version.version for version in list_versions(conn, batch.name)}
    newest = newest_number(conn, model_key(conn, batch.name), with_deleted=True) or 0
    if part.number <= newest and part.number not in numbers:
        losses.add(label, "version", "its number was given here and is gone: it was deleted, or never imported in time")
        return 0
    run = _run(conn, part.run_id, label, losses, who=who)
    lineage: dict[str, Any] = {"cause": "imported", "imported_version": part.number}
    lineage |= {"logged_model": part.model_id} if part.model_id else {}
    if run is not None:
        lineage |= {"run": run.run.id, "project": run.run.project, "params": run.params}
    version = register_version(
        conn,
        model=batch.name,
        run_id=run.run.id if run else None,
        package=measured.package,
        signature=measured.signature,
        lineage=lineage,
        signed=measured.signed,
        source=part.source,
        run_link=part.run_link,
        description=part.description,
        tags={IDENTITY_TAG: part.identity},
        again=True,
        number=part.number,
        at=part.created,
        actor=part.actor or who.name,
    )
    if version.version != part.number:
        losses.add(label, "number", f"is taken here: it is version {version.version} now")
    write_each(
        conn,
        part.tags,
        lambda some: set_version_tags(conn, batch.name, version.version, some, at=at, actor=who.name),
        label=label,
        what="tag",
        losses=losses,
    )
    _take_stage(conn, batch.name, version.version, part, losses, at=at, who=who)
    return 1


def _run(conn: Connection, run_id: str, label: str, losses: Losses, *, who: Identity) -> RunDetail | None:
    if not run_id:
        losses.add(label, "run", "it was made by none, or by one that was not imported")
        return None
    try:
        run = get_run(conn, run_id)
    except NotFound as error:
        losses.add(label, "run", error.message)
        return None
    who.require_project(run.run.project)
    return run


def _take_stage(
    conn: Connection, model: str, number: int, part: VersionPart, losses: Losses, *, at: int, who: Identity
) -> None:
    label = f"{model} version {part.number}"
    if part.stage in ("", "None"):
        return
    try:
        stage = stage_of(conn, model, part.stage)
    except HomeostatError:
        losses.add(label, f"stage {part.stage!r:.60}", "is not declared here; declare it and put the version into it")
        return
    if stage == ARCHIVED:
        leave_stage(conn, model, number, to=ARCHIVED, at=at, actor=who.name, reason="imported")
        return
    stands = aliases_of(conn, model).get(stage)
    imported = {version.version for version in _by_identity(conn, model).values()}
    if stands is not None and stands not in imported:
        losses.add(label, f"stage {part.stage!r:.60}", f"version {stands} is in it here and stays")
        return
    enter_stage(conn, model, number, stage, archive_others=False, at=at, actor=who.name, reason="imported")


def _take_alias(
    conn: Connection, model: str, alias: str, identity: str, losses: Losses, *, at: int, who: Identity
) -> None:
    version = _by_identity(conn, model).get(identity)
    if version is None:
        losses.add(model, f"alias {alias!r:.60}", "the version it stands on was not imported")
        return
    stands = aliases_of(conn, model).get(alias)
    if stands == version.version:
        return
    if stands is not None:
        losses.add(model, f"alias {alias!r:.60}", f"stands on version {stands} here and stays")
        return
    # The key: an alias that was imported and taken away here does not come back with the next import.
    key = f"import:{alias[:100]}:{identity[-32:]}"
    write_each(
        conn,
        {alias: version.version},
        lambda some: [
            set_alias(conn, model, name, number, at=at, actor=who.name, reason="imported", key=key)
            for name, number in some.items()
        ],
        label=model,
        what="alias",
        losses=losses,
    )


def _by_identity(conn: Connection, model: str) -> dict[str, ModelVersion]:
    versions = list_versions(conn, model)
    return {version.tags[IDENTITY_TAG]: version for version in versions if IDENTITY_TAG in version.tags}


def _sha256(blobs: BlobStore, digest: str) -> str:
    made = hashlib.sha256()
    with blobs.open(digest) as stream:
        while chunk := stream.read(_CHUNK):
            made.update(chunk)
    return made.hexdigest()
