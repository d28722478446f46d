"""The control plane's routes: each decodes, calls one verb of the service, encodes."""

from collections.abc import Callable
from typing import Any

from litestar import get, post, put
from litestar.handlers import HTTPRouteHandler

from homeostat import __version__
from homeostat.ground.clock import to_iso
from homeostat.server.bodies import ClockBody, CycleBody, LabelsBody, RollbackBody, RowsBody
from homeostat.server.service import Service

Tick = Callable[[], dict[str, Any]]


def build_routes(service: Service, *, tick: Tick, serving_url: Callable[[], str]) -> list[HTTPRouteHandler]:  # noqa: C901  a row of routes, no branch in it
    """Every route; handlers run in threads, for the verbs block on the catalogue."""

    @get("/api/health", sync_to_thread=True)
    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "version": __version__,
            "now": to_iso(service.clock.now()),
            "clock": "driven" if service.has_driven_clock else "system",
            "serving": serving_url(),
            "generation": service.generation(),
        }

    @put("/api/clock", sync_to_thread=True)
    def move_clock(data: ClockBody) -> dict[str, Any]:
        """Move a driven clock and let the loop look; answers when everything that was due is done."""
        return service.move_clock(data.now) | tick()

    @post("/api/sources/{name:str}/rows", status_code=200, sync_to_thread=True)
    def push_rows(name: str, data: RowsBody) -> dict[str, Any]:
        return service.push(name, data)

    @post("/api/labels", status_code=200, sync_to_thread=True)
    def post_labels(data: LabelsBody) -> dict[str, Any]:
        return service.label(data)

    @get("/api/models", sync_to_thread=True)
    def list_models() -> list[dict[str, Any]]:
        return service.models()

    @get("/api/models/{name:str}", sync_to_thread=True)
    def get_model(name: str) -> dict[str, Any]:
        return service.model(name)

    @get("/api/models/{name:str}/ledger", sync_to_thread=True)
    def get_ledger(name: str) -> list[dict[str, Any]]:
        return service.ledger(name)

    @get("/api/models/{name:str}/counts", sync_to_thread=True)
    def get_counts(name: str) -> dict[str, Any]:
        return service.counts(name)

    @get("/api/models/{name:str}/why", sync_to_thread=True)
    def get_why(name: str) -> dict[str, Any]:
        return service.why(name)

    @post("/api/models/{name:str}/rollback", status_code=200, sync_to_thread=True)
    def rollback(name: str, data: RollbackBody) -> dict[str, Any]:
        return service.rollback(name, data)

    @post("/api/models/{name:str}/cycles", status_code=202, sync_to_thread=True)
    def start_cycle(name: str, data: CycleBody) -> dict[str, Any]:
        return service.train(name, data)

    @get("/api/cycles/{cycle_id:str}", sync_to_thread=True)
    def get_cycle(cycle_id: str) -> dict[str, Any]:
        return service.cycle(cycle_id)

    @get("/api/runs", sync_to_thread=True)
    def list_runs(project: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        return service.runs(project, limit)

    @get("/api/runs/{run_id:str}", sync_to_thread=True)
    def get_run(run_id: str) -> dict[str, Any]:
        return service.run(run_id)

    @get("/api/events", sync_to_thread=True)
    def list_events(after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        return service.events(after, limit)

    return [
        health,
        move_clock,
        push_rows,
        post_labels,
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
