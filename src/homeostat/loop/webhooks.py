"""Webhooks: who wants to hear of which events. Made, changed, removed; what they hear is `webhook_delivery`'s part."""

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.ids import check_name, new_id
from homeostat.ground.outbound import check_url
from homeostat.loop import store
from homeostat.store.events import append_event, events
from homeostat.store.outbox import drop_waiting

Status = Literal["ACTIVE", "DISABLED"]
_EVENT = re.compile(r"\*|[a-z_]{1,40}\.(\*|[a-z_]{1,40})")
MAX_URL, MAX_TEXT = 2048, 5000


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver of events. Times are microseconds UTC. Its secret is not here, so nothing can show it."""

    id: str
    name: str
    url: str
    description: str
    events: tuple[str, ...]
    """Kinds such as 'run.ended', 'run.*' for all of runs, '*' for all, or MLflow's names ('model_version.created')."""
    status: Status
    created: int
    updated: int
    signs: bool
    """Whether it has a secret, so that deliveries are signed."""

    def wants(self, kind: str) -> bool:
        return not {kind, f"{kind.partition('.')[0]}.*", "*"}.isdisjoint(self.events)


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is UNSET stays."""

    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    status: str | UnsetType = UNSET


def create_webhook(
    conn: Connection,
    name: str,
    *,
    url: str,
    events: Sequence[str],
    description: str = "",
    secret: str = "",
    status: str = "ACTIVE",
    allowed: frozenset[str] = frozenset(),
    at: int,
    actor: str,
) -> Webhook:
    """Make a webhook; it hears of what happens from now on.

    Raises:
        Invalid: for a name, URL, event or status that cannot be.
        Refused: for a URL that leads into a private network and is not `allowed`.
    """
    given = WebhookChange(
        name=name, url=url, description=description, events=tuple(events), secret=secret, status=status
    )
    row = _checked(given, allowed) | {"id": new_id(), "created": at, "updated": at, "seen": newest_event(conn)}
    conn.execute(store.webhooks.insert().values(**row))
    append_event(conn, "webhook.created", subject=name, at=at, actor=actor, data={"webhook": row["id"]})
    return get_webhook(conn, str(row["id"]))


def list_webhooks(conn: Connection) -> list[Webhook]:
    """All webhooks, newest first."""
    return [_webhook(row) for row in conn.execute(store.webhooks.select().order_by(store.webhooks.c.id.desc()))]


def get_webhook(conn: Connection, webhook_id: str) -> Webhook:
    """One webhook.

    Raises:
        NotFound: when there is none with this id.
    """
    return _webhook(_row(conn, webhook_id))


def secret_of(conn: Connection, webhook_id: str) -> str:
    """What deliveries are signed with; for the delivery alone."""
    return str(_row(conn, webhook_id).secret)


def change_webhook(
    conn: Connection,
    webhook_id: str,
    change: WebhookChange,
    *,
    allowed: frozenset[str] = frozenset(),
    at: int,
    actor: str,
) -> Webhook:
    """Change what is set in `change`. A disabled webhook misses what happens meanwhile."""
    before = get_webhook(conn, webhook_id)
    row: dict[str, Any] = _checked(change, allowed) | {"updated": at}
    if row.get("status") == "ACTIVE" and before.status == "DISABLED":
        row["seen"] = newest_event(conn)
    if row.get("status") == "DISABLED":
        drop_waiting(conn, topic_of(webhook_id))
    conn.execute(store.webhooks.update().where(store.webhooks.c.id == webhook_id).values(**row))
    changed = sorted(set(row) - {"updated", "seen"})
    told = {"webhook": webhook_id, "changed": changed}
    append_event(conn, "webhook.changed", subject=before.name, at=at, actor=actor, data=told)
    return get_webhook(conn, webhook_id)


def remove_webhook(conn: Connection, webhook_id: str, *, at: int, actor: str) -> Webhook:
    """Take a webhook away, with what it was still to hear."""
    webhook = get_webhook(conn, webhook_id)
    drop_waiting(conn, topic_of(webhook_id))
    conn.execute(store.webhooks.delete().where(store.webhooks.c.id == webhook_id))
    append_event(conn, "webhook.removed", subject=webhook.name, at=at, actor=actor, data={"webhook": webhook_id})
    return webhook


def topic_of(webhook_id: str) -> str:
    """The topic of a webhook's messages in the outbox."""
    return f"webhook:{webhook_id}"


def newest_event(conn: Connection) -> int:
    """The number of the newest event; 0 before the first."""
    return int(conn.execute(sa.select(sa.func.max(events.c.seq))).scalar() or 0)


def _row(conn: Connection, webhook_id: str) -> Any:  # a Row of the table
    row = conn.execute(store.webhooks.select().where(store.webhooks.c.id == webhook_id)).first()
    if row is None:
        raise NotFound(f"there is no webhook {webhook_id!r}", field="webhook_id", next_step="see: homeostat webhook ls")
    return row


def _webhook(row: Any) -> Webhook:
    values = {key: getattr(row, key) for key in Webhook.__struct_fields__ if key not in {"signs", "events"}}
    return Webhook(**values, events=tuple(row.events), signs=bool(row.secret))


def _checked(change: WebhookChange, allowed: frozenset[str]) -> dict[str, Any]:
    given: dict[str, Any] = {
        key: value for key in change.__struct_fields__ if (value := getattr(change, key)) is not UNSET
    }
    if "name" in given:
        check_name(given["name"], what="webhook")
    if "url" in given:
        _check_length("url", given["url"], MAX_URL)
        check_url(given["url"], allowed=allowed)
    for key in ("description", "secret"):
        _check_length(key, given.get(key, ""), MAX_TEXT)
    if "events" in given:
        given["events"] = _checked_events(given["events"])
    if given.get("status", "ACTIVE") not in get_args(Status):
        raise Invalid(f"{given['status']!r} is no status", field="status", next_step="use ACTIVE or DISABLED")
    return given


def _checked_events(kinds: tuple[str, ...]) -> list[str]:
    wrong = [kind for kind in kinds if not _EVENT.fullmatch(kind)]
    if wrong or not kinds:
        text = f"{wrong[0]!r} is no kind of event" if wrong else "a webhook without events would hear nothing"
        raise Invalid(text, field="events", next_step="use kinds such as 'run.ended', 'alias.moved', 'run.*' or '*'")
    return list(dict.fromkeys(kinds))


def _check_length(field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise Invalid(f"{field} is longer than {limit} characters", field=field, next_step="shorten it")
