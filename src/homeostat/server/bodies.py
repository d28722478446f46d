"""The bodies that the control plane reads."""

from typing import Any

import msgspec


class ClockBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a driven clock is to move."""

    now: str


class RowsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of a source, as they become known."""

    rows: list[dict[str, Any]]


class CycleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A retraining that somebody asks for."""

    reason: str = "asked for by a person"
    actor: str = "person"
    params: dict[str, Any] = {}
    force: bool = False
    """Release even when a gate fails; recorded with the actor and the reason."""


class RollbackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A move of an alias back to an earlier version."""

    reason: str = "asked for by a person"
    actor: str = "person"
    to: int | None = None
    alias: str = "champion"


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made."""

    name: str
    permissions: tuple[str, ...] = ("read", "write")
    projects: list[str] | None = None
    expires: str | None = None
    """A time, or a duration such as '90d'; never, when nothing is said."""


class WebhookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook to be made."""

    name: str
    url: str
    events: tuple[str, ...] = ("*",)
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"
