"""The control plane's routes: each decodes, calls one verb of the service, encodes."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from homeostat import __version__
from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import to_iso
from homeostat.server.bodies import ClockBody, CycleBody, RollbackBody, RowsBody
from homeostat.server.permissions import HANDLER
from homeostat.server.service import Service

READ_MODEL = {"needs": "read", "project": "name"}
DEPLOY_MODEL = {"needs": "deploy", "project": "name"}
"""A model belongs to the project of its name."""

Tick = Callable[[], dict[str, Any]]


def build_routes(service: Service, *, tick: Tick, serving_url: Callable[[], str]) -> list[HTTPRouteHandler]:  # noqa: C901  a row of routes, no branch in it
    """Every route; handlers run in threads, for the verbs block on the catalogue."""

    @get("/api/health", opt={"needs": "public"}, sync_to_thread=True)
    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "version": __version__,
            "now": to_iso(service.clock.now()),
            "clock": "driven" if service.has_driven_clock else "system",
            "serving": serving_url(),
            "generation": service.generation(),
        }

    @put("/api/clock", opt={"needs": "admin"}, sync_to_thread=True)
    def move_clock(data: JSONBody[ClockBody]) -> dict[str, Any]:
        """Move a driven clock and let the loop look; answers when everything that was due is done."""
        return service.move_clock(data.now) | tick()

    @post("/api/sources/{name:str}/rows", opt={"needs": "write"}, status_code=200, sync_to_thread=True)
    def push_rows(name: FromPath[str], data: JSONBody[RowsBody]) -> dict[str, Any]:
        return service.push(name, data)

    @get("/api/models", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def list_models(identity: NamedDependency[Identity]) -> list[dict[str, Any]]:
        return service.registry.models(identity)

    @get("/api/models/{name:str}", opt=READ_MODEL, sync_to_thread=True)
    def get_model(name: FromPath[str]) -> dict[str, Any]:
        return service.registry.model(name)

    @get("/api/models/{name:str}/ledger", opt=READ_MODEL, sync_to_thread=True)
    def get_ledger(name: FromPath[str], alias: FromQuery[str | None] = None) -> list[dict[str, Any]]:
        return service.registry.history(name, alias)

    @get("/api/models/{name:str}/counts", opt=READ_MODEL, sync_to_thread=True)
    def get_counts(name: FromPath[str]) -> dict[str, Any]:
        return service.counts(name)

    @get("/api/models/{name:str}/why", opt=READ_MODEL, sync_to_thread=True)
    def get_why(name: FromPath[str]) -> dict[str, Any]:
        return service.why(name)

    @post("/api/models/{name:str}/rollback", opt=DEPLOY_MODEL, status_code=200, sync_to_thread=True)
    def rollback(
        name: FromPath[str], data: JSONBody[RollbackBody], identity: NamedDependency[Identity]
    ) -> dict[str, Any]:
        return service.registry.rollback(name, data, identity)

    @post("/api/models/{name:str}/cycles", opt=DEPLOY_MODEL, status_code=202, sync_to_thread=True)
    def start_cycle(
        name: FromPath[str], data: JSONBody[CycleBody], identity: NamedDependency[Identity]
    ) -> dict[str, Any]:
        return service.train(name, _signed(data, identity))

    @get("/api/cycles/{cycle_id:str}", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def get_cycle(cycle_id: FromPath[str], identity: NamedDependency[Identity]) -> dict[str, Any]:
        cycle = service.cycle(cycle_id)
        identity.require_project(cycle["model"])
        return cycle

    @get("/api/runs", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def list_runs(
        identity: NamedDependency[Identity], project: FromQuery[str | None] = None, limit: FromQuery[int] = 100
    ) -> list[dict[str, Any]]:
        if project is None and identity.projects is not None:
            rows = [row for name in identity.projects for row in service.runs(name, limit)]
            return sorted(rows, key=itemgetter("started"), reverse=True)[:limit]
        if project is not None:
            identity.require_project(project)
        return service.runs(project, limit)

    @get("/api/runs/{run_id:str}", opt={"needs": "read", "project": HANDLER}, sync_to_thread=True)
    def get_run(run_id: FromPath[str], identity: NamedDependency[Identity]) -> dict[str, Any]:
        found = service.run(run_id)
        identity.require_project(found["run"]["project"])
        return found

    @get("/api/events", opt={"needs": "read"}, sync_to_thread=True)
    def list_events(after: FromQuery[int] = 0, limit: FromQuery[int] = 1000) -> list[dict[str, Any]]:
        return service.events(after, limit)

    return [
        health,
        move_clock,
        push_rows,
        list_models,
        get_model,
        get_ledger,
        get_counts,
        get_why,
        rollback,
        start_cycle,
        get_cycle,
        list_runs,
        get_run,
        list_events,
    ]


def _signed(body: CycleBody, identity: Identity) -> CycleBody:
    """With tokens, whoever asks is who did it, whatever the body says."""
    return body if identity is LOCAL else msgspec.structs.replace(body, actor=identity.name)
