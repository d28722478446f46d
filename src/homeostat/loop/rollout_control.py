"""Rollouts by hand: started for any registered version, paused, skipped ahead, approved, aborted.

Each verb keeps the person's decision, alias and routing in one transaction, with the name and the reason.
"""

import re
from collections.abc import Callable

from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, NotFound
from homeostat.loop import releases
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.loop.rollouts import begin_rollout, carry_out
from homeostat.registry.aliases import set_alias
from homeostat.registry.versions import get_version
from homeostat.rollout import control
from homeostat.rollout.store import get_rollout, last_rollout, running_rollout
from homeostat.rollout.types import Plan, canary, shadow
from homeostat.rollout.walk import Decision, Rollout

_ID = re.compile(r"[0-9a-f]{32}")


def start_by_hand(
    conn: Connection,
    model: str,
    version: int,
    *,
    plan: Plan | None,
    at: int,
    actor: str,
    reason: str,
    force: bool = False,
) -> Rollout:
    """Roll out a registered version, by default as the model declares it; it becomes the challenger.

    The first version of a model goes into service at once. `force`: although callers will have to send or read
    something else than now.

    Raises:
        Refused: when the version cannot answer, or cannot take the place of the one in service.
        Conflict: when a rollout is under way, or the version is in service already.
    """
    found = get_version(conn, model, version)
    releases.check_answers(found)
    stable = releases.champion_number(conn, model)
    if stable is not None:
        releases.check_answers(get_version(conn, model, stable))
    if stable not in {None, version}:
        releases.override(conn, model, version, force=force)
    rollout = begin_rollout(
        conn, model, version, plan=plan or _default_plan(conn, model), at=at, actor=actor, reason=reason
    )
    if rollout.state == "running":
        set_alias(
            conn,
            model,
            releases.CHALLENGER,
            version,
            at=at,
            actor=actor,
            reason=reason or f"rollout {rollout.id}",
            evidence={"rollout": rollout.id},
            key=f"{rollout.id}:challenger",
        )
    return rollout


def find_rollout(conn: Connection, ref: str) -> Rollout:
    """The rollout with this id, or the running (else the newest) one of the model of this name.

    Raises:
        NotFound: when there is neither.
    """
    if _ID.fullmatch(ref):
        return get_rollout(conn, ref)
    found = last_rollout(conn, ref)
    if found is None:
        raise NotFound(
            f"{ref!r:.200} has no rollout",
            field="rollout",
            next_step=f"start one with: homeostat rollout start {ref:.200}@VERSION",
        )
    return found


def pause(conn: Connection, ref: str, *, at: int, actor: str, reason: str) -> Rollout:
    """Nothing moves forward until it is resumed; the guards go on."""
    return _decided(conn, ref, lambda found: control.pause(found, now=at, actor=actor, reason=reason), at, actor)


def resume(conn: Connection, ref: str, *, at: int, actor: str, reason: str) -> Rollout:
    """Go on where it was paused."""
    return _decided(conn, ref, lambda found: control.resume(found, now=at, reason=reason), at, actor)


def approve(conn: Connection, ref: str, *, at: int, actor: str, reason: str) -> Rollout:
    """A person's word at an approval step."""
    return _decided(conn, ref, lambda found: control.approve(found, now=at, actor=actor, comment=reason), at, actor)


def promote(
    conn: Connection, ref: str, *, at: int, actor: str, reason: str, to_the_end: bool = False, force: bool = False
) -> Rollout:
    """Skip ahead by hand, past one step or straight to the promotion."""

    def skip(found: Rollout) -> Decision:
        if found.state == "held" and running_rollout(conn, found.endpoint) is not None:
            raise Conflict(
                f"another rollout of {found.model!r} is under way", field="rollout", next_step="let it end first"
            )
        return control.promote(found, now=at, actor=actor, reason=reason, to_the_end=to_the_end, force=force)

    return _decided(conn, ref, skip, at, actor)


def abort(conn: Connection, ref: str, *, at: int, actor: str, reason: str) -> Rollout:
    """End it; the stable version has all traffic again, and in the bake the alias, too."""
    return _decided(conn, ref, lambda found: control.abort(found, now=at, actor=actor, reason=reason), at, actor)


def _decided(conn: Connection, ref: str, decide: Callable[[Rollout], Decision], at: int, actor: str) -> Rollout:
    found = find_rollout(conn, ref)
    decision = decide(found)
    carry_out(conn, decision, before=found, at=at, actor=actor)
    return decision.rollout


def _default_plan(conn: Connection, model: str) -> Plan:
    return get_declaration(conn, model).rollout if is_declared(conn, model) else shadow() >> canary(5, 25, 100)
