"""Declared stages: an ordered list of aliases whose moves have conditions; `staging -> production` by default.

MLflow's stages are the same thing under capital letters: several versions may be *in* a stage, its alias stands on
the one that entered last, and the ledger has every move of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.errors import Invalid, NotFound
from homeostat.registry import store
from homeostat.registry.aliases import check_alias
from homeostat.registry.ledger import move_alias
from homeostat.registry.lookup import aliases_of_key, model_key
from homeostat.registry.requirements import Requirement, checked
from homeostat.registry.types import AliasMove, Model, ModelVersion
from homeostat.registry.versions import get_version, list_versions, newest_by_stage
from homeostat.store.events import append_event

ARCHIVED = "archived"
_MOST = 20


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: its name, what a version must show to enter it, and whether somebody else must agree."""

    name: str
    requires: tuple[Requirement, ...] = ()
    approval: bool = False


DEFAULT = (Stage(name="staging"), Stage(name="production"))


def declare_stages(conn: Connection, stages: Sequence[Stage], *, model: str | None = None, at: int, actor: str) -> None:
    """Declare the stages of a model, or of every model that declares none. No stages: the default again.

    Raises:
        Invalid: when a name is given twice or is none, or a requirement is not usable.
    """
    names = [check_alias(stage.name) for stage in stages]
    if len(set(names)) != len(names) or ARCHIVED in names or len(names) > _MOST:
        raise Invalid(
            f"stages {', '.join(names)} cannot be declared",
            field="stages",
            next_step=f"name each once, at most {_MOST}, none of them {ARCHIVED!r}",
        )
    for stage in stages:
        for requirement in stage.requires:
            checked(requirement)
    key = "" if model is None else model_key(conn, model, lock=True)
    conn.execute(store.stages.delete().where(store.stages.c.model == key))
    rows = [
        {"model": key, "position": place, "stage": msgspec.to_builtins(stage)} for place, stage in enumerate(stages)
    ]
    if rows:
        conn.execute(store.stages.insert(), rows)
    append_event(conn, "stages.declared", subject=model or "*", at=at, actor=actor, data={"stages": names})


def stages_of(conn: Connection, model: str) -> tuple[Stage, ...]:
    """The stages of a model, in order."""
    for key in (model_key(conn, model), ""):
        query = sa.select(store.stages.c.stage).where(store.stages.c.model == key).order_by(store.stages.c.position)
        declared = conn.execute(query).scalars().all()
        if declared:
            return tuple(msgspec.convert(stage, Stage) for stage in declared)
    return DEFAULT


def stage_named(conn: Connection, model: str, name: str) -> Stage:
    """One stage of a model.

    Raises:
        NotFound: naming those there are.
    """
    stages = stages_of(conn, model)
    for stage in stages:
        if stage.name == name:
            return stage
    known = ", ".join(stage.name for stage in stages)
    raise NotFound(f"model {model!r:.80} has no stage {name!r:.80}", field="stage", next_step=f"its stages: {known}")


def enter_stage(
    conn: Connection,
    model: str,
    version: int,
    stage: str,
    *,
    archive_others: bool = True,
    at: int,
    actor: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> AliasMove | None:
    """Put a version into a stage without asking whether it may; `promotion.promote` asks.

    The version leaves the stage it was in. None when its alias stood on the version already.
    """
    key = model_key(conn, model, lock=True)
    found = get_version(conn, model, version)
    if found.stage and found.stage != stage:
        leave_stage(conn, model, version, at=at, actor=actor, reason=reason)
    if archive_others:
        for other in list_versions(conn, model):
            if other.stage == stage and other.version != version:
                _put(conn, key, other.version, ARCHIVED, at)
    _put(conn, key, version, stage, at)
    current = aliases_of_key(conn, key).get(stage)
    if current == version:
        return None
    return move_alias(
        conn,
        (key, model),
        stage,
        current=current,
        version=version,
        at=at,
        actor=actor,
        reason=reason,
        evidence=evidence,
        kind="promote",
    )


def leave_stage(
    conn: Connection, model: str, version: int, *, to: str = "", at: int, actor: str, reason: str = ""
) -> None:
    """Take a version out of its stage; the alias goes to the newest that is left there, or away."""
    key = model_key(conn, model, lock=True)
    stage = get_version(conn, model, version).stage
    _put(conn, key, version, to, at)
    if not stage or aliases_of_key(conn, key).get(stage) != version:
        return
    left = [other.version for other in list_versions(conn, model) if other.stage == stage]
    move_alias(
        conn,
        (key, model),
        stage,
        current=version,
        version=left[0] if left else None,
        at=at,
        actor=actor,
        reason=reason,
        kind="set" if left else "remove",
    )


def follow_alias(conn: Connection, move: AliasMove, *, at: int) -> None:
    """After a stage's alias was set by hand or rolled back: who it stands on is in the stage, who it left is not."""
    model, stage, left, entered = move.model, move.alias, move.from_version, move.to_version
    key = model_key(conn, model, lock=True)
    is_stage = stage in {declared.name for declared in stages_of(conn, model)}
    if not is_stage or aliases_of_key(conn, key).get(stage) != entered:
        return
    if left is not None and left != entered and _stage_of(conn, key, left) == stage:
        _put(conn, key, left, ARCHIVED, at)
    if entered is not None and _stage_of(conn, key, entered) != stage:
        leave_stage(conn, model, entered, to=stage, at=at, actor=move.actor, reason=move.reason)


def latest_versions(conn: Connection, model: str, stages: Iterable[str] = ()) -> list[ModelVersion]:
    """The newest version in each stage ('' for those in none), in the order of the stages; all stages by default."""
    key = model_key(conn, model)
    newest = newest_by_stage(conn, [key])[key]
    wanted = list(stages)
    return [newest[stage] for stage in wanted if stage in newest] if wanted else _in_order(conn, model, newest)


def latest_of_models(conn: Connection, models: Iterable[Model]) -> dict[str, list[ModelVersion]]:
    """`latest_versions` of many models at once, by their names."""
    found = list(models)
    newest = newest_by_stage(conn, [model.key for model in found])
    return {model.name: _in_order(conn, model.name, newest[model.key]) for model in found}


def _in_order(conn: Connection, model: str, newest: Mapping[str, ModelVersion]) -> list[ModelVersion]:
    if len(newest) < 2:  # as with most models
        return list(newest.values())
    order = ["", *(stage.name for stage in stages_of(conn, model)), ARCHIVED]
    undeclared = sorted(newest.keys() - set(order))  # a version stays in a stage that was taken away
    return [newest[stage] for stage in [*order, *undeclared] if stage in newest]


def _put(conn: Connection, key: str, version: int, stage: str, at: int) -> None:
    same = sa.and_(store.versions.c.model == key, store.versions.c.version == version)
    conn.execute(store.versions.update().where(same).values(stage=stage, updated=at))


def _stage_of(conn: Connection, key: str, version: int) -> str | None:
    table = store.versions
    query = sa.select(table.c.stage).where(table.c.model == key, table.c.version == version)
    return conn.execute(query).scalar()
