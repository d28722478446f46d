"""Exported versions: written into a folder, checked, and loaded from it without a catalogue (see `folder.py`)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Conflict, Corrupt, NotFound, Refused
from homeostat.ground.ports import Served
from homeostat.ground.settings import Settings
from homeostat.loop.compiled import FILE, Serving, scorer_of_record
from homeostat.loop.inspection import Inspection
from homeostat.loop.releases import check_answers
from homeostat.loop.served import load_plain
from homeostat.registry.bundle import SIGNATURE_FILE, Statement, make_bundle, read_bundle
from homeostat.registry.keys import Trust, key_id, public_pem, read_public, signing_key, trusted
from homeostat.registry.signing import export_version, verify_folder
from homeostat.registry.types import ModelVersion
from homeostat.server.folder import KEYS, MANIFEST, PACKAGE, is_exported
from homeostat.serving.compiling.catalogue import Record, find_compiled
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

FORMAT = 1
ACTOR = "export"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `version.json` holds."""

    format: int
    version: ModelVersion
    compiled: Record | None = None


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A folder whose every byte was checked."""

    manifest: Manifest
    blobs: Any
    trust: Trust
    is_vouched: bool
    """Whether a key that the settings trust signed it, not only one that came along."""

    @property
    def version(self) -> ModelVersion:
        return self.manifest.version


def export_for_serving(
    settings: Settings, database: Database, blobs: BlobStore, version: ModelVersion, folder: Path
) -> list[str]:
    """Write a version into a new or empty folder, from which it can be served; returns what was written.

    One that nobody has looked at is looked at first, and compiled.

    Raises:
        Refused: when it cannot answer, or takes features that are looked up, which only a catalogue has.
        Conflict: when the folder holds something already.
    """
    if version.signature.feature_hash:
        raise Refused(
            f"{version.ref} takes declared features, which are looked up in the catalogue",
            field="version",
            next_step=f"serve it beside its catalogue: homeostat serve {version.ref}",
        )
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder.name!r} is not empty", field="folder", next_step="name a new folder")
    inspection, at = Inspection(database, blobs, settings), SystemClock().now()
    version = inspection.of(version.model, version.version, at=at, actor=ACTOR)
    check_answers(version)
    trust, key = trusted(settings), signing_key(settings)
    export_version(blobs, version, trust, folder / PACKAGE)
    compiled = _write_compiled(database, blobs, version, folder)
    _write_keys(folder / KEYS, version, compiled, trust, key.public_key())
    manifest = Manifest(format=FORMAT, version=version, compiled=compiled)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    files = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in _files_in(folder)}
    about = {"exported": version.ref, "package_digest": version.package.digest}
    bundle = make_bundle(key, Statement(name=version.model, files=files, about=about))
    (folder / SIGNATURE_FILE).write_bytes(msgspec.json.encode(bundle))
    return sorted([*files, SIGNATURE_FILE])


def open_exported(folder: Path, settings: Settings) -> Exported:
    """Check a folder's signature and every byte of it.

    With trusted keys in the settings (`trusted_keys`, or a home that has keys) one of them must have signed it.
    Without, the key that came along shows that nothing was changed since; pickles are then not opened.

    Raises:
        NotFound: when it is no such folder.
        Refused: when the signer is not trusted.
        Corrupt: naming the file that was changed, added or is missing.
    """
    if not is_exported(folder):
        raise NotFound(
            f"{folder.name!r} holds no {MANIFEST}",
            field="folder",
            next_step="make one: homeostat model export NAME@VERSION DIR --serving",
        )
    known, brought = trusted(settings), _read_keys(folder / KEYS)
    is_vouched = bool(known.keys) or known.required
    verify_folder(folder, known if is_vouched else Trust(brought))
    manifest = _read_manifest(folder)
    version = manifest.version
    files = {file.digest: folder / PACKAGE / path for path, file in version.package.manifest.items()}
    if manifest.compiled is not None and manifest.compiled.blob is not None:
        files[manifest.compiled.blob] = folder / FILE
    trust = Trust({**brought, **known.keys}, known.required)
    return Exported(manifest=manifest, blobs=FolderBlobs(folder, files), trust=trust, is_vouched=is_vouched)


def load_exported(exported: Exported) -> Served:
    """The version, ready to answer.

    Raises:
        Refused: when it holds a pickle and nobody vouches for who signed it.
    """
    version = exported.version
    if _holds_pickle(version, exported.trust) and not exported.is_vouched:
        raise Refused(
            f"{version.ref} holds a pickle, which runs code when it is read, and its signer is not trusted here",
            field="trusted_keys",
            next_step="set HOMEOSTAT_TRUSTED_KEYS to the signer's public key (homeostat keys show, where it was made)",
        )

    def compiled(found: ModelVersion) -> Serving | None:
        record = exported.manifest.compiled
        return scorer_of_record(exported.blobs, found, record, exported.trust)[0] if record is not None else None

    return load_plain(exported.blobs, version, exported.trust, compiled)


class FolderBlobs(BlobStore):
    """The files of an exported folder by their digests; nothing can be put."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        super().__init__(str(folder))
        self._files = files

    def open(self, digest: str) -> IO[bytes]:
        path = self._files.get(digest)
        if path is None or not path.is_file():
            raise NotFound(f"blob {digest[:12]} is missing", next_step="export the version anew")
        return path.open("rb")


def _holds_pickle(version: ModelVersion, trust: Trust) -> bool:
    return version.signed is not None and bool(read_bundle(version.signed, trust).about.get("pickle"))


def _read_manifest(folder: Path) -> Manifest:
    data = (folder / MANIFEST).read_bytes()
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{MANIFEST} cannot be read: {error}", field=MANIFEST, next_step="export anew") from error
    if manifest.format != FORMAT:
        raise Corrupt(
            f"{MANIFEST} has format {manifest.format}, this release reads {FORMAT}",
            field=MANIFEST,
            next_step="export it with this release",
        )
    return manifest


def _write_compiled(database: Database, blobs: BlobStore, version: ModelVersion, folder: Path) -> Record | None:
    with database.read() as conn:
        record = find_compiled(conn, version.package.digest)
    if record is None or record.blob is None or record.trouble:
        return None
    (folder / FILE).write_bytes(blobs.get(record.blob))
    return record


def _write_keys(
    folder: Path, version: ModelVersion, compiled: Record | None, trust: Trust, own: ec.EllipticCurvePublicKey
) -> None:
    """Of everybody whose signature is in the folder: this one's vouches for the others."""
    bundles = [signed for signed in (version.signed, compiled.signed if compiled else None) if signed]
    keys = {key_id(own): own} | {
        signer: trust.keys[signer] for signer in (read_bundle(bundle, trust).key_id for bundle in bundles)
    }
    folder.mkdir()
    for signer, key in keys.items():
        (folder / f"{signer}.pem").write_bytes(public_pem(key))


def _read_keys(folder: Path) -> dict[str, ec.EllipticCurvePublicKey]:
    keys = [read_public(path) for path in sorted(folder.glob("*.pem"))]
    return {key_id(key): key for key in keys}


def _files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
