"""What a worker tells about itself and its models, and how a caller takes one out of service on it.

Placing models is the routing's business; `unload` and `load` (Triton's repository extension, SageMaker's multi-model
container) only hide an endpoint on this worker and show it again. The next change of its routing shows it, too.
"""

from typing import Any

import msgspec

from homeostat.ground.errors import Conflict, Denied, Invalid, NotFound
from homeostat.serving.dataplane import DataPlane
from homeostat.serving.http import HttpRequest
from homeostat.serving.routes import Target
from homeostat.serving.table import describe, live_version

EXTENSIONS = ["binary_tensor_data", "model_repository"]
_DIGITS = 18


class About:
    """Answers every route but predictions and metrics. `may_place`: callers may load and unload."""

    def __init__(self, plane: DataPlane, *, version: str, may_place: bool) -> None:
        self._plane = plane
        self._version = version
        self._may_place = may_place
        self.draining = False

    def told(self, target: Target, request: HttpRequest) -> tuple[int, Any]:
        """Status and body (text, or something to be JSON).

        Raises:
            NotFound, Unavailable: when there is no such model, or it cannot be had.
            Denied: when callers may not place models here.
        """
        table = self._plane.table
        match target.kind:
            case "server":
                return 200, {"name": "homeostat", "version": self._version, "extensions": EXTENSIONS}
            case "live":
                return 200, self._health()
            case "ready":
                return (200 if self.is_ready else 503), self._health()
            case "ping":
                return (200 if self.is_ready and table.routes else 503), "\n"
            case "version":
                return 200, self._version
            case "index":
                return 200, self._index(only_ready=_wants_ready(request.body))
        return self._of_model(target, request)

    @property
    def is_ready(self) -> bool:
        """Every endpoint that there should be is served, and this worker is not about to end."""
        table = self._plane.table
        return not self.draining and not table.failures.keys() - table.routes.keys()

    def _health(self) -> dict[str, Any]:
        table, shadows = self._plane.table, self._plane.shadows
        return {
            "ready": self.is_ready,
            "live": True,
            "generation": table.generation,
            "failures": table.failures,
            "shadow_rows_waiting": shadows.waiting,
            "shadow_rows_dropped": shadows.dropped,
        }

    def _index(self, *, only_ready: bool) -> list[dict[str, str]]:
        table = self._plane.table
        ready = [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name, route in sorted(table.routes.items())
            for version in route.endpoint.versions
        ]
        lost = {name: table.failures[name] for name in table.failures.keys() - table.routes.keys()}
        lost |= dict.fromkeys(table.unloaded, "unloaded")
        return ready + [
            {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}
            for name, reason in sorted(lost.items())
            if not only_ready
        ]

    def _of_model(self, target: Target, request: HttpRequest) -> tuple[int, Any]:
        table = self._plane.table
        match target.kind:
            case "model":
                return 200, describe(table.route(target.endpoint), version_number(target.version))
            case "model_ready":
                route = table.route(target.endpoint)
                if target.version:
                    live_version(route, version_number(target.version) or 0)
                return 200, {"name": target.endpoint, "ready": True}
            case "load" | "unload" as verb:
                self._check_may_place(request)
                _check_placed_only(request.body)
                self._plane.show(target.endpoint) if verb == "load" else self._plane.hide(target.endpoint)
                return 200, {}
        return self._of_many(target, request)

    def _of_many(self, target: Target, request: HttpRequest) -> tuple[int, Any]:
        """SageMaker's multi-model routes."""
        table = self._plane.table
        match (target.kind, request.method):
            case ("models", "POST"):
                self._check_may_place(request)
                name = _model_name(request.body)
                if name in table.routes:
                    raise Conflict(
                        f"{name!r} is loaded", field="model_name", next_step="unload it first: DELETE /models/NAME"
                    )
                self._plane.show(name)
                return 200, {"modelName": name}
            case ("models", _):
                return 200, {"models": [{"modelName": name, "modelUrl": ""} for name in sorted(table.routes)]}
            case ("model_of_many", "DELETE"):
                self._check_may_place(request)
                self._plane.hide(target.endpoint)
                return 200, {"modelName": target.endpoint}
        table.route(target.endpoint)
        return 200, {"modelName": target.endpoint, "modelUrl": ""}

    def _check_may_place(self, request: HttpRequest) -> None:
        if not self._may_place:
            raise Denied(
                "callers may not load and unload models on this worker",
                field="model",
                next_step="set HOMEOSTAT_MODEL_CONTROL=on if everybody who reaches this port may",
            )
        if "origin" in request.headers:  # a page in somebody's browser could send this without asking
            raise Denied("models are not loaded and unloaded from web pages", field="origin")


class _ModelName(msgspec.Struct):
    model_name: str


class _IndexWish(msgspec.Struct):
    ready: bool = False


class _PlacingWish(msgspec.Struct):
    parameters: dict[str, Any] = {}


def _model_name(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_ModelName).model_name
    except msgspec.DecodeError as error:
        raise Invalid(
            f"the body is not a model: {error}", field="model_name", next_step='send {"model_name": "NAME"}'
        ) from error


def _check_placed_only(body: bytes) -> None:
    """Triton's clients can send a model's files and its configuration along; here they come from the registry."""
    if not body.strip():
        return
    try:
        parameters = msgspec.json.decode(body, type=_PlacingWish).parameters
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not well made: {error}", field="body", next_step="send {}, or nothing") from error
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise Invalid(
                f"parameter {name!r:.80} is not taken: models come from the registry",
                field="parameters",
                next_step="register a version and route the endpoint to it",
            )


def _wants_ready(body: bytes) -> bool:
    """Triton's own client asks for the index with an empty body."""
    if not body.strip():
        return False
    try:
        return msgspec.json.decode(body, type=_IndexWish).ready
    except msgspec.DecodeError as error:
        raise Invalid(
            f"the body is not a request for the index: {error}",
            field="body",
            next_step='send {"ready": true}, or nothing',
        ) from error


def version_number(text: str) -> int | None:
    """The number of a version in a path; None for none.

    Raises:
        NotFound: when it is no number.
    """
    if not text:
        return None
    if not text.isdecimal() or len(text) > _DIGITS:
        raise NotFound(f"{text!r:.40} is not a version number", field="version", next_step="versions are 1, 2, 3, ...")
    return int(text)
