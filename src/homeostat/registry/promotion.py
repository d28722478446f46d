"""Promotion: whether a version may enter a stage, asking somebody else where that is required, and entering it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict, Denied, NotFound, Refused
from homeostat.ground.ids import new_id
from homeostat.registry import store
from homeostat.registry.aliases import rollback_target
from homeostat.registry.ledger import moves_of
from homeostat.registry.lookup import aliases_of_key, model_key, names_of
from homeostat.registry.requirements import Finding, check
from homeostat.registry.stages import ARCHIVED, Stage, enter_stage, leave_stage, stage_named, stages_of
from homeostat.registry.types import AliasMove, ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.events import append_event


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asked to put a version into a stage that needs another person's word."""

    id: str
    model: str
    version: int
    stage: str
    state: Literal["pending", "approved", "rejected"]
    asked: int
    asked_by: str
    reason: str
    decided: int | None = None
    decided_by: str | None = None
    comment: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could be done with a version now, and if it is refused, why and what would mend it."""

    action: str
    allowed: bool
    why: str = ""
    next_step: str = ""


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """What asking for a promotion led to: a move of the stage's alias, or a request that waits."""

    move: AliasMove | None = None
    request: Request | None = None


def promote(
    conn: Connection,
    model: str,
    version: int,
    stage: str,
    *,
    at: int,
    actor: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Promoted:
    """Put a version into a stage if it shows what the stage requires; where another's word is needed, ask for it.

    `evidence` goes into the ledger beside the requirements.

    Raises:
        Refused: when a requirement is not met; the message has each with its numbers.
        Conflict: when the stage's alias stands on it already.
    """
    declared = stage_named(conn, model, stage)
    found = get_version(conn, model, version)
    if aliases_of_key(conn, model_key(conn, model)).get(stage) == found.version:
        raise Conflict(f"{found.ref} is in {stage} already", field="stage", next_step="nothing is left to do")
    findings = _findings(conn, found, declared)
    _refuse_failed(found, stage, findings)
    if declared.approval:
        return Promoted(request=_ask(conn, found, stage, at=at, actor=actor, reason=reason))
    shown = {"requirements": msgspec.to_builtins(findings)} | dict(evidence or {})
    move = enter_stage(conn, model, found.version, stage, at=at, actor=actor, reason=reason, evidence=shown)
    return Promoted(move=move)


def transition(
    conn: Connection,
    model: str,
    version: int,
    stage: str,
    *,
    archive_others: bool,
    at: int,
    actor: str,
    reason: str = "",
) -> ModelVersion:
    """Put a version into a stage, into none ('') or into the archive, at once: what MLflow's clients ask for.

    Raises:
        Refused: when a requirement is not met, or the stage needs somebody else's word; a request waits then.
    """
    if stage in ("", ARCHIVED):
        leave_stage(conn, model, version, to=stage, at=at, actor=actor, reason=reason)
        return get_version(conn, model, version)
    declared = stage_named(conn, model, stage)
    found = get_version(conn, model, version)
    findings = _findings(conn, found, declared)
    _refuse_failed(found, stage, findings)
    if declared.approval and found.stage != stage:
        raise Refused(
            f"{found.ref} may not enter {stage} without approval",
            field="stage",
            next_step=f"ask for it: homeostat model promote {found.ref} {stage}",
        )
    evidence = {"requirements": msgspec.to_builtins(findings)}
    enter_stage(
        conn,
        model,
        found.version,
        stage,
        archive_others=archive_others,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
    )
    return get_version(conn, model, version)


def approve(conn: Connection, request_id: str, *, at: int, actor: str, comment: str = "") -> AliasMove | None:
    """Agree to a request: the version enters the stage, and the ledger names both.

    Raises:
        Denied: when the one who asked approves.
        Refused: when what the stage requires is no longer met.
        Conflict: when the request has been decided.
    """
    request = _pending(conn, request_id)
    if actor == request.asked_by:
        raise Denied(
            f"{actor} asked for this and cannot approve it", field="actor", next_step="let somebody else approve it"
        )
    found = get_version(conn, request.model, request.version)
    findings = _findings(conn, found, stage_named(conn, request.model, request.stage))
    _refuse_failed(found, request.stage, findings)
    _decide(conn, request, "approved", at=at, actor=actor, comment=comment)
    evidence = {
        "requirements": msgspec.to_builtins(findings),
        "request": request.id,
        "asked_by": request.asked_by,
        "approved_by": actor,
    }
    return enter_stage(
        conn, request.model, found.version, request.stage, at=at, actor=actor, reason=request.reason, evidence=evidence
    )


def reject(conn: Connection, request_id: str, *, at: int, actor: str, comment: str = "") -> Request:
    """Turn a request down."""
    request = _pending(conn, request_id)
    _decide(conn, request, "rejected", at=at, actor=actor, comment=comment)
    return get_request(conn, request_id)


def get_request(conn: Connection, request_id: str) -> Request:
    """One request.

    Raises:
        NotFound: when there is none with this id.
    """
    row = conn.execute(store.requests.select().where(store.requests.c.id == request_id)).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no request {request_id!r:.80}", field="request", next_step="list the model's requests"
        )
    return _request(row, names_of(conn, [row["model"]]))


def list_requests(conn: Connection, model: str, *, pending: bool = False) -> list[Request]:
    """The requests of a model, newest first."""
    table = store.requests
    query = (
        table.select().where(table.c.model == model_key(conn, model)).order_by(table.c.asked.desc(), table.c.id.desc())
    )
    if pending:
        query = query.where(table.c.state == "pending")
    rows = conn.execute(query).mappings().all()
    names = names_of(conn, [row["model"] for row in rows])
    return [_request(row, names) for row in rows]


def allowed_actions(conn: Connection, model: str, version: int | str, *, actor: str) -> list[Action]:
    """What `actor` could do with a version now: entering each stage, deciding on requests, rolling back, deleting."""
    found = get_version(conn, model, version)
    key = model_key(conn, model)
    standing = aliases_of_key(conn, key)
    actions = [_may_enter(conn, found, stage, standing) for stage in stages_of(conn, model)]
    for request in list_requests(conn, model, pending=True):
        if request.version == found.version:
            own = request.asked_by == actor
            actions.append(
                Action(
                    action=f"approve {request.stage}",
                    allowed=not own,
                    why=f"{actor} asked for it" if own else "",
                    next_step="let somebody else approve it" if own else "",
                )
            )
    for alias, number in standing.items():
        if number == found.version:
            actions.append(_may_roll_back(conn, key, model, alias))
    held = [alias for alias, number in standing.items() if number == found.version]
    actions.append(
        Action(
            action="delete",
            allowed=not held,
            why=f"{', '.join(held)} stands on it" if held else "",
            next_step="move the alias first" if held else "",
        )
    )
    return actions


def _may_enter(conn: Connection, version: ModelVersion, stage: Stage, standing: Mapping[str, int]) -> Action:
    action = f"promote to {stage.name}"
    if standing.get(stage.name) == version.version:
        return Action(action=action, allowed=False, why="it is there already")
    failed = [finding for finding in _findings(conn, version, stage) if not finding.passed]
    if failed:
        why = "; ".join(f"{finding.text}: {finding.why}" for finding in failed)
        return Action(action=action, allowed=False, why=why, next_step="register a version that shows it")
    waits = any(
        request.version == version.version and request.stage == stage.name
        for request in list_requests(conn, version.model, pending=True)
    )
    if waits:
        return Action(
            action=action, allowed=False, why="a request waits for approval", next_step="approve or reject it"
        )
    return Action(action=action, allowed=True, next_step="somebody else must approve it" if stage.approval else "")


def _may_roll_back(conn: Connection, key: str, model: str, alias: str) -> Action:
    try:
        target = rollback_target(model, alias, moves_of(conn, key, alias), None)
    except Conflict as error:
        return Action(action=f"roll {alias} back", allowed=False, why=error.message, next_step=error.next_step)
    return Action(action=f"roll {alias} back", allowed=True, next_step=f"it goes to version {target}")


def _findings(conn: Connection, version: ModelVersion, stage: Stage) -> list[Finding]:
    moves = moves_of(conn, model_key(conn, version.model))
    was_in = frozenset(move.alias for move in moves if move.to_version == version.version)
    return [check(requirement, version, was_in=was_in) for requirement in stage.requires]


def _refuse_failed(version: ModelVersion, stage: str, findings: list[Finding]) -> None:
    failed = [f"{finding.text} ({finding.why})" for finding in findings if not finding.passed]
    if failed:
        raise Refused(
            f"{version.ref} may not enter {stage}: {'; '.join(failed)}",
            field="stage",
            next_step="register a version that shows it, or declare other requirements",
        )


def _ask(conn: Connection, version: ModelVersion, stage: str, *, at: int, actor: str, reason: str) -> Request:
    for request in list_requests(conn, version.model, pending=True):
        if (request.version, request.stage) == (version.version, stage):
            return request
    row = {
        "id": new_id(),
        "model": model_key(conn, version.model),
        "version": version.version,
        "stage": stage,
        "state": "pending",
        "asked": at,
        "asked_by": actor,
        "reason": reason,
        "comment": "",
    }
    conn.execute(store.requests.insert().values(**row))
    data = {"request": row["id"], "version": version.version, "stage": stage}
    append_event(conn, "promotion.asked", subject=version.model, at=at, actor=actor, reason=reason, data=data)
    return get_request(conn, str(row["id"]))


def _pending(conn: Connection, request_id: str) -> Request:
    request = get_request(conn, request_id)
    if request.state != "pending":
        raise Conflict(
            f"the request was {request.state} by {request.decided_by}", field="request", next_step="ask for it anew"
        )
    return request


def _decide(conn: Connection, request: Request, state: str, *, at: int, actor: str, comment: str) -> None:
    values: dict[str, Any] = {"state": state, "decided": at, "decided_by": actor, "comment": comment}
    conn.execute(store.requests.update().where(store.requests.c.id == request.id).values(**values))
    data = {"request": request.id, "version": request.version, "stage": request.stage}
    append_event(conn, f"promotion.{state}", subject=request.model, at=at, actor=actor, reason=comment, data=data)


def _request(row: Any, names: Mapping[str, str]) -> Request:  # a RowMapping of registry_requests
    return Request(**{**row, "model": names[row["model"]]})
