"""The registry of a running server."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from homeostat.ground.clock import from_datetime, to_iso
from homeostat.ground.refs import parse_model_ref
from homeostat.registry.stages import Stage
from homeostat.sdk.packages import Upload, pack
from homeostat.sdk.registry_bodies import change_body, model_body, split_ref, stages_body
from homeostat.sdk.registry_client import ASKED, Plain, Tags
from homeostat.server.bodies import RollbackBody
from homeostat.server.registry_bodies import AliasBody, Change, DecideBody, PromoteBody, RenameBody, RetireBody


class Http(Protocol):
    """What the client of a server lends: one JSON request."""

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any: ...


class RemoteRegistry:
    """The methods over HTTP."""

    def __init__(self, http: Http, upload: Upload) -> None:
        self._http = http
        self._upload = upload

    def models(self) -> list[Plain]:
        return self._ask("GET", "/api/models")  # type: ignore[no-any-return]

    def model(self, name: str) -> Plain:
        return self._ask("GET", _path(name))  # type: ignore[no-any-return]

    def create(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> Plain:
        return self._ask("POST", "/api/models", model_body(name, description, tags))  # type: ignore[no-any-return]

    def register(self, model: Any, name: str, **about: Any) -> Plain:
        body = pack(model, self._upload, **about)
        return self._ask("POST", _path(name, "versions"), body)  # type: ignore[no-any-return]

    def versions(self, name: str) -> list[Plain]:
        return self._ask("GET", _path(name, "versions"))  # type: ignore[no-any-return]

    def version(self, ref: str) -> Plain:
        return self._ask("GET", _version_path(ref))  # type: ignore[no-any-return]

    def history(self, model: str, *, alias: str | None = None) -> list[Plain]:
        query = {} if alias is None else {"alias": alias}
        return self._ask("GET", _path(model, "ledger"), query=query)  # type: ignore[no-any-return]

    def at(self, model: str, alias: str = "champion", time: str | int | datetime | None = None) -> Plain:
        moment = to_iso(from_datetime(time)) if isinstance(time, datetime) else time
        query = {"alias": alias} | ({} if moment is None else {"time": str(moment)})
        return self._ask("GET", _path(model, "at"), query=query)  # type: ignore[no-any-return]

    def inspect(self, ref: str) -> Plain:
        return self._ask("POST", f"{_version_path(ref)}/inspect")  # type: ignore[no-any-return]

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int | str,
        *,
        reason: str = "",
        actor: str = "person",
        force: bool = False,
    ) -> Plain:
        body = AliasBody(version, reason=reason, actor=actor, force=force)
        return self._ask("PUT", _path(model, "aliases", alias), body)  # type: ignore[no-any-return]

    def remove_alias(self, model: str, alias: str, *, reason: str = "", actor: str = "person") -> Plain:
        path = _path(model, "aliases", alias)
        return self._ask("DELETE", path, query={"reason": reason, "actor": actor})  # type: ignore[no-any-return]

    def rollback(
        self,
        model: str,
        *,
        alias: str = "champion",
        to: int | None = None,
        reason: str = ASKED,
        actor: str = "person",
    ) -> Plain:
        body = RollbackBody(reason=reason, actor=actor, to=to, alias=alias)
        return self._ask("POST", _path(model, "rollback"), body)  # type: ignore[no-any-return]

    def retire(self, model: str, *, reason: str = ASKED, actor: str = "person") -> Plain:
        return self._ask("POST", _path(model, "retire"), RetireBody(reason, actor))  # type: ignore[no-any-return]

    def stages(self, model: str) -> list[Plain]:
        return self._ask("GET", _path(model, "stages"))  # type: ignore[no-any-return]

    def declare_stages(
        self, stages: Sequence[Stage | str], *, model: str | None = None, actor: str = "person"
    ) -> list[Plain]:
        path = "/api/stages" if model is None else _path(model, "stages")
        return self._ask("PUT", path, stages_body(stages, actor))  # type: ignore[no-any-return]

    def promote(self, ref: str, stage: str, *, reason: str = "", actor: str = "person", force: bool = False) -> Plain:
        body = PromoteBody(stage, reason, actor, force)
        return self._ask("POST", f"{_version_path(ref)}/promote", body)  # type: ignore[no-any-return]

    def requests(self, model: str, *, pending: bool = False) -> list[Plain]:
        return self._ask("GET", _path(model, "requests"), query={"pending": pending})  # type: ignore[no-any-return]

    def approve(self, request: str, *, comment: str = "", actor: str = "person") -> Plain:
        body = DecideBody(comment, actor)
        return self._ask("POST", f"/api/requests/{_quoted(request)}/approve", body)  # type: ignore[no-any-return]

    def reject(self, request: str, *, comment: str = "", actor: str = "person") -> Plain:
        body = DecideBody(comment, actor)
        return self._ask("POST", f"/api/requests/{_quoted(request)}/reject", body)  # type: ignore[no-any-return]

    def allowed_actions(self, ref: str, *, actor: str | None = None) -> list[Plain]:
        query = {} if actor is None else {"actor": actor}
        return self._ask("GET", f"{_version_path(ref)}/actions", query=query)  # type: ignore[no-any-return]

    def set_tags(self, ref: str, tags: Tags) -> Plain:
        return self._change(ref, change_body(tags=dict(tags)))

    def describe(self, ref: str, text: str) -> Plain:
        return self._change(ref, change_body(description=text))

    def rename(self, model: str, new_name: str) -> Plain:
        return self._ask("POST", _path(model, "rename"), RenameBody(new_name))  # type: ignore[no-any-return]

    def delete_version(self, ref: str) -> Plain:
        return self._ask("DELETE", _version_path(ref))  # type: ignore[no-any-return]

    def delete_model(self, name: str) -> Plain:
        return self._ask("DELETE", _path(name))  # type: ignore[no-any-return]

    def restore_model(self, name: str) -> Plain:
        return self._ask("POST", _path(name, "restore"))  # type: ignore[no-any-return]

    def _change(self, ref: str, body: Change) -> Plain:
        name, version = split_ref(ref)
        path = _path(name) if version is None else _path(name, "versions", version)
        return self._ask("PATCH", path, body)  # type: ignore[no-any-return]

    def _ask(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Any:
        return self._http.ask(method, path, query=query, body=body)


def _path(name: str, *more: int | str) -> str:
    return "/".join(["/api/models", _quoted(name), *(_quoted(str(part)) for part in more)])


def _version_path(ref: str) -> str:
    name, version = parse_model_ref(ref)
    return _path(name, "versions", version)


def _quoted(text: str) -> str:
    return quote(text, safe="")
