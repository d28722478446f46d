"""From an Authorization header to an identity: Bearer, or Basic with the token as the password.

Both are what the MLflow client sends: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

import asyncio
import base64
import binascii
import hashlib
import sys
import time

from homeostat.ground.access import Identity
from homeostat.ground.clock import MINUTE, SystemClock
from homeostat.ground.errors import Unauthenticated
from homeostat.server.tokens import Token, find_token, mark_used
from homeostat.store.database import Database

TRUSTED_FOR = 0.2
"""Seconds for which a token found in the catalogue is not looked up again: how late a revocation elsewhere may be."""


class Keyring:
    """Knows tokens by their secrets and remembers the ones just seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[bytes, tuple[Token, float]] = {}
        self._marked: dict[str, int] = {}
        self._clock = SystemClock()

    async def identify(self, authorization: str | None) -> Identity:
        """Who sent this header.

        Raises:
            Unauthenticated: without a token, or with one that does not hold; it never says which part was wrong.
        """
        secret = read_secret(authorization)
        if secret is None:
            raise Unauthenticated(
                "this server wants a token",
                field="Authorization",
                next_step="set HOMEOSTAT_TOKEN, or MLFLOW_TRACKING_TOKEN for the MLflow client; "
                "make one with: homeostat token create NAME",
            )
        token = await self._find(secret)
        if token is None or not token.holds_at(self._clock.now()):
            raise Unauthenticated(
                "the token is unknown, has expired or was revoked",
                field="Authorization",
                next_step="make a new one: homeostat token create NAME",
            )
        self._mark(token)
        return token.identity

    def forget(self) -> None:
        """Look every token up again: one was revoked."""
        self._seen.clear()

    async def _find(self, secret: str) -> Token | None:
        key, now = hashlib.sha256(secret.encode()).digest(), time.monotonic()
        known = self._seen.get(key)
        if known is not None and now - known[1] < TRUSTED_FOR:
            return known[0]
        token = await asyncio.to_thread(self._look_up, secret)
        if token is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = (token, now)
        return token

    def _look_up(self, secret: str) -> Token | None:
        with self._database.read() as conn:
            return find_token(conn, secret)

    def _mark(self, token: Token) -> None:
        """Write down that it was used, once a minute at most and never in the way of the request."""
        now = self._clock.now()
        if now - self._marked.get(token.id, token.used or 0) < MINUTE:
            return
        self._marked[token.id] = now
        asyncio.get_running_loop().run_in_executor(None, self._write_mark, token.id, now)

    def _write_mark(self, token_id: str, now: int) -> None:
        try:
            with self._database.write() as conn:
                mark_used(conn, token_id, at=now)
        except Exception as error:  # noqa: BLE001  a busy catalogue costs a time of last use, not a request
            sys.stderr.write(f"token {token_id}: its last use could not be noted: {type(error).__name__}\n")


def read_secret(authorization: str | None) -> str | None:
    """The token of a header; None when there is none that could be one.

    >>> read_secret("Bearer hs_x"), read_secret("Digest x"), read_secret("Basic bWU6aHNfeA==")
    ('hs_x', None, 'hs_x')
    """
    kind, _, rest = (authorization or "").strip().partition(" ")
    if kind.lower() == "bearer":
        return rest.strip() or None
    if kind.lower() != "basic":
        return None
    try:
        _user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or None
