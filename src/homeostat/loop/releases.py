"""Moves of aliases: alias, stage, ledger and routing change together, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound, Refused
from homeostat.loop.declaration import get_declaration
from homeostat.registry.aliases import remove_alias, set_alias
from homeostat.registry.aliases import rollback as roll_alias_back
from homeostat.registry.lookup import aliases_of
from homeostat.registry.stages import follow_alias, stages_of
from homeostat.registry.types import AliasMove
from homeostat.registry.versions import get_version
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
    move = set_alias(
        conn, model, CHAMPION, version, at=at, actor=actor, reason=reason, evidence=evidence, key=key, kind="promote"
    )
    follow_alias(conn, move, at=at)
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


@contextmanager
def with_traffic(
    conn: Connection, model: str, *, at: int, actor: str, reason: str, topic: str = "version.promoted"
) -> Iterator[None]:
    """Whatever moves the champion of a served model within this block takes its traffic along.

    Raises:
        Conflict: when the champion of a served model would go away, or a rollout is under way.
        Refused: when the new champion cannot answer. The move is undone with the caller's transaction.
    """
    before = champion_number(conn, model)
    yield
    version = champion_number(conn, model)
    if version == before or find_endpoint(conn, model) is None:
        return
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
    if not get_version(conn, model, version).signature.feature_hash:
        raise Refused(
            f"{model}@{version} cannot answer for {model!r}: it was registered without the features it takes",
            field="version",
            next_step=f"train one that can: homeostat train {model}",
        )
    route(conn, model, [Arm(version=version, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
    notify(conn, topic, model, at=at, version=version, reason=reason)


def move_alias(
    conn: Connection,
    model: str,
    alias: str,
    version: int | None,
    *,
    at: int,
    actor: str,
    reason: str,
    expected: int | UnsetType | None = UNSET,
) -> AliasMove:
    """Set an alias by hand, or (`version` None) take it away. A champion that is served takes its traffic with it.

    Raises:
        Conflict: when the champion of a served model would go away, a rollout is under way, or the alias stands
            elsewhere than `expected`.
        Refused: when the alias is a stage that asks for something; `promotions.promote` shows it.
    """
    with with_traffic(conn, model, at=at, actor=actor, reason=reason):
        if version is None:
            move = remove_alias(conn, model, alias, at=at, actor=actor, reason=reason)
        else:
            if aliases_of(conn, model).get(alias) != version:
                _refuse_guarded(conn, model, alias, version)
            move = set_alias(conn, model, alias, version, at=at, actor=actor, reason=reason, expected=expected)
        follow_alias(conn, move, at=at)
    return move


def roll_back(
    conn: Connection, model: str, *, alias: str = CHAMPION, at: int, actor: str, reason: str, to: int | None = None
) -> AliasMove:
    """One call back: move an alias to the version before. A champion's rollout stops, and its traffic goes along.

    Raises:
        Conflict: when there is nothing to go back to.
    """
    if alias == CHAMPION and (rollout := running_rollout(conn, model)) is not None:
        abort_rollout(conn, rollout.id, at=at, actor=actor, reason=f"rolled back by {actor}: {reason}")
    with with_traffic(conn, model, at=at, actor=actor, reason=reason, topic="version.rolled_back"):
        row = roll_alias_back(conn, model, alias=alias, at=at, actor=actor, reason=reason, to=to)
        follow_alias(conn, row, at=at)
    return row


def _refuse_guarded(conn: Connection, model: str, alias: str, version: int) -> None:
    """A stage that asks for something cannot be entered by setting its alias."""
    for stage in stages_of(conn, model):
        if stage.name == alias and (stage.requires or stage.approval):
            raise Refused(
                f"{alias} is a stage of {model!r} that asks for something",
                field="alias",
                next_step=f"promote it there: homeostat model promote {model}@{version} {alias}",
            )


def notify(conn: Connection, topic: str, model: str, *, at: int, **details: Any) -> None:
    """Tell the outside, through the outbox."""
    enqueue(conn, topic, {"topic": topic, "model": model, "at": at, **details})


def record(conn: Connection, kind: str, model: str, *, at: int, actor: str, reason: str, **data: Any) -> None:
    """Append an event about a model."""
    append_event(conn, kind, subject=model, at=at, actor=actor, reason=reason, data=data)
