"""Moves of the champion: alias, ledger and routing change together, in one transaction."""

from typing import Any

from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.loop.declaration import get_declaration
from homeostat.registry.aliases import remove_alias, set_alias
from homeostat.registry.aliases import rollback as roll_alias_back
from homeostat.registry.lookup import aliases_of
from homeostat.registry.types import AliasMove
from homeostat.rollout.store import abort_rollout, running_rollout
from homeostat.serving.endpoints import find_endpoint, set_routing
from homeostat.serving.types import Arm
from homeostat.store.events import append_event
from homeostat.store.outbox import enqueue

CHAMPION = "champion"
CHALLENGER = "challenger"


def champion_number(conn: Connection, model: str) -> int | None:
    """The version in service; None before the first."""
    return aliases_of(conn, model).get(CHAMPION)


def put_in_service(
    conn: Connection,
    model: str,
    version: int,
    *,
    at: int,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    key: str,
) -> None:
    """Make a version the champion and send it all traffic; the same `key` a second time changes nothing."""
    set_alias(
        conn, model, CHAMPION, version, at=at, actor=actor, reason=reason, evidence=evidence, key=key, kind="promote"
    )
    route(conn, model, [Arm(version=version, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
    notify(conn, "version.promoted", model, at=at, version=version, reason=reason)


def route(
    conn: Connection,
    model: str,
    arms: list[Arm],
    *,
    at: int,
    actor: str,
    reason: str,
    shadows: list[int] | None = None,
) -> None:
    """Set which versions answer on the model's endpoint and which only look on."""
    try:
        sticky = get_declaration(conn, model).sticky
    except NotFound:
        sticky = None  # registered by hand, never declared
    set_routing(
        conn, model, model=model, arms=arms, shadows=shadows or [], sticky=sticky, at=at, actor=actor, reason=reason
    )


def move_alias(
    conn: Connection, model: str, alias: str, version: int | None, *, at: int, actor: str, reason: str
) -> AliasMove:
    """Set an alias by hand, or (`version` None) take it away. A champion that is served takes its traffic with it.

    Raises:
        Conflict: when the champion of a served model would go away, or a rollout is under way.
    """
    if alias != CHAMPION or find_endpoint(conn, model) is None:
        if version is None:
            return remove_alias(conn, model, alias, at=at, actor=actor, reason=reason)
        return set_alias(conn, model, alias, version, at=at, actor=actor, reason=reason)
    if version is None:
        raise Conflict(
            f"{model!r} is in service and needs a champion", field="alias", next_step="move it to another version"
        )
    if running_rollout(conn, model) is not None:
        raise Conflict(
            f"a rollout of {model!r} is under way and will move its champion",
            field="alias",
            next_step="wait for it, or roll back first",
        )
    row = set_alias(conn, model, CHAMPION, version, at=at, actor=actor, reason=reason)
    route(conn, model, [Arm(version=version, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
    notify(conn, "version.promoted", model, at=at, version=version, reason=reason)
    return row


def roll_back(conn: Connection, model: str, *, at: int, actor: str, reason: str, to: int | None = None) -> AliasMove:
    """One call back: stop a running rollout, move the champion to the version before, and route to it.

    Raises:
        Conflict: when there is nothing to go back to.
    """
    if (rollout := running_rollout(conn, model)) is not None:
        abort_rollout(conn, rollout.id, at=at, actor=actor, reason=f"rolled back by {actor}: {reason}")
    row = roll_alias_back(conn, model, alias=CHAMPION, at=at, actor=actor, reason=reason, to=to)
    assert row.to_version is not None  # a rollback always lands on a version
    route(conn, model, [Arm(version=row.to_version, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
    notify(conn, "version.rolled_back", model, at=at, version=row.to_version, reason=reason)
    return row


def notify(conn: Connection, topic: str, model: str, *, at: int, **details: Any) -> None:
    """Tell the outside, through the outbox."""
    enqueue(conn, topic, {"topic": topic, "model": model, "at": at, **details})


def record(conn: Connection, kind: str, model: str, *, at: int, actor: str, reason: str, **data: Any) -> None:
    """Append an event about a model."""
    append_event(conn, kind, subject=model, at=at, actor=actor, reason=reason, data=data)
