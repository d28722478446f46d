"""Rollouts by hand: started for any registered version, paused, skipped ahead, approved, aborted.

Each verb keeps the person's decision, alias and routing in one transaction, with the name and the reason.
"""

import re
from collections.abc import Callable, Mapping

from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Invalid, NotFound
from homeostat.loop import releases
from homeostat.loop.declaration import get_declaration, is_declared
from homeostat.loop.rollouts import begin_rollout, carry_out
from homeostat.registry.aliases import set_alias
from homeostat.registry.versions import get_version
from homeostat.rollout import control
from homeostat.rollout.store import end_watches, get_rollout, last_rollout, running_rollout
from homeostat.rollout.types import Plan, canary, shadow
from homeostat.rollout.walk import Decision, Rollout
from homeostat.serving.endpoints import find_endpoint, get_endpoint
from homeostat.serving.types import FULL, Arm, Endpoint

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


def split(
    conn: Connection, model: str, weights: Mapping[int, float], *, at: int, actor: str, reason: str, force: bool = False
) -> Endpoint:
    """Send shares (per cent) of the traffic to versions, and the rest to the champion; nothing is decided from it.

    Without shares the champion answers everything again.

    Raises:
        Conflict: when the model is not in service, or a rollout is under way.
        Invalid: when the shares leave the champion less than nothing, or name it.
        Refused: when a version cannot answer, or cannot take the place of the one in service.
    """
    champion = releases.champion_number(conn, model)
    if champion is None or find_endpoint(conn, model) is None:
        raise Conflict(f"{model!r:.200} is not in service", field="model", next_step="promote a version first")
    if (running := running_rollout(conn, model)) is not None:
        raise Conflict(
            f"a rollout of version {running.candidate} is under way and sets the weights",
            field="model",
            next_step=f"let it end, or stop it: homeostat rollout abort {model}",
        )
    arms = []
    for version, share in weights.items():
        if version == champion or not 0 < share < 100:
            raise Invalid(
                f"{model}@{version} cannot be given {share:g} %",
                field="weights",
                next_step="give shares between 0 and 100 to other versions; the champion takes the rest",
            )
        releases.check_answers(get_version(conn, model, version))
        releases.override(conn, model, version, force=force)
        arms.append(Arm(version=version, weight=round(share * 100), arm="canary"))
    rest = FULL - sum(arm.weight for arm in arms)
    if rest < 0:
        raise Invalid("the shares add up to more than 100 %", field="weights", next_step="give the champion the rest")
    end_watches(conn, model)
    arms.insert(0, Arm(version=champion, weight=rest, arm="stable"))
    releases.route(conn, model, arms, at=at, actor=actor, reason=reason or "split by hand")
    return get_endpoint(conn, model)


def _decided(conn: Connection, ref: str, decide: Callable[[Rollout], Decision], at: int, actor: str) -> Rollout:
    found = find_rollout(conn, ref)
    decision = decide(found)
    carry_out(conn, decision, before=found, at=at, actor=actor)
    return decision.rollout


def _default_plan(conn: Connection, model: str) -> Plan:
    return get_declaration(conn, model).rollout if is_declared(conn, model) else shadow() >> canary(5, 25, 100)
