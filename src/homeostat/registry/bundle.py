"""Bundles: who signed which files, in the format of OpenSSF model signing 1.0.

A Sigstore bundle (JSON) around a DSSE envelope around an in-toto statement; the statement lists every file with its
SHA-256. `model_signing verify key` takes them, and what `model_signing sign key` makes is read here. The predicate's
member `homeostat`, which other verifiers pass over, says what the package is for and, for pickles, who allowed it.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from homeostat.ground.errors import Corrupt, Refused
from homeostat.registry.keys import Trust, hash_of, key_id

SIGNATURE_FILE = "model.sig"

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_IGNORED = (SIGNATURE_FILE, ".git", ".gitattributes", ".github", ".gitignore")
_MEND = "take the version from a backup, or register it again"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a signer said about a package."""

    name: str
    files: dict[str, str]
    """Path to SHA-256 in hex."""
    ignored: tuple[str, ...] = ()
    """Paths in a folder that the signer left out."""
    about: dict[str, Any] = {}
    """Homeostat's own member of the predicate."""
    key_id: str = ""


def make_bundle(key: ec.EllipticCurvePrivateKey, statement: Statement) -> dict[str, Any]:
    """Sign a statement."""
    payload = msgspec.json.encode(_in_toto(statement))
    signature = key.sign(_pre_authentication(payload), ec.ECDSA(hash_of(key.public_key())))
    envelope = {
        "payload": b64encode(payload).decode(),
        "payloadType": _PAYLOAD,
        "signatures": [{"sig": b64encode(signature).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": key_id(key.public_key())}, "tlogEntries": []}
    return {"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}


def read_bundle(bundle: Mapping[str, Any], trust: Trust) -> Statement:
    """The statement, when a trusted key signed it.

    Raises:
        Refused: naming the key when it is not a trusted one.
        Corrupt: when it is no such bundle, or its signature is not that key's.
    """
    try:
        signer, payload, signature = _opened(bundle)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _unreadable() from error
    public = trust.keys.get(signer)
    if public is None:
        raise Refused(
            f"the package is signed by key {signer}, which is not trusted here",
            field="trusted_keys",
            next_step="add that signer's public key to trusted_keys if you trust it; yours: homeostat keys show",
        )
    try:
        public.verify(signature, _pre_authentication(payload), ec.ECDSA(hash_of(public)))
    except InvalidSignature as error:
        raise Corrupt(f"the signature was changed: it is not one of key {signer}", next_step=_MEND) from error
    try:
        return _statement(msgspec.json.decode(payload), signer)
    except (KeyError, IndexError, TypeError, ValueError) as error:  # msgspec's own are ValueErrors
        raise _unreadable() from error


def _in_toto(statement: Statement) -> dict[str, Any]:
    files = sorted(statement.files.items(), key=lambda item: PurePosixPath(item[0]))  # as model signing orders them
    return {
        "_type": _STATEMENT,
        "subject": [{"name": statement.name, "digest": {"sha256": _root([digest for _, digest in files])}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(_IGNORED),
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in files],
            "homeostat": statement.about,
        },
    }


def _opened(bundle: Mapping[str, Any]) -> tuple[str, bytes, bytes]:
    envelope = bundle["dsseEnvelope"]
    signer = bundle["verificationMaterial"]["publicKey"]["hint"]
    (signature,) = envelope["signatures"]
    if bundle["mediaType"] != _BUNDLE or envelope["payloadType"] != _PAYLOAD or not isinstance(signer, str):
        raise ValueError("another kind of bundle")
    return signer, b64decode(envelope["payload"], validate=True), b64decode(signature["sig"], validate=True)


def _statement(said: dict[str, Any], signer: str) -> Statement:
    (subject,) = said["subject"]
    predicate = said["predicate"]
    how, listed = predicate["serialization"], predicate["resources"]
    kinds = (said["_type"], said["predicateType"], how["method"], how["hash_type"])
    if kinds != (_STATEMENT, _PREDICATE, "files", "sha256") or {item["algorithm"] for item in listed} - {"sha256"}:
        raise ValueError("another kind of statement")
    files = {item["name"]: item["digest"] for item in listed}
    if len(files) != len(listed) or _root([item["digest"] for item in listed]) != subject["digest"]["sha256"]:
        raise ValueError("its digests do not add up")
    ignored = tuple(how.get("ignore_paths", ()))
    plain = {"name": subject["name"], "files": files, "ignored": ignored, "about": predicate.get("homeostat", {})}
    return msgspec.convert(plain | {"key_id": signer}, Statement)


def _root(digests: list[str]) -> str:
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def _pre_authentication(payload: bytes) -> bytes:
    return f"DSSEv1 {len(_PAYLOAD)} {_PAYLOAD} {len(payload)} ".encode() + payload


def _unreadable() -> Corrupt:
    return Corrupt(
        f"the signature is not a bundle of model signing 1.0 ({SIGNATURE_FILE}) made with a key",
        field="signature",
        next_step="sign with `model_signing sign key`, or register the version again",
    )
