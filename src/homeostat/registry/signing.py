"""Signing: every registered package is signed with the project's key, and checked before anything of it is read."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric import ec

from homeostat.ground.clock import to_iso
from homeostat.ground.errors import Conflict, Corrupt, Invalid, NotFound, Refused
from homeostat.registry.bundle import SIGNATURE_FILE, Statement, make_bundle, read_bundle
from homeostat.registry.keys import Trust
from homeostat.registry.types import ModelVersion, PackageFile, StoredPackage
from homeostat.store.blobs import BlobStore

_CHUNK = 1 << 20
_RESTORE = "restore it from a backup, or roll back to another version"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A version whose files are those that were signed; `key_id` is empty when nobody signed it."""

    ref: str
    signed: bool
    key_id: str
    files: tuple[str, ...]
    pickle: dict[str, Any] | None = None
    """Who allowed a pickle, when and why."""


def sign_package(
    key: ec.EllipticCurvePrivateKey,
    blobs: BlobStore,
    package: StoredPackage,
    *,
    model: str,
    run_id: str,
    declaration: str = "",
    at: int,
    actor: str,
) -> dict[str, Any]:
    """The bundle of a package that is about to be registered. A pickle's permission is signed with it.

    `declaration`: digest of the declared file whose features the model takes; it is code, so it is signed too.
    """
    about: dict[str, Any] = {"flavor": package.flavor, "run": run_id, "signed_by": actor, "signed_at": to_iso(at)}
    if declaration:
        about["declaration"] = declaration
    if package.permission is not None:
        about["pickle"] = {"by": actor, "at": to_iso(at), "reason": package.permission.reason}
    files = {path: file.sha256 or _sha256_of(blobs, file) for path, file in package.manifest.items()}
    return make_bundle(key, Statement(name=model, files=files, about=about))


def check_signature(version: ModelVersion, trust: Trust) -> Statement | None:
    """What the signer said of a version; None when nobody signed it and that is not required.

    Raises:
        Refused: when it had to be signed and is not, or the signer is not trusted.
        Corrupt: naming the file that was added or is missing.
    """
    if version.signed is None:
        if trust.required:
            raise Refused(
                f"{version.ref} is not signed",
                field="require_signature",
                next_step="register it again, which signs it, or turn require_signature off",
            )
        return None
    said = read_bundle(version.signed, trust)
    _same_names(set(version.package.manifest), set(said.files), version.ref)
    if said.about.get("flavor", version.package.flavor) != version.package.flavor:
        raise Corrupt(
            f"{version.ref} was signed as {said.about['flavor']!r} and is now {version.package.flavor!r}",
            field="flavor",
            next_step=_RESTORE,
        )
    if "declaration" in said.about and version.lineage.get("file_digest") != said.about["declaration"]:
        raise Corrupt(
            f"the declared file of {version.ref} is not the one that was signed",
            field="file_digest",
            next_step=_RESTORE,
        )
    return said


def read_files(blobs: BlobStore, version: ModelVersion, said: Statement | None) -> Iterator[tuple[str, bytes]]:
    """Every file of a version, each checked before it is given.

    Raises:
        Corrupt: naming the file that was changed or is missing.
    """
    for path, file in sorted(version.package.manifest.items()):
        try:
            data = blobs.get(file.digest)
        except NotFound as error:
            raise _missing(path, version.ref) from error
        except Corrupt as error:
            raise _changed(path, version.ref) from error
        if said is not None and hashlib.sha256(data).hexdigest() != said.files[path]:
            raise _changed(path, version.ref)
        yield path, data


def open_checked(blobs: BlobStore, version: ModelVersion, path: str, said: Statement | None) -> IO[bytes]:
    """One file of a version as a stream at its beginning, read once beforehand to see that it is what was stored.

    Raises:
        Corrupt: naming the file, when it was changed or is missing.
    """
    hashed, measured = blake3(), hashlib.sha256()
    try:
        stream = blobs.open(version.package.manifest[path].digest)
    except NotFound as error:
        raise _missing(path, version.ref) from error
    while chunk := stream.read(_CHUNK):
        hashed.update(chunk)
        if said is not None:
            measured.update(chunk)
    stored = hashed.hexdigest() == version.package.manifest[path].digest
    if not stored or (said is not None and measured.hexdigest() != said.files[path]):
        stream.close()
        raise _changed(path, version.ref)
    stream.seek(0)
    return stream


def verify_version(blobs: BlobStore, version: ModelVersion, trust: Trust) -> Verified:
    """Check signature and every byte of a version, without reading any of it as a model."""
    said = check_signature(version, trust)
    files = tuple(path for path, _data in read_files(blobs, version, said))
    about = {} if said is None else said.about
    signer = "" if said is None else said.key_id
    return Verified(ref=version.ref, signed=said is not None, key_id=signer, files=files, pickle=about.get("pickle"))


def export_version(blobs: BlobStore, version: ModelVersion, trust: Trust, folder: Path) -> list[str]:
    """Write a version's files and its bundle into a new or empty folder, as `model_signing verify key` takes them.

    Raises:
        Conflict: when the folder holds something already.
        Invalid: when a file's path leads out of the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder.name!r} is not empty", field="folder", next_step="name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    said = check_signature(version, trust)
    written = []
    for path, data in read_files(blobs, version, said):
        target = folder / _inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        written.append(path)
    if version.signed is not None:
        (folder / SIGNATURE_FILE).write_bytes(msgspec.json.encode(version.signed))
        written.append(SIGNATURE_FILE)
    return written


def verify_folder(folder: Path, trust: Trust, *, signature: Path | None = None) -> Statement:
    """See that a folder holds exactly what its bundle says; links are refused.

    Raises:
        Refused: when the signer is not trusted, or a file is a link.
        Corrupt: naming the file that was changed, added or is missing.
        NotFound: when there is no bundle.
    """
    bundle = signature or folder / SIGNATURE_FILE
    if not bundle.is_file():
        raise NotFound(f"there is no {bundle.name}", field="signature", next_step="name the signature's file")
    try:
        said = read_bundle(msgspec.json.decode(bundle.read_bytes(), type=dict[str, Any]), trust)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{bundle.name} is not JSON", field="signature", next_step=_RESTORE) from error
    found = {path: file for path, file in _files_in(folder) if not _is_ignored(path, said) and file != bundle}
    _same_names(set(found), set(said.files), folder.name)
    for path, file in sorted(found.items()):
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != said.files[path]:
                raise _changed(path, folder.name)
    return said


def _same_names(found: set[str], signed: set[str], where: str) -> None:
    if added := sorted(found - signed):
        raise Corrupt(f"{added[0]} was added to {where} after it was signed", field=added[0], next_step=_RESTORE)
    if missing := sorted(signed - found):
        raise _missing(missing[0], where)


def _files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise Refused(f"{name} is a link", field=name, next_step="put the file itself there")
        if path.is_file():
            yield name, path


def _is_ignored(path: str, said: Statement) -> bool:
    return any(path == ignored or path.startswith(f"{ignored}/") for ignored in said.ignored)


def _inside(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in {"", ".", ".."} for part in parts) or path == SIGNATURE_FILE:
        raise Invalid(f"{path!r} cannot be a file of a package", field="path", next_step="name it within the folder")
    return path


def _sha256_of(blobs: BlobStore, file: PackageFile) -> str:
    digest = hashlib.sha256()
    with blobs.open(file.digest) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _missing(path: str, where: str) -> Corrupt:
    return Corrupt(f"{path} of {where} is missing", field=path, next_step=_RESTORE)


def _changed(path: str, where: str) -> Corrupt:
    return Corrupt(f"{path} of {where} was changed: it is not what was stored", field=path, next_step=_RESTORE)
