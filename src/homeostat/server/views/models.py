"""Models as people ask about them: what is in service, since when, why, and what was before."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.ground.errors import NotFound
from homeostat.loop.declaration import Declaration, get_declaration, list_declarations
from homeostat.loop.durable import list_cycles
from homeostat.loop.releases import CHALLENGER, CHAMPION
from homeostat.monitoring.accuracy import counts
from homeostat.monitoring.alarms import list_alarms
from homeostat.registry.aliases import history
from homeostat.registry.models import list_models
from homeostat.registry.types import Model, ModelVersion
from homeostat.registry.versions import count_versions, get_version, list_versions
from homeostat.rollout.store import running_rollout
from homeostat.server.views.compiled import scorers_of
from homeostat.server.views.cycles import cycle_view
from homeostat.serving.endpoints import find_endpoint


def models_view(conn: Connection) -> list[dict[str, Any]]:
    """One line a model: declared or registered, champion, what is moving."""
    declared = {declaration.model: declaration for declaration in list_declarations(conn)}
    registered = {model.name: model for model in list_models(conn)}
    names = sorted({*declared, *registered})
    return [_line(conn, name, declared.get(name), registered.get(name)) for name in names]


def _line(conn: Connection, name: str, declaration: Declaration | None, model: Model | None) -> dict[str, Any]:
    aliases = model.aliases if model else {}
    rollout = running_rollout(conn, name)
    return {
        "name": name,
        "task": declaration.task if declaration else _task(conn, name, aliases),
        "is_registered": model is not None,
        "champion": aliases.get(CHAMPION),
        "challenger": aliases.get(CHALLENGER),
        "versions": count_versions(conn, name) if model else 0,
        "rollout": rollout.state if rollout else None,
        "alarms": len(list_alarms(conn, name, is_open=True)),
        "description": model.description if model else "",
        "tags": model.tags if model else {},
        "aliases": aliases,
    }


def _task(conn: Connection, name: str, aliases: dict[str, int]) -> str | None:
    """What the champion of a model that was registered by hand answers."""
    champion = aliases.get(CHAMPION)
    return None if champion is None else get_version(conn, name, champion).signature.task or None


def model_view(conn: Connection, name: str) -> dict[str, Any]:
    """Everything about one model.

    Raises:
        NotFound: when it is neither declared nor registered.
    """
    lines = {line["name"]: line for line in models_view(conn)}
    if name not in lines:
        known = ", ".join(lines) or "none yet; declare one with: homeostat apply FILE"
        raise NotFound(f"there is no model {name!r}", field="model", next_step=f"known models: {known}")
    endpoint = find_endpoint(conn, name)
    is_registered = lines[name]["is_registered"]
    return lines[name] | {
        "declaration": _declaration(conn, name),
        "versions": _versions(conn, name) if is_registered else [],
        "endpoint": msgspec.to_builtins(endpoint) if endpoint else None,
        "counts": counts(conn, name),
        "alarms": [msgspec.to_builtins(alarm) for alarm in list_alarms(conn, name, is_open=True)],
        "ledger": ledger_view(conn, name) if is_registered else [],
        "cycles": [cycle_view(conn, cycle) for cycle in list_cycles(conn, name)],
    }


def _versions(conn: Connection, name: str) -> list[dict[str, Any]]:
    found = list_versions(conn, name)
    scorers = scorers_of(conn, found)
    return [version_view(version) | {"scorer": scorers[version.package.digest]} for version in found]


def _declaration(conn: Connection, name: str) -> dict[str, Any] | None:
    try:
        declaration = get_declaration(conn, name)
    except NotFound:
        return None
    return {
        "file": f"{declaration.root}/{declaration.file_name}",
        "label": declaration.label,
        "features": list(declaration.features),
        "inputs": [msgspec.to_builtins(column) for column in declaration.inputs],
        "gate": [gate.text for gate in declaration.gate],
        "retrain": [str(rule) for rule in declaration.retrain.conditions] if declaration.retrain else [],
    }


def version_view(version: ModelVersion) -> dict[str, Any]:
    """A version without its bulky parts (bins, signature)."""
    evaluation = version.evaluation.get("evaluation", {}) if version.evaluation else {}
    return {
        "version": version.version,
        "run": version.run_id,
        "flavor": version.package.flavor,
        "created": to_iso(version.created),
        "dataset": version.dataset,
        "metrics": evaluation.get("challenger", {}),
        "gates": version.evaluation.get("gates", []) if version.evaluation else [],
        "cause": version.lineage.get("cause", ""),
    }


def ledger_view(conn: Connection, name: str) -> list[dict[str, Any]]:
    """The promotion ledger, oldest first."""
    return [msgspec.to_builtins(row) | {"at": to_iso(row.at)} for row in history(conn, name)]
