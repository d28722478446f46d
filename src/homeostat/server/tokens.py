"""API tokens: made once, kept as a hash, found by it.

A token is 256 random bits, so one SHA-256 is as safe as a slow password hash and costs a microsecond per request.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.access import Identity, Permission
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.ids import check_name, new_id
from homeostat.server import store
from homeostat.store.events import append_event

PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
_SHAPE = re.compile(r"hs_[A-Za-z0-9_-]{43}")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; not its secret. Times are microseconds UTC. `projects` None: all of them."""

    id: str
    name: str
    permissions: list[Permission]
    projects: list[str] | None
    created: int
    expires: int | None
    used: int | None
    """When it was last seen, to the minute."""
    revoked: int | None
    actor: str
    """Who made it."""

    def holds_at(self, now: int) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    @property
    def identity(self) -> Identity:
        projects = None if self.projects is None else frozenset(self.projects)
        return Identity(self.name, frozenset(self.permissions), projects)


def create_token(
    conn: Connection,
    name: str,
    *,
    permissions: Sequence[str] = ("read", "write"),
    projects: Sequence[str] | None = None,
    expires: int | None = None,
    at: int,
    actor: str,
) -> tuple[Token, str]:
    """Make a token; the secret is returned here and never again.

    Raises:
        Invalid: for an unknown permission, an empty list of projects or a time that has passed.
    """
    check_name(name, what="token")
    secret = f"hs_{secrets.token_urlsafe(32)}"
    row = {
        "id": new_id(),
        "name": name,
        "hash": _hash(secret),
        "permissions": _checked_permissions(permissions),
        "projects": _checked_projects(projects),
        "created": at,
        "expires": _checked_expiry(expires, at),
        "used": None,
        "revoked": None,
        "actor": actor,
    }
    conn.execute(store.tokens.insert().values(**row))
    told = {"token": row["id"], "permissions": row["permissions"], "projects": row["projects"]}
    append_event(conn, "token.created", subject=name, at=at, actor=actor, data=told)
    return get_token(conn, str(row["id"])), secret


def list_tokens(conn: Connection) -> list[Token]:
    """All tokens, revoked and expired ones too, newest first."""
    return [_token(row) for row in conn.execute(store.tokens.select().order_by(store.tokens.c.id.desc())).mappings()]


def get_token(conn: Connection, token_id: str) -> Token:
    """One token.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(store.tokens.select().where(store.tokens.c.id == token_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no token {token_id!r}", field="token", next_step="see: homeostat token ls")
    return _token(row)


def revoke_token(conn: Connection, token_id: str, *, at: int, actor: str) -> Token:
    """End a token for good; one that was revoked before stays as it is."""
    token = get_token(conn, token_id)
    if token.revoked is None:
        conn.execute(store.tokens.update().where(store.tokens.c.id == token_id).values(revoked=at))
        append_event(conn, "token.revoked", subject=token.name, at=at, actor=actor, data={"token": token_id})
    return get_token(conn, token_id)


def find_token(conn: Connection, secret: str) -> Token | None:
    """The token with this secret, whether it still holds or not."""
    if not _SHAPE.fullmatch(secret):
        return None
    wanted = _hash(secret)
    row = conn.execute(store.tokens.select().where(store.tokens.c.hash == wanted)).mappings().first()
    # The look-up compares hashes of 256 random bits, whose timing says nothing of the secret; this holds all the same.
    return _token(row) if row is not None and hmac.compare_digest(str(row["hash"]), wanted) else None


def has_token(conn: Connection, *, now: int) -> bool:
    """Whether anybody could come in."""
    return any(token.holds_at(now) for token in list_tokens(conn))


def mark_used(conn: Connection, token_id: str, *, at: int) -> None:
    """Remember when a token was last seen."""
    later = sa.or_(store.tokens.c.used.is_(None), store.tokens.c.used < at)
    conn.execute(store.tokens.update().where(store.tokens.c.id == token_id, later).values(used=at))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Any) -> Token:  # a RowMapping; its values are what the table holds
    return msgspec.convert({str(key): value for key, value in row.items() if key != "hash"}, Token)


def _checked_permissions(permissions: Sequence[str]) -> list[str]:
    unknown = sorted(set(permissions) - set(PERMISSIONS))
    if unknown or not permissions:
        wrong = f"{unknown[0]!r} is no permission" if unknown else "a token without permissions opens nothing"
        raise Invalid(wrong, field="permissions", next_step=f"choose from: {', '.join(PERMISSIONS)}")
    if "admin" in permissions:  # who makes tokens can make one for anything
        return list(PERMISSIONS)
    return [permission for permission in PERMISSIONS if permission in permissions]


def _checked_projects(projects: Sequence[str] | None) -> list[str] | None:
    if projects is None:
        return None
    if not projects or not all(projects):
        raise Invalid(
            "a token for no project opens nothing", field="projects", next_step="name projects, or leave it out for all"
        )
    return sorted(set(projects))


def _checked_expiry(expires: int | None, now: int) -> int | None:
    if expires is not None and expires <= now:
        raise Invalid("the token would have ended already", field="expires", next_step="give a time to come")
    return expires
