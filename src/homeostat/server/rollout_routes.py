"""The rollouts' routes: each decodes, calls one verb, encodes. `{ref}` is a rollout's id or its model's name."""

from typing import Annotated, Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from homeostat.ground.access import Identity
from homeostat.server.permissions import HANDLER
from homeostat.server.rollout_bodies import SimulateBody, SkipBody, SplitBody, StartBody, WordBody
from homeostat.server.rollouts import Rollouts

READ = {"needs": "read", "project": HANDLER}
DEPLOY = {"needs": "deploy", "project": HANDLER}

Who = NamedDependency[Identity]
Plain = dict[str, Any]


def build_rollout_routes(rollouts: Rollouts) -> list[HTTPRouteHandler]:
    """Every route of rollouts; handlers run in threads, for the verbs block on the catalogue."""
    return [*_reading(rollouts), *_acting(rollouts)]


def _reading(rollouts: Rollouts) -> list[HTTPRouteHandler]:
    @get("/api/rollouts", opt=READ, sync_to_thread=True)
    def list_rollouts(
        identity: Who,
        model: FromQuery[str | None] = None,
        in_state: Annotated[str | None, QueryParameter(name="state")] = None,
        limit: FromQuery[int] = 100,
    ) -> list[Plain]:
        return rollouts.list(model=model, state=in_state, limit=limit, who=identity)

    @get("/api/rollouts/{ref:str}", opt=READ, sync_to_thread=True)
    def get_rollout(ref: FromPath[str], identity: Who) -> Plain:
        return rollouts.get(ref, identity)

    @get("/api/models/{name:str}/rates", opt={"needs": "read", "project": "name"}, sync_to_thread=True)
    def rates(name: FromPath[str]) -> Plain:
        """What its recorded traffic is like, as a simulation takes it."""
        return rollouts.rates(name)

    @post("/api/rollouts/simulate", opt=READ, status_code=200, sync_to_thread=True)
    def simulate(data: JSONBody[SimulateBody], identity: Who) -> Plain:
        """False rollbacks and time to detect, before it starts; takes seconds."""
        return rollouts.simulate(data, identity)

    return [list_rollouts, get_rollout, rates, simulate]


def _acting(rollouts: Rollouts) -> list[HTTPRouteHandler]:
    @post("/api/rollouts", opt=DEPLOY, sync_to_thread=True)
    def start(data: JSONBody[StartBody], identity: Who) -> Plain:
        return rollouts.start(data, identity)

    @post("/api/rollouts/{ref:str}/pause", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def pause(ref: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        """Nothing moves forward; the guards go on."""
        return rollouts.pause(ref, data, identity)

    @post("/api/rollouts/{ref:str}/resume", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def resume(ref: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        return rollouts.resume(ref, data, identity)

    @post("/api/rollouts/{ref:str}/approve", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def approve(ref: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        return rollouts.approve(ref, data, identity)

    @post("/api/rollouts/{ref:str}/promote", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def promote(ref: FromPath[str], data: JSONBody[SkipBody], identity: Who) -> Plain:
        """Skip ahead by hand, past this step or (`full`) straight to the promotion."""
        return rollouts.promote(ref, data, identity)

    @post("/api/rollouts/{ref:str}/abort", opt=DEPLOY, status_code=200, sync_to_thread=True)
    def abort(ref: FromPath[str], data: JSONBody[WordBody], identity: Who) -> Plain:
        """End it; the stable version has all traffic again."""
        return rollouts.abort(ref, data, identity)

    @post(
        "/api/models/{name:str}/split", opt={"needs": "deploy", "project": "name"}, status_code=200, sync_to_thread=True
    )
    def split(name: FromPath[str], data: JSONBody[SplitBody], identity: Who) -> Plain:
        """Shares of the traffic by hand; nothing is decided from them."""
        return rollouts.split(name, data, identity)

    return [start, pause, resume, approve, promote, abort, split]
