"""The routing table a worker answers from: immutable, built beside the event loop, swapped as one pointer."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import NotFound, Unavailable
from homeostat.ground.ports import Served
from homeostat.serving.cost import Cost, warmed_up
from homeostat.serving.outputs import announced
from homeostat.serving.routing import bounds_of
from homeostat.serving.types import FULL, Arm, Endpoint

KEPT_WARM = 2
"""Versions no endpoint names any more that stay loaded, so that a rollback is a pointer swap."""

Load = Callable[[str, int], Served]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its versions loaded, and what every request asks of it worked out once."""

    endpoint: Endpoint
    served: dict[int, Served]
    stable_arm: Arm
    stable: Served
    bounds: tuple[tuple[int, Arm], ...]
    """Below which position each canary answers."""
    is_single: bool
    """The stable version answers everything."""
    known: frozenset[str]
    """Input columns that any of the versions reads."""
    is_direct: bool
    """All versions take the same numbers straight from the request, so a matrix of them need not become columns."""
    width: int
    """Columns of such a matrix."""


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """What is served now. A request holds the table it began with, so a swap drops nothing."""

    generation: int = 0
    """The newest generation of which every endpoint is served."""
    routes: dict[str, Route] = {}
    failures: dict[str, str] = {}
    """Endpoints whose newest routing could not be loaded, with the reason; they are served as before."""
    unloaded: dict[str, Route] = {}
    """Endpoints that a caller took out of service on this worker."""

    def route(self, name: str) -> Route:
        """The endpoint's route.

        Raises:
            NotFound: when there is no such endpoint.
            Unavailable: when its versions could not be loaded.
        """
        route = self.routes.get(name)
        if route is not None:
            return route
        if name in self.failures:
            raise Unavailable(
                f"endpoint {name!r} could not be loaded: {self.failures[name]}",
                field="endpoint",
                next_step="mend or roll back the version; it is tried again by itself",
            )
        if name in self.unloaded:
            step = f"POST /v2/repository/models/{name}/load"
            raise NotFound(f"endpoint {name!r} is unloaded on this worker", field="endpoint", next_step=step)
        raise NotFound(f"there is no endpoint {name!r:.140}", field="endpoint", next_step=self._choices())

    def only_route(self) -> Route | None:
        """The one route there is; None when there are several."""
        return next(iter(self.routes.values())) if len(self.routes) == 1 else None

    def _choices(self) -> str:
        return f"served: {', '.join(sorted(self.routes))}" if self.routes else "nothing is served yet"


class TableBuilder:
    """Loads what a routing names and keeps what it loaded; call it from one thread, not the event loop's."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loaded: dict[tuple[str, int], Served] = {}
        self._costs: dict[tuple[str, int], Cost] = {}

    def holds(self, key: tuple[str, int]) -> bool:
        """Whether the version (model, number) is loaded."""
        return key in self._loaded

    def cost(self, key: tuple[str, int]) -> Cost:
        """What a loaded version's calls cost; whoever calls it goes on measuring."""
        return self._costs.get(key) or Cost()

    def build(self, endpoints: Sequence[Endpoint], generation: int, *, before: RoutingTable) -> RoutingTable:
        """The table for these endpoints; one that cannot be loaded keeps its route of `before`."""
        routes: dict[str, Route] = {}
        failures: dict[str, str] = {}
        for endpoint in endpoints:
            try:
                routes[endpoint.name] = self._route(endpoint)
            except Exception as error:  # noqa: BLE001  a package may raise anything; the other endpoints must go on
                failures[endpoint.name] = f"{type(error).__name__}: {error}"
                if endpoint.name in before.routes:
                    routes[endpoint.name] = before.routes[endpoint.name]
        self._forget(routes)
        return RoutingTable(generation=before.generation if failures else generation, routes=routes, failures=failures)

    def _route(self, endpoint: Endpoint) -> Route:
        served = {version: self._get(endpoint.model, version) for version in endpoint.versions}
        arm = endpoint.stable
        return Route(
            endpoint=endpoint,
            served=served,
            stable_arm=arm,
            stable=served[arm.version],
            bounds=bounds_of(endpoint),
            is_single=arm.weight == FULL,
            known=frozenset(
                column.name for one in served.values() for column in one.signature.inputs + one.signature.keys
            ),
            is_direct=_is_direct(list(served.values())),
            width=len(served[arm.version].signature.inputs),
        )

    def _get(self, model: str, version: int) -> Served:
        served = self._loaded.get((model, version))
        if served is None:
            served = self._load(model, version)
            self._costs[model, version] = warmed_up(served)
            self._loaded[model, version] = served
        return served

    def _forget(self, routes: dict[str, Route]) -> None:
        named = {(one.model, one.version) for route in routes.values() for one in route.served.values()}
        retired = [key for key in self._loaded if key not in named]
        for key in retired[: max(0, len(retired) - KEPT_WARM)]:
            del self._loaded[key]
            self._costs.pop(key, None)


def _is_direct(served: Sequence[Served]) -> bool:
    first = served[0].signature.inputs
    return all(one.direct is not None and one.signature.inputs == first for one in served)


_DATATYPES = {"number": "FP64", "string": "BYTES", "time": "BYTES", "boolean": "BOOL"}


def describe(route: Route, version: int | None = None) -> dict[str, Any]:
    """An endpoint, or one live version of it, as Open Inference metadata.

    Raises:
        NotFound: when the version is not live.
    """
    served = route.stable if version is None else live_version(route, version)
    return {
        "name": route.endpoint.name,
        "versions": [str(one) for one in (route.endpoint.versions if version is None else (version,))],
        "platform": "homeostat",
        "inputs": [_tensor(column.name, _DATATYPES[column.dtype]) for column in served.signature.inputs],
        "outputs": announced(served.signature),
        "parameters": {
            "model": route.endpoint.model,
            "task": served.signature.task,
            "feature_hash": served.signature.feature_hash,
            "optional_inputs": ["request_id", "request_time", *(key.name for key in served.signature.keys)],
        },
    }


def live_version(route: Route, version: int) -> Served:
    """The loaded version.

    Raises:
        NotFound: when the endpoint does not hold it.
    """
    served = route.served.get(version)
    if served is None:
        live = ", ".join(map(str, route.endpoint.versions))
        raise NotFound(
            f"endpoint {route.endpoint.name!r} has no live version {version}",
            field="version",
            next_step=f"live versions: {live}",
        )
    return served


def _tensor(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
