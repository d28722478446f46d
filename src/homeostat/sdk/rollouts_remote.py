"""The rollouts of a running server."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from homeostat.ground.refs import parse_model_ref
from homeostat.sdk.registry_bodies import checked_body
from homeostat.sdk.rollouts import Following, Plain, Progress, simulate_body
from homeostat.server.rollout_bodies import SkipBody, SplitBody, StartBody, WordBody


class Http(Protocol):
    """What the client of a server lends: one JSON request."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        timeout: float = ...,
    ) -> Any: ...


class RemoteRollouts(Following):
    """The methods over HTTP."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def start(self, version: str, **said: Any) -> Plain:
        model, number = parse_model_ref(version)
        body = checked_body(StartBody, model=model, version=number, **said)
        return self._http.ask("POST", "/api/rollouts", body=body, timeout=300.0)  # type: ignore[no-any-return]

    def list(self, *, model: str | None = None, state: str | None = None, limit: int = 100) -> list[Plain]:
        query = {"limit": limit} | {key: value for key, value in (("model", model), ("state", state)) if value}
        return self._http.ask("GET", "/api/rollouts", query=query)  # type: ignore[no-any-return]

    def get(self, ref: str) -> Plain:
        return self._http.ask("GET", _path(ref))  # type: ignore[no-any-return]

    def pause(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(ref, "pause", WordBody(reason=reason, actor=actor))

    def resume(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(ref, "resume", WordBody(reason=reason, actor=actor))

    def approve(self, ref: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._say(ref, "approve", WordBody(reason=comment, actor=actor))

    def promote(self, ref: str, **said: Any) -> Plain:
        return self._say(ref, "promote", checked_body(SkipBody, **said))

    def abort(self, ref: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._say(ref, "abort", WordBody(reason=reason, actor=actor))

    def split(self, model: str, weights: Mapping[int, float], **said: Any) -> Plain:
        body = checked_body(SplitBody, weights=dict(weights), **said)
        path = f"/api/models/{quote(model, safe='')}/split"
        return self._http.ask("POST", path, body=body, timeout=300.0)  # type: ignore[no-any-return]

    def rates(self, model: str) -> Plain:
        return self._http.ask("GET", f"/api/models/{quote(model, safe='')}/rates")  # type: ignore[no-any-return]

    def simulate(self, plan: str = "", *, progress: Progress | None = None, **said: Any) -> Plain:
        if progress is not None:
            progress("on the server", 0.0)
        body = simulate_body(plan, said)
        return self._http.ask("POST", "/api/rollouts/simulate", body=body, timeout=600.0)  # type: ignore[no-any-return]

    def _say(self, ref: str, verb: str, body: WordBody | SkipBody) -> Plain:
        return self._http.ask("POST", f"{_path(ref)}/{verb}", body=body)  # type: ignore[no-any-return]


def _path(ref: str) -> str:
    return f"/api/rollouts/{quote(ref, safe='')}"
