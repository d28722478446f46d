"""The bodies of the registry's routes. `actor` counts where no tokens are asked for; with tokens it is their name."""

import msgspec
from msgspec import UNSET, UnsetType

from homeostat.ground.records import Signature
from homeostat.registry.stages import Stage


class ModelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model to be made."""

    name: str
    description: str = ""
    tags: dict[str, str] = {}
    actor: str = "person"


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change about a model or a version. A tag that becomes null is taken away."""

    description: str | None = None
    tags: dict[str, str | None] = {}
    actor: str = "person"


class RenameBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's other name."""

    new_name: str
    actor: str = "person"


class PackedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a package whose bytes were uploaded before."""

    digest: str


class VersionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version to be registered: a package as blobs, and what is known of it."""

    flavor: str
    files: dict[str, PackedFile]
    pickle_reason: str = ""
    """Why a pickle is allowed; signed with the package."""
    run: str | None = None
    """Id of the run it came from."""
    evaluation: dict[str, float] = {}
    """Metrics by name; what stages require is looked up here."""
    signature: Signature | None = None
    """What it takes and gives, as the client that packaged it has seen; else it is looked at when it is needed."""
    description: str = ""
    tags: dict[str, str] = {}
    actor: str = "person"


class AliasBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an alias is to stand: a version's number, or another alias."""

    version: int | str
    expected: int | UnsetType | None = UNSET
    """Move only if it stands on this version now (null: on none)."""
    force: bool = False
    """Put a version into service although callers will have to send or read something else; recorded."""
    reason: str = ""
    actor: str = "person"


class PromoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stage that a version is to enter."""

    stage: str
    reason: str = ""
    actor: str = "person"
    force: bool = False
    """Put a version into service although callers will have to send or read something else; recorded."""


class RetireBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a model goes out of service."""

    reason: str = ""
    actor: str = "person"


class DecideBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word on a request."""

    comment: str = ""
    actor: str = "person"


class StagesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stages in order; none: the default again."""

    stages: list[Stage]
    actor: str = "person"
