"""The registry's routes: each decodes, calls one verb, encodes. A model belongs to the project of its name."""

from typing import Any

from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from homeostat.ground.access import Identity
from homeostat.server.permissions import HANDLER
from homeostat.server.registry import Registry
from homeostat.server.registry_bodies import (
    AliasBody,
    Change,
    DecideBody,
    ModelBody,
    PromoteBody,
    RenameBody,
    RetireBody,
    StagesBody,
    VersionBody,
)

READ = {"needs": "read", "project": "name"}
WRITE = {"needs": "write", "project": "name"}
DEPLOY = {"needs": "deploy", "project": "name"}
"""Whatever changes what a name leads to: aliases, stages, names, deletion."""

DEPLOY_ANY = {"needs": "deploy", "project": HANDLER}

Who = NamedDependency[Identity]
Plain = dict[str, Any]


def build_registry_routes(registry: Registry) -> list[HTTPRouteHandler]:
    """Every route of the registry; handlers run in threads, for the verbs block on the catalogue."""
    return [*_models(registry), *_versions(registry), *_aliases(registry), *_stages(registry), *_requests(registry)]


def _models(registry: Registry) -> list[HTTPRouteHandler]:
    @post("/api/models", opt={"needs": "write", "project": HANDLER}, sync_to_thread=True)
    def create(data: JSONBody[ModelBody], identity: Who) -> Plain:
        return registry.create(data, identity)

    @patch("/api/models/{name:str}", opt=WRITE, sync_to_thread=True)
    def change(name: FromPath[str], data: JSONBody[Change], identity: Who) -> Plain:
        """Describe it, set its tags; a tag that becomes null is taken away."""
        return registry.change(name, data, identity)

    @post("/api/models/{name:str}/rename", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def rename(name: FromPath[str], data: JSONBody[RenameBody], identity: Who) -> Plain:
        return registry.rename(name, data, identity)

    @delete("/api/models/{name:str}", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def delete_model(name: FromPath[str], identity: Who) -> Plain:
        return registry.delete(name, identity)

    @post("/api/models/{name:str}/restore", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def restore(name: FromPath[str], identity: Who) -> Plain:
        return registry.restore(name, identity)

    return [create, change, rename, delete_model, restore]


def _versions(registry: Registry) -> list[HTTPRouteHandler]:
    @get("/api/models/{name:str}/versions", opt=READ, sync_to_thread=True)
    def list_versions(name: FromPath[str]) -> list[Plain]:
        return registry.versions(name)

    @post("/api/models/{name:str}/versions", opt=WRITE, sync_to_thread=True)
    def register(name: FromPath[str], data: JSONBody[VersionBody], identity: Who) -> Plain:
        """Register a package whose files were uploaded as blobs; the server signs it."""
        return registry.register(name, data, identity)

    @get("/api/models/{name:str}/versions/{version:str}", opt=READ, sync_to_thread=True)
    def get_version(name: FromPath[str], version: FromPath[str]) -> Plain:
        """A version by its number, or the one an alias stands on."""
        return registry.version(name, version)

    @patch("/api/models/{name:str}/versions/{version:str}", opt=WRITE, sync_to_thread=True)
    def change(name: FromPath[str], version: FromPath[str], data: JSONBody[Change], identity: Who) -> Plain:
        return registry.change_version(name, version, data, identity)

    @delete("/api/models/{name:str}/versions/{version:str}", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def delete_version(name: FromPath[str], version: FromPath[str], identity: Who) -> Plain:
        return registry.delete_version(name, version, identity)

    @get("/api/models/{name:str}/versions/{version:str}/actions", opt=READ, sync_to_thread=True)
    def actions(
        name: FromPath[str], version: FromPath[str], identity: Who, actor: FromQuery[str | None] = None
    ) -> list[Plain]:
        """What the caller could do with a version now, with reasons."""
        return registry.actions(name, version, identity, actor)

    @post("/api/models/{name:str}/versions/{version:str}/inspect", opt=WRITE, status_code=200, sync_to_thread=True)
    def inspect(name: FromPath[str], version: FromPath[str], identity: Who) -> Plain:
        """What a version takes and gives; found out now, in a process of its own, when it is not known."""
        return registry.inspect(name, version, identity)

    return [list_versions, register, get_version, change, delete_version, actions, inspect]


def _aliases(registry: Registry) -> list[HTTPRouteHandler]:
    @put("/api/models/{name:str}/aliases/{alias:str}", opt=DEPLOY, sync_to_thread=True)
    def set_alias(name: FromPath[str], alias: FromPath[str], data: JSONBody[AliasBody], identity: Who) -> Plain:
        return registry.set_alias(name, alias, data, identity)

    @delete("/api/models/{name:str}/aliases/{alias:str}", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def remove_alias(
        name: FromPath[str],
        alias: FromPath[str],
        identity: Who,
        reason: FromQuery[str] = "",
        actor: FromQuery[str] = "person",
    ) -> Plain:
        return registry.remove_alias(name, alias, reason=reason, actor=actor, who=identity)

    @get("/api/models/{name:str}/at", opt=READ, sync_to_thread=True)
    def at(name: FromPath[str], alias: FromQuery[str] = "champion", time: FromQuery[str | None] = None) -> Plain:
        """Where an alias stood at a time (ISO 8601, or microseconds): who was champion on 3 March, and why."""
        return registry.at(name, alias, time)

    @post("/api/models/{name:str}/retire", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def retire(name: FromPath[str], data: JSONBody[RetireBody], identity: Who) -> Plain:
        """Take a model out of service; a rollback puts it back."""
        return registry.retire(name, data, identity)

    return [set_alias, remove_alias, at, retire]


def _stages(registry: Registry) -> list[HTTPRouteHandler]:
    @get("/api/models/{name:str}/stages", opt=READ, sync_to_thread=True)
    def get_stages(name: FromPath[str]) -> list[Plain]:
        return registry.stages(name)

    @put("/api/models/{name:str}/stages", opt=DEPLOY, sync_to_thread=True)
    def declare(name: FromPath[str], data: JSONBody[StagesBody], identity: Who) -> list[Plain]:
        return registry.declare_stages(name, data, identity)

    # No project: these hold for every model, so a token of some projects may not declare them.
    @put("/api/stages", opt={"needs": "deploy"}, sync_to_thread=True)
    def declare_for_all(data: JSONBody[StagesBody], identity: Who) -> list[Plain]:
        """The stages of every model that declares none."""
        return registry.declare_stages(None, data, identity)

    @post("/api/models/{name:str}/versions/{version:str}/promote", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def promote(name: FromPath[str], version: FromPath[str], data: JSONBody[PromoteBody], identity: Who) -> Plain:
        """Enter a stage, or ask for it where somebody else must agree."""
        return registry.promote(name, version, data, identity)

    return [get_stages, declare, declare_for_all, promote]


def _requests(registry: Registry) -> list[HTTPRouteHandler]:
    @get("/api/models/{name:str}/requests", opt=READ, sync_to_thread=True)
    def list_requests(name: FromPath[str], pending: FromQuery[bool] = False) -> list[Plain]:  # noqa: FBT002  a query has no other form
        return registry.requests(name, pending=pending)

    @post("/api/requests/{request_id:str}/approve", opt=DEPLOY_ANY, status_code=200, sync_to_thread=True)
    def approve(request_id: FromPath[str], data: JSONBody[DecideBody], identity: Who) -> Plain:
        """Agree to somebody else's request."""
        return registry.approve(request_id, data, identity)

    @post("/api/requests/{request_id:str}/reject", opt=DEPLOY_ANY, status_code=200, sync_to_thread=True)
    def reject(request_id: FromPath[str], data: JSONBody[DecideBody], identity: Who) -> Plain:
        return registry.reject(request_id, data, identity)

    return [list_requests, approve, reject]
