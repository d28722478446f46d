"""Our events as MLflow tells them: its names, and the bodies that its receivers read."""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_datetime
from homeostat.ground.errors import NotFound
from homeostat.registry.models import get_model
from homeostat.registry.search import IS_PROMPT
from homeostat.store.events import Event

ACTIONS: dict[str, tuple[str, ...]] = {
    "registered_model": ("created",),
    "model_version": ("created",),
    "model_version_tag": ("set", "deleted"),
    "model_version_alias": ("created", "deleted"),
    "prompt": ("created",),
    "prompt_version": ("created",),
    "prompt_tag": ("set", "deleted"),
    "prompt_version_tag": ("set", "deleted"),
    "prompt_alias": ("created", "deleted"),
    "budget_policy": ("exceeded",),
}
"""What can be subscribed to. Budgets are not kept here and tags of prompts not announced: nothing is told of those."""

_INTERNAL = (IS_PROMPT, "_mlflow_prompt_type")
_TEXT = "mlflow.prompt.text"
_OF_PROMPTS = {
    "registered_model": "prompt",
    "model_version": "prompt_version",
    "model_version_tag": "prompt_version_tag",
    "model_version_alias": "prompt_alias",
}
"""What a prompt's events are called: prompts are kept as models, as MLflow keeps them."""

_EXAMPLES: dict[str, dict[str, Any]] = {
    "name": {"name": "example_model"},
    "tags": {"tags": {"example_key": "example_value"}},
    "description": {"description": "An example model"},
    "version": {"version": "1"},
    "source": {"source": "models:/123", "run_id": "abcd1234abcd5678"},
    "key": {"key": "example_key"},
    "value": {"value": "example_value"},
    "alias": {"alias": "example_alias"},
}
_PARTS = {
    "registered_model.created": ("name", "tags", "description"),
    "model_version.created": ("name", "version", "source", "tags", "description"),
    "model_version_tag.set": ("name", "version", "key", "value"),
    "model_version_tag.deleted": ("name", "version", "key"),
    "model_version_alias.created": ("name", "alias", "version"),
    "model_version_alias.deleted": ("name", "alias"),
}


def is_event(name: str) -> bool:
    """Whether MLflow knows an event of this name.

    >>> is_event("model_version.created"), is_event("model_version.deleted"), is_event("run.ended")
    (True, False, False)
    """
    entity, _, action = name.partition(".")
    return action in ACTIONS.get(entity, ())


def body_of(conn: Connection, event: Event) -> tuple[str, dict[str, Any]] | None:
    """MLflow's name and body of an event of ours; None when MLflow tells nothing of it."""
    told = _told(event)
    if told is None:
        return None
    name, data = _of_prompt(*told) if _is_prompt(conn, event) else told
    return name, _wrapped(name, data, to_datetime(event.recorded))


def example_of(name: str, now: int) -> dict[str, Any]:
    """What a trial sends."""
    data: dict[str, Any] = {}
    for part in _PARTS.get(name, ("name",)):
        data |= _EXAMPLES[part]
    return _wrapped(name, data, to_datetime(now))


def _told(event: Event) -> tuple[str, dict[str, Any]] | None:
    data, name = event.data, event.subject
    match event.kind:
        case "model.created":
            about = {"tags": data.get("tags") or {}, "description": data.get("description") or None}
            return "registered_model.created", {"name": name} | about
        case "version.registered":
            return "model_version.created", _version(name, data)
        case "version.tag_set":
            told = {"name": name, "version": str(data["version"]), "key": data["key"], "value": data["value"]}
            return "model_version_tag.set", told
        case "version.tag_removed":
            return "model_version_tag.deleted", {"name": name, "version": str(data["version"]), "key": data["key"]}
        case "alias.moved" if data["to"] is None:
            return "model_version_alias.deleted", {"name": name, "alias": data["alias"]}
        case "alias.moved":
            return "model_version_alias.created", {"name": name, "alias": data["alias"], "version": str(data["to"])}
    return None


def _version(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "version": str(data["version"]),
        "source": data.get("source") or f"models:/{name}/{data['version']}",
        "run_id": data.get("run_id") or None,
        "tags": data.get("tags") or {},
        "description": data.get("description") or None,
    }


def _is_prompt(conn: Connection, event: Event) -> bool:
    tags = event.data.get("tags") or {}
    if IS_PROMPT not in tags:
        try:
            tags = get_model(conn, event.subject).tags
        except NotFound:  # deleted or renamed since
            return False
    return bool(tags.get(IS_PROMPT, "").lower() == "true")


def _of_prompt(name: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    entity, _, action = name.partition(".")
    told = {key: value for key, value in data.items() if key not in ("source", "run_id")}
    if "tags" in told:
        told["tags"] = {key: value for key, value in told["tags"].items() if key not in _INTERNAL}
    if entity == "model_version":
        told["template"] = told["tags"].pop(_TEXT, None)
    return f"{_OF_PROMPTS[entity]}.{action}", told


def _wrapped(name: str, data: dict[str, Any], moment: datetime) -> dict[str, Any]:
    entity, _, action = name.partition(".")
    return {"entity": entity, "action": action, "timestamp": moment.isoformat(), "data": data}
