"""Channels: who is told of alarms. Their URLs hold passwords, so nothing but the sending ever sees them."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.ground.ids import check_name, new_id
from homeostat.ground.outbound import check_url
from homeostat.monitoring.notify.urls import LOCAL, is_plain, masked, scheme_of
from homeostat.monitoring.notify.wants import Wants, checked
from homeostat.monitoring.store import channels, notices
from homeostat.store.events import append_event
from homeostat.store.outbox import drop_waiting

MAX_URL = 4_096


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told. Its URL is not here, so nothing can show it."""

    id: str
    name: str
    target: str
    """The URL without what may be secret in it."""
    wants: Wants
    created: int
    actor: str


def create_channel(
    conn: Connection, name: str, url: str, *, wants: Wants, allowed: frozenset[str] = frozenset(), at: int, actor: str
) -> Channel:
    """Make a channel; it is told of what is open, and of every change from now on.

    Raises:
        Conflict: when the name is taken.
        Invalid: for a name, URL or wish that cannot be.
        Refused: for a plain URL that leads into a private network and is not `allowed`.
    """
    check_name(name, what="channel")
    _check(url, allowed)
    if conn.execute(sa.select(channels.c.id).where(channels.c.name == name)).first() is not None:
        raise Conflict(f"there is a channel {name!r} already", field="name", next_step="remove it, or use another name")
    row = {"id": new_id(), "name": name, "url": url, "wants": msgspec.to_builtins(checked(wants))}
    conn.execute(channels.insert().values(**row, created=at, actor=actor))
    told = {"channel": row["id"], "target": masked(url), "wants": row["wants"]}
    append_event(conn, "channel.created", subject=name, at=at, actor=actor, data=told)
    return get_channel(conn, str(row["id"]))


def list_channels(conn: Connection) -> list[Channel]:
    """All channels by name."""
    return [_channel(row) for row in conn.execute(channels.select().order_by(channels.c.name)).mappings()]


def get_channel(conn: Connection, ref: str) -> Channel:
    """A channel by its id or name.

    Raises:
        NotFound: when there is none.
    """
    return _channel(_row(conn, ref))


def url_of(conn: Connection, ref: str) -> str:
    """Where messages go; for the sending alone."""
    return str(_row(conn, ref)["url"])


def remove_channel(conn: Connection, ref: str, *, at: int, actor: str) -> Channel:
    """Take a channel away, with what it was still to hear."""
    channel = get_channel(conn, ref)
    drop_waiting(conn, topic_of(channel.id))
    conn.execute(notices.delete().where(notices.c.channel == channel.id))
    conn.execute(channels.delete().where(channels.c.id == channel.id))
    append_event(conn, "channel.removed", subject=channel.name, at=at, actor=actor, data={"channel": channel.id})
    return channel


def topic_of(channel_id: str) -> str:
    """The topic of a channel's messages in the outbox."""
    return f"notify:{channel_id}"


def _check(url: str, allowed: frozenset[str]) -> None:
    scheme, (_, slashes, rest) = scheme_of(url), url.partition("://")
    usable = slashes and rest and scheme.isalnum() and len(url) <= MAX_URL
    if not usable or not url.isprintable() or url != url.strip():
        raise Invalid(
            "this is no URL that can be told",
            field="url",
            next_step="write https://host/path, or an apprise URL such as slack://..., mailto://..., pagerduty://...",
        )
    if scheme in LOCAL:
        raise Invalid(
            f"{scheme}:// tells this machine, and nobody is looking at it",
            field="url",
            next_step="use a service that people read",
        )
    if is_plain(url):
        check_url(url, allowed=allowed)


def _row(conn: Connection, ref: str) -> RowMapping:
    either = sa.or_(channels.c.id == ref, channels.c.name == ref)
    row = conn.execute(channels.select().where(either)).mappings().first()
    if row is None:
        raise NotFound(f"there is no channel {ref!r:.80}", field="channel", next_step="see: homeostat notify ls")
    return row


def _channel(row: RowMapping) -> Channel:
    return Channel(
        id=row["id"],
        name=row["name"],
        target=masked(row["url"]),
        wants=msgspec.convert(row["wants"], Wants),
        created=row["created"],
        actor=row["actor"],
    )
