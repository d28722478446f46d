"""Promotions of a model that may be served: a stage whose alias is the champion takes the traffic along."""

from sqlalchemy.engine import Connection

from homeostat.loop.releases import CHAMPION, move_alias, override, with_traffic
from homeostat.registry import promotion
from homeostat.registry.promotion import Promoted
from homeostat.registry.stages import stages_of
from homeostat.registry.types import AliasMove, ModelVersion


def promote(
    conn: Connection,
    model: str,
    version: int,
    stage: str,
    *,
    at: int,
    actor: str,
    reason: str = "",
    force: bool = False,
) -> Promoted:
    """`registry.promotion.promote`, with the traffic. To be champion is to be in service, be it a stage or not."""
    if stage == CHAMPION and not any(declared.name == stage for declared in stages_of(conn, model)):
        move = move_alias(conn, model, stage, version, at=at, actor=actor, reason=reason, force=force, kind="promote")
        return Promoted(move=move)
    with with_traffic(conn, model, at=at, actor=actor, reason=reason):
        evidence = override(conn, model, version, force=force) if stage == CHAMPION else {}
        return promotion.promote(conn, model, version, stage, at=at, actor=actor, reason=reason, evidence=evidence)


def approve(conn: Connection, request_id: str, *, at: int, actor: str, comment: str = "") -> AliasMove | None:
    """`registry.promotion.approve`, with the traffic."""
    request = promotion.get_request(conn, request_id)
    with with_traffic(conn, request.model, at=at, actor=actor, reason=request.reason):
        if request.stage == CHAMPION:
            override(conn, request.model, request.version, force=False)
        return promotion.approve(conn, request_id, at=at, actor=actor, comment=comment)


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
    """`registry.promotion.transition`, with the traffic."""
    with with_traffic(conn, model, at=at, actor=actor, reason=reason):
        if stage == CHAMPION:
            override(conn, model, version, force=False)
        return promotion.transition(
            conn, model, version, stage, archive_others=archive_others, at=at, actor=actor, reason=reason
        )
