"""Taking a version in from a client: what its source holds now is measured, signed and given the next number."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import TAG_VALUE
from homeostat.compat.mlflow.mlmodel import signature_of
from homeostat.compat.mlflow.reach import actor_of
from homeostat.compat.mlflow.version_sources import Source, source_named
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.errors import Invalid
from homeostat.registry.search import IS_PROMPT
from homeostat.registry.signing import sign_package
from homeostat.registry.types import ModelVersion, PackageFile, StoredPackage
from homeostat.registry.versions import register_version
from homeostat.store.blobs import BlobStore
from homeostat.tracking.models import get_model, set_model_tags

FLAVOR = "mlflow"
_CHUNK = 1 << 20
_NO_SOURCES = frozenset({"dummy-source", "prompt-template"})
"""What MLflow's clients send where a source belongs, for prompts, which have none."""
_REGISTERED_AS = "mlflow.modelVersions"


def register(
    context: Context,
    name: str,
    uri: str,
    *,
    run_id: str,
    model_id: str,
    tags: Mapping[str, str],
    run_link: str,
    description: str,
) -> ModelVersion:
    """The next version of a model. One run may make many: each request is a version of its own.

    Raises:
        Invalid: when the source names nothing of ours.
    """
    if tags.get(IS_PROMPT, "false").lower() == "true":
        source = _of_prompt(uri)
    else:
        with context.database.read() as conn:
            source = source_named(context, conn, uri, run_id=run_id, model_id=model_id)
    # Before the write lock is taken: a large model takes seconds to read.
    package = StoredPackage(FLAVOR, {path: _measured(context.blobs, file) for path, file in source.files.items()})
    signature = signature_of(context.blobs, package.manifest)
    at, actor = context.clock.now(), actor_of(context)
    signed = _signed(context, package, name, source, at=at, actor=actor)
    with context.database.write() as conn:
        version = register_version(
            conn,
            model=name,
            run_id=source.run_id,
            package=package,
            signature=signature,
            evaluation=source.evaluation,
            dataset=source.dataset,
            lineage=source.lineage,
            signed=signed,
            source=source.uri,
            run_link=run_link,
            description=description,
            tags=tags,
            again=True,
            at=at,
            actor=actor,
        )
        _note_on_logged_model(conn, source, version, at=at)
    return version


def _of_prompt(uri: str) -> Source:
    if uri not in _NO_SOURCES:
        raise Invalid(
            f"Invalid prompt source: '{uri:.120}'. Prompt sources must use an MLflow placeholder.", field="source"
        )
    return Source(uri=uri, run_id=None, files={}, evaluation={}, dataset=None, lineage={})


def _measured(blobs: BlobStore, file: PackageFile) -> PackageFile:
    if file.sha256:
        return file
    digest = hashlib.sha256()
    with blobs.open(file.digest) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return msgspec.structs.replace(file, sha256=digest.hexdigest())


def _signed(
    context: Context, package: StoredPackage, name: str, source: Source, *, at: int, actor: str
) -> dict[str, Any] | None:
    if context.signing_key is None or not package.manifest:
        return None
    key = context.signing_key()
    return sign_package(key, context.blobs, package, model=name, run_id=source.run_id or "", at=at, actor=actor)


def _note_on_logged_model(conn: Connection, source: Source, version: ModelVersion, *, at: int) -> None:
    """MLflow's own tag on a logged model: as which versions it is registered."""
    model_id = source.lineage.get("logged_model")
    if not model_id or "copy_of" in source.lineage:
        return
    said = get_model(conn, model_id).tags.get(_REGISTERED_AS, "[]")
    try:
        known = msgspec.json.decode(said, type=list[dict[str, Any]])
    except msgspec.DecodeError:
        known = []
    known.append({"name": version.model, "version": version.version})
    while len(text := msgspec.json.encode(known).decode()) > TAG_VALUE:
        known.pop(0)  # the oldest; a tag holds no more, and each version names its logged model itself
    set_model_tags(conn, model_id, {_REGISTERED_AS: text}, at=at)
