"""MLflow's aliases. Each move is a row of the ledger, and a champion that is served takes its traffic along."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.reach import actor_of
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.registry_reach import checked_alias, look_before, reachable_model, reachable_version
from homeostat.compat.mlflow.registry_view import version_view
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.errors import Invalid, NotFound
from homeostat.loop.releases import CHAMPION, move_alias
from homeostat.registry.lookup import aliases_of
from homeostat.registry.versions import get_version

_REASON = "through MLflow's API"


class SetAlias(msgspec.Struct):
    """registered-models/alias, POST."""

    name: str = ""
    alias: str = ""
    version: str | int = ""


class OneAlias(msgspec.Struct):
    """registered-models/alias, GET and DELETE."""

    name: str = ""
    alias: str = ""


def put(context: Context, body: SetAlias) -> dict[str, Any]:
    """Set an alias."""
    alias = checked_alias(require(body.alias, "alias"))
    at, actor = context.clock.now(), actor_of(context)
    if alias == CHAMPION:
        look_before(context, body.name, str(body.version))
    with context.database.write() as conn:
        found = reachable_version(context, conn, body.name, str(body.version))
        move_alias(conn, body.name, alias, found.version, at=at, actor=actor, reason=_REASON)
    return {}


def get(context: Context, body: OneAlias) -> dict[str, Any]:
    """The version an alias stands on; `latest` is the one with the highest number."""
    alias = checked_alias(require(body.alias, "alias"), reserved=False)
    with context.database.read() as conn:
        model = reachable_model(context, conn, body.name)
        if alias.lower() == "latest":
            number = model.newest
            if number is None:
                raise NotFound(f"Latest version not found for model {model.name}.", field="alias")
        elif alias in model.aliases:
            number = model.aliases[alias]
        else:
            raise Invalid(f"Registered model alias {alias} not found.", field="alias")
        return {"model_version": version_view(get_version(conn, model.name, number), model.aliases)}


def delete(context: Context, body: OneAlias) -> dict[str, Any]:
    """Take an alias away; one that is not there is gone already."""
    alias = checked_alias(require(body.alias, "alias"), reserved=False)
    with context.database.write() as conn:
        reachable_model(context, conn, body.name)
        if alias in aliases_of(conn, body.name):
            at, actor = context.clock.now(), actor_of(context)
            move_alias(conn, body.name, alias, None, at=at, actor=actor, reason=_REASON)
    return {}


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about what is in service
_AT = "/mlflow/registered-models/alias"

ROUTES = [
    Route(("POST",), _AT, SetAlias, put, "deploy", conflict=_STATE),
    Route(("GET",), _AT, OneAlias, get, "read"),
    Route(("DELETE",), _AT, OneAlias, delete, "deploy", conflict=_STATE),
]
