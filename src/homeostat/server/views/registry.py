"""The registry as people ask about it: times as text, versions with what stands on them, without their bulk."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.registry.lookup import aliases_of
from homeostat.registry.promotion import Promoted, Request
from homeostat.registry.requirements import metrics_of, spell
from homeostat.registry.stages import Stage
from homeostat.registry.types import AliasMove, Model, ModelVersion
from homeostat.server.views.compiled import scorers_of

Plain = dict[str, Any]
_BULK = ("bins", "signed", "signature", "evaluation", "package")


def registered_view(model: Model) -> Plain:
    """A model as the registry knows it."""
    return _times(msgspec.to_builtins(model), "created", "updated", "deleted")


def lines_of(conn: Connection, model: str, versions: Iterable[ModelVersion]) -> list[Plain]:
    """Versions of a model in a list."""
    standing, found = aliases_of(conn, model), list(versions)
    scorers = scorers_of(conn, found)
    return [_line(version, standing) | {"scorer": scorers[version.package.digest]} for version in found]


def whole_version(conn: Connection, version: ModelVersion) -> Plain:
    """Everything about a version but its reference bins."""
    return _line(version, aliases_of(conn, version.model)) | {
        "signature": msgspec.to_builtins(version.signature),
        "evaluation": version.evaluation,
        "files": msgspec.to_builtins(version.package.manifest),
        "scorer": scorers_of(conn, [version])[version.package.digest],
    }


def move_view(move: AliasMove) -> Plain:
    """A row of the ledger."""
    return _times(msgspec.to_builtins(move), "at")


def request_view(request: Request) -> Plain:
    """A request for a promotion."""
    return _times(msgspec.to_builtins(request), "asked", "decided")


def promoted_view(promoted: Promoted) -> Plain:
    """What came of a promotion: the move, or the request that waits."""
    return {
        "move": move_view(promoted.move) if promoted.move else None,
        "request": request_view(promoted.request) if promoted.request else None,
    }


def stage_view(stage: Stage) -> Plain:
    """A declared stage; what it requires as data and as people write it."""
    requires = [msgspec.to_builtins(item) | {"text": spell(item)} for item in stage.requires]
    return {"name": stage.name, "requires": requires, "approval": stage.approval}


def standing_view(model: str, alias: str, time: int, move: AliasMove | None) -> Plain:
    """Where an alias stood at a time, since when and why; `version` and `ref` are null when it stood on none."""
    version = None if move is None else move.to_version
    return {
        "model": model,
        "alias": alias,
        "time": to_iso(time),
        "version": version,
        "ref": None if version is None else f"{model}@{version}",
        "move": None if move is None else move_view(move),
    }


def _line(version: ModelVersion, standing: Mapping[str, int]) -> Plain:
    view = _times(msgspec.to_builtins(version), "created", "updated")
    for key in _BULK:
        del view[key]
    return view | {
        "ref": version.ref,
        "flavor": version.package.flavor,
        "aliases": [alias for alias, number in standing.items() if number == version.version],
        "metrics": metrics_of(version),
        "is_signed": version.signed is not None,
    }


def _times(view: Plain, *keys: str) -> Plain:
    return view | {key: to_iso(view[key]) for key in keys if view.get(key) is not None}
