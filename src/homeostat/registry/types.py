"""The nouns of the registry."""

from typing import Any, Literal

import msgspec

from homeostat.ground.records import ColumnBins, Signature
from homeostat.store.blobs import digest_of

Kind = Literal["promote", "rollback", "set", "remove"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which versions gather, with where its aliases stand."""

    key: str
    """What it is known by whatever it is called; `name` may change, or be given to another model later."""
    name: str
    description: str
    created: int
    updated: int
    deleted: int | None = None
    aliases: dict[str, int] = {}
    newest: int | None = None
    """Number of the newest version; None while there is none."""
    tags: dict[str, str] = {}


class PicklePermission(msgspec.Struct, frozen=True):
    """Somebody's word that a package may hold a pickle, which runs code when it is read."""

    reason: str


class Package(msgspec.Struct, frozen=True):
    """A fitted model as files in a format that cannot run code when it is read."""

    flavor: str
    """One of `scorers.FLAVORS`."""
    files: dict[str, bytes]
    permission: PicklePermission | None = None


class PackageFile(msgspec.Struct, frozen=True):
    """One file of a stored package. `size` is bytes."""

    digest: str
    size: int
    sha256: str = ""
    """What model signing counts by; empty in versions from before signing."""


class StoredPackage(msgspec.Struct, frozen=True):
    """A package whose files are blobs: small enough to pass between processes, and what a version remembers."""

    flavor: str
    manifest: dict[str, PackageFile]
    permission: PicklePermission | None = None

    @property
    def digest(self) -> str:
        """BLAKE3 over flavor and manifest, files in name order."""
        files = [[path, file.digest, file.size] for path, file in sorted(self.manifest.items())]
        return digest_of(msgspec.json.encode([self.flavor, files]))


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a model: package, signature, reference bins, evaluation, lineage."""

    model: str
    version: int
    run_id: str | None
    package: StoredPackage
    package_digest: str
    signature: Signature
    bins: tuple[ColumnBins, ...]
    evaluation: dict[str, Any]
    dataset: str | None
    """Digest of the dataset version it was trained on."""
    lineage: dict[str, Any]
    created: int
    actor: str
    signed: dict[str, Any] | None = None
    """The bundle of model signing; None in versions from before signing."""
    source: str = ""
    """Where its maker said it comes from, such as `models:/m-...` or `runs:/...`; empty for the loop's own."""
    run_link: str = ""
    description: str = ""
    stage: str = ""
    """The declared stage it is in; empty for none."""
    updated: int = 0
    tags: dict[str, str] = {}

    @property
    def ref(self) -> str:
        """What people write: `late-arrival@4`."""
        return f"{self.model}@{self.version}"


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the ledger: an alias moved, when, by whom, why, on what evidence. `to_version` None: removed."""

    seq: int
    id: str
    model: str
    alias: str
    from_version: int | None
    to_version: int | None
    at: int
    actor: str
    reason: str
    evidence: dict[str, Any]
    kind: Kind
    key: str | None = None
    """Idempotency key of the call that made it."""
