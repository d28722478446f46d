"""The project's signing key, and the public keys whose packages may be loaded.

`HOME/keys/signing.pem` (mode 0600) is made when the first version is registered; its public half is listed with the
trusted ones in `HOME/keys/trusted/`. Both places can be others by settings: `signing_key`, `trusted_keys`.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.ids import new_id
from homeostat.ground.settings import Settings

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
"""The curves of Sigstore, each with the hash it signs with."""


class Trust(msgspec.Struct, frozen=True):
    """Whose packages may be loaded."""

    keys: Mapping[str, ec.EllipticCurvePublicKey]
    """Public keys by key id."""
    required: bool = False
    """Refuse packages that nobody signed; without it, those of versions from before signing still load."""


def signing_key(settings: Settings) -> ec.EllipticCurvePrivateKey:
    """The project's key, made now when there is none; its public half becomes a trusted one.

    Raises:
        Invalid: when the file is no such key.
        NotFound: when the setting names a file that is not there: a key that was chosen is not replaced by a new one.
    """
    path = _signing_path(settings)
    if not path.is_file():
        if settings.signing_key:
            raise NotFound(
                "the file that signing_key names is not there",
                field="signing_key",
                next_step="mend HOMEOSTAT_SIGNING_KEY or signing_key in homeostat.toml; empty uses the project's own",
            )
        _make_key(path)
    key = _read_private(path)
    _list_as_trusted(settings, key.public_key())
    return key


def trusted(settings: Settings) -> Trust:
    """The keys that count now: the listed ones, and those of the setting `trusted_keys`."""
    keys = {key_id(key): key for path in _trusted_paths(settings) for key in [read_public(path)]}
    return Trust(keys, settings.require_signature)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key's PEM, as model signing writes it into its bundles."""
    return hashlib.sha256(public_pem(key)).hexdigest()


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as files hold it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_public(path: Path) -> ec.EllipticCurvePublicKey:
    """A public key from its file.

    Raises:
        Invalid: when it is none.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, OSError) as error:
        raise _no_key("trusted_keys", path) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise _no_key("trusted_keys", path)
    return key


def hash_of(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    """The hash that signatures of a key are made over."""
    return _HASHES[key.curve.name]


def _signing_path(settings: Settings) -> Path:
    return _placed(settings, settings.signing_key) if settings.signing_key else _folder(settings) / "signing.pem"


def _placed(settings: Settings, given: str) -> Path:
    """Relative to the home folder, not to the folder of the process: training children run in another one."""
    return settings.home_path / Path(given).expanduser()


def _folder(settings: Settings) -> Path:
    return settings.home_path / "keys"


def _trusted_paths(settings: Settings) -> Iterator[Path]:
    yield from sorted((_folder(settings) / "trusted").glob("*.pem"))
    for given in filter(None, (part.strip() for part in settings.trusted_keys.split(","))):
        path = _placed(settings, given)
        if not path.exists():
            raise NotFound(
                f"there is no key {path.name!r}",
                field="trusted_keys",
                next_step="trusted_keys lists PEM files or folders of them, separated by commas",
            )
        yield from sorted(path.glob("*.pem")) if path.is_dir() else [path]


def _make_key(path: Path) -> None:
    """Written whole, then linked: of two processes that make one at the same time, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(f".{new_id()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _list_as_trusted(settings: Settings, key: ec.EllipticCurvePublicKey) -> None:
    path = _folder(settings) / "trusted" / f"{key_id(key)}.pem"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{new_id()}")
    temporary.write_bytes(public_pem(key))
    temporary.replace(path)


def _read_private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, OSError) as error:  # TypeError: it is encrypted
        raise _no_key("signing_key", path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise _no_key("signing_key", path)
    return key


def _no_key(field: str, path: Path) -> Invalid:
    kind = "private" if field == "signing_key" else "public"
    return Invalid(
        f"{path.name!r} is not an unencrypted {kind} EC key in PEM (P-256, P-384 or P-521)",
        field=field,
        next_step=f"mend the file, or HOMEOSTAT_{field.upper()}",
    )
