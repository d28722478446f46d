"""Tokens and webhooks as plain data, without their secrets."""

from typing import Any

import msgspec

from homeostat.ground.clock import from_iso, parse_duration, to_iso
from homeostat.loop.webhooks import Webhook
from homeostat.server.tokens import Token


def token_view(token: Token) -> dict[str, Any]:
    """A token with times as text."""
    view = msgspec.to_builtins(token)
    return with_times(view, "created", "expires", "used", "revoked")


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """A webhook with times as text."""
    return with_times(msgspec.to_builtins(webhook), "created", "updated")


def with_times(view: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The same with microseconds as ISO text."""
    return view | {key: to_iso(view[key]) for key in keys if view[key] is not None}


def moment_after(text: str, now: int, *, field: str) -> int:
    """A moment, written as a time ('2027-01-01T00:00:00Z') or as a duration from now ('90d').

    >>> moment_after("2us", 5, field="expires")
    7
    """
    return from_iso(text, field=field) if "-" in text else now + parse_duration(text, field=field)
