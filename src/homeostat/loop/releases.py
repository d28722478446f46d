"""Moves of aliases: alias, stage, ledger and routing change together, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Refused
from homeostat.loop.compatible import differences
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.registry.aliases import remove_alias, set_alias
from homeostat.registry.aliases import rollback as roll_alias_back
from homeostat.registry.lookup import aliases_of
from homeostat.registry.stages import follow_alias, stages_of
from homeostat.registry.types import AliasMove, Kind, ModelVersion
from homeostat.registry.versions import get_version
from homeostat.rollout.stopping import stop_rollout
from homeostat.rollout.store import running_rollout
from homeostat.serving.endpoints import (
    find_endpoint,
    is_endpoint_name,
    list_endpoints,
    remove_endpoint,
    set_routing,
)
from homeostat.serving.types import FULL, Arm
from homeostat.store.events import append_event
from homeostat.store.outbox import enqueue

CHAMPION = "champion"
CHALLENGER = "challenger"
ELSEWHERE = "elsewhere"
"""Flavor of versions without a package: they are served elsewhere, and watched here."""


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
    shadows: list[int] | None = None,
) -> None:
    """Make a version the champion and send it all traffic; the same `key` a second time changes nothing."""
    move = set_alias(
        conn, model, CHAMPION, version, at=at, actor=actor, reason=reason, evidence=evidence, key=key, kind="promote"
    )
    follow_alias(conn, move, at=at)
    arm = Arm(version=version, weight=10_000, arm="stable")
    route(conn, model, [arm], shadows=shadows, at=at, actor=actor, reason=reason)
    notify(conn, "version.promoted", model, at=at, version=version, reason=reason)


def take_out_of_service(
    conn: Connection,
    model: str,
    *,
    back_to: int,
    at: int,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    key: str,
) -> None:
    """Move the champion, and all traffic, back to a version before; the same `key` a second time changes nothing."""
    move = roll_alias_back(
        conn, model, alias=CHAMPION, to=back_to, at=at, actor=actor, reason=reason, evidence=evidence, key=key
    )
    follow_alias(conn, move, at=at)
    route(conn, model, [Arm(version=back_to, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
    notify(conn, "version.rolled_back", model, at=at, version=back_to, reason=reason)


def route(
    conn: Connection,
    model: str,
    arms: list[Arm],
    *,
    at: int,
    actor: str,
    reason: str,
    shadows: list[int] | None = None,
    shadow_share: int = FULL,
) -> None:
    """Set which versions answer on the model's endpoint and which only look on."""
    sticky = get_declaration(conn, model).sticky if is_declared(conn, model) else None
    set_routing(
        conn,
        model,
        model=model,
        arms=arms,
        shadows=shadows or [],
        shadow_share=shadow_share,
        sticky=sticky,
        at=at,
        actor=actor,
        reason=reason,
    )


@contextmanager
def with_traffic(
    conn: Connection, model: str, *, at: int, actor: str, reason: str, topic: str = "version.promoted"
) -> Iterator[None]:
    """Whatever moves the champion of a model within this block takes its traffic along.

    The first champion that can answer puts the model into service; without one it goes out of service.

    Raises:
        Conflict: when the champion of a declared model that is served would go away, or a rollout is under way.
        Refused: when the new champion of a served model cannot answer. The move is undone with the caller's
            transaction.
    """
    before = champion_number(conn, model)
    yield
    version = champion_number(conn, model)
    endpoint = find_endpoint(conn, model)
    if version == before and (version is None or endpoint is not None):
        return
    if endpoint is not None and running_rollout(conn, model) is not None:
        raise Conflict(
            f"a rollout of {model!r} is under way and will move its champion",
            field="alias",
            next_step="wait for it, or roll back first",
        )
    if version is None:
        _without_champion(conn, model, at=at, actor=actor, reason=reason)
    elif endpoint is not None or can_serve(get_version(conn, model, version)):
        check_answers(get_version(conn, model, version))
        route(conn, model, [Arm(version=version, weight=10_000, arm="stable")], at=at, actor=actor, reason=reason)
        notify(conn, topic, model, at=at, version=version, reason=reason)


def _without_champion(conn: Connection, model: str, *, at: int, actor: str, reason: str) -> None:
    if find_endpoint(conn, model) is None:
        return
    if is_declared(conn, model):
        raise Conflict(
            f"{model!r} is in service and needs a champion",
            field="alias",
            next_step=f"move it to another version, or stop serving: homeostat model retire {model}",
        )
    remove_endpoint(conn, model, at=at, actor=actor, reason=reason)
    notify(conn, "model.retired", model, at=at, reason=reason)


def can_serve(version: ModelVersion) -> bool:
    """Whether a version can go into service: what it answers is known, and its model's name can be an endpoint's."""
    is_here = version.package.flavor != ELSEWHERE
    return is_here and bool(version.signature.task) and is_endpoint_name(version.model)


def check_answers(version: ModelVersion) -> None:
    """See that a version can answer.

    Raises:
        Refused: saying why not, or that nobody has looked.
    """
    if version.package.flavor == ELSEWHERE:
        raise Refused(
            f"{version.ref} is served elsewhere and only watched here: it has no package",
            field="version",
            next_step="register its package to serve it: homeostat model register",
        )
    if version.signature.task:
        return
    why = version.signature.obstacle or "it was registered without the features it takes, and nobody has looked at it"
    raise Refused(
        f"{version.ref} cannot answer for {version.model!r}: {why}",
        field="version",
        next_step=f"mend what it says, then: homeostat model inspect {version.ref}",
    )


def override(conn: Connection, model: str, version: int, *, force: bool) -> dict[str, Any]:
    """Evidence that a version replaces the one in service although callers will notice; empty when they will not.

    Versions of one declaration follow each other as the declaration changes; this is about those registered by hand.

    Raises:
        Refused: naming what differs, unless `force`.
    """
    endpoint = find_endpoint(conn, model)
    if endpoint is None or endpoint.stable.version == version:
        return {}
    serving, found = get_version(conn, model, endpoint.stable.version), get_version(conn, model, version)
    check_answers(found)
    if serving.signature.feature_hash and found.signature.feature_hash:
        return {}
    differs = differences(serving.signature, found.signature)
    if differs and not force:
        raise Refused(
            f"{found.ref} cannot take the place of {serving.ref}: {'; '.join(differs)}",
            field="version",
            next_step="register it for the same columns and answers, or say that callers have changed: --force",
        )
    return {"forced": True, "differs": differs} if differs else {}


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
    force: bool = False,
    kind: Kind = "set",
) -> AliasMove:
    """Set an alias by hand, or (`version` None) take it away. A champion takes the model's traffic with it.

    `force`: put a version into service although callers will have to send or read something else; recorded.

    Raises:
        Conflict: when the champion of a declared model that is served would go away, a rollout is under way, or the
            alias stands elsewhere than `expected`.
        Refused: when the alias is a stage that asks for something (`promotions.promote` shows it), or the version
            cannot take the place of the one in service.
    """
    with with_traffic(conn, model, at=at, actor=actor, reason=reason):
        if version is None:
            move = remove_alias(conn, model, alias, at=at, actor=actor, reason=reason)
        else:
            if aliases_of(conn, model).get(alias) != version:
                _refuse_guarded(conn, model, alias, version)
            move = set_alias(
                conn,
                model,
                alias,
                version,
                at=at,
                actor=actor,
                reason=reason,
                evidence=override(conn, model, version, force=force) if alias == CHAMPION else {},
                expected=expected,
                kind=kind,
            )
        follow_alias(conn, move, at=at)
    return move


def retire(conn: Connection, model: str, *, at: int, actor: str, reason: str) -> AliasMove | None:
    """Take a model out of service: rollouts stop, its endpoints go, its champion stands down. A rollback undoes it.

    Raises:
        Conflict: when it is not in service.
    """
    endpoints = list_endpoints(conn, model=model)
    if not endpoints:
        raise Conflict(f"{model!r} is not in service", field="model", next_step="see: homeostat model ls")
    for endpoint in endpoints:
        stop_rollout(conn, endpoint.name, at=at, actor=actor, reason=f"retired by {actor}: {reason}")
        remove_endpoint(conn, endpoint.name, at=at, actor=actor, reason=reason)
    move = None
    if champion_number(conn, model) is not None:
        move = remove_alias(conn, model, CHAMPION, at=at, actor=actor, reason=reason)
        follow_alias(conn, move, at=at)
    notify(conn, "model.retired", model, at=at, reason=reason)
    return move


def roll_back(
    conn: Connection, model: str, *, alias: str = CHAMPION, at: int, actor: str, reason: str, to: int | None = None
) -> AliasMove:
    """One call back: move an alias to the version before. A champion's rollout stops, and its traffic goes along.

    Raises:
        Conflict: when there is nothing to go back to.
    """
    if alias == CHAMPION:
        stop_rollout(conn, model, at=at, actor=actor, reason=f"rolled back by {actor}: {reason}")
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
