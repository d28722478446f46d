"""The registry of a home that is opened in this process."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from homeostat.ground.refs import parse_model_ref
from homeostat.registry.stages import Stage
from homeostat.sdk.packages import LocalUpload, Upload, pack
from homeostat.sdk.registry_bodies import change_body, model_body, split_ref, stages_body
from homeostat.sdk.registry_client import ASKED, Plain, Tags
from homeostat.server.bodies import RollbackBody
from homeostat.server.registry import Registry
from homeostat.server.registry_bodies import AliasBody, Change, DecideBody, PromoteBody, RenameBody, RetireBody
from homeostat.store.blobs import BlobStore


class EmbeddedRegistry:
    """The methods on a home that is opened in this process."""

    def __init__(self, registry: Registry, blobs: BlobStore) -> None:
        self._verbs = registry
        self._upload: Upload = LocalUpload(blobs)

    def models(self) -> list[Plain]:
        return self._verbs.models()

    def model(self, name: str) -> Plain:
        return self._verbs.model(name)

    def create(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> Plain:
        return self._verbs.create(model_body(name, description, tags))

    def register(self, model: Any, name: str, **about: Any) -> Plain:
        return self._verbs.register(name, pack(model, self._upload, **about))

    def versions(self, name: str) -> list[Plain]:
        return self._verbs.versions(name)

    def version(self, ref: str) -> Plain:
        return self._verbs.version(*parse_model_ref(ref))

    def history(self, model: str, *, alias: str | None = None) -> list[Plain]:
        return self._verbs.history(model, alias)

    def at(self, model: str, alias: str = "champion", time: str | int | datetime | None = None) -> Plain:
        return self._verbs.at(model, alias, time)

    def inspect(self, ref: str) -> Plain:
        return self._verbs.inspect(*parse_model_ref(ref))

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
        return self._verbs.set_alias(model, alias, AliasBody(version, reason=reason, actor=actor, force=force))

    def remove_alias(self, model: str, alias: str, *, reason: str = "", actor: str = "person") -> Plain:
        return self._verbs.remove_alias(model, alias, reason=reason, actor=actor)

    def rollback(
        self,
        model: str,
        *,
        alias: str = "champion",
        to: int | None = None,
        reason: str = ASKED,
        actor: str = "person",
    ) -> Plain:
        return self._verbs.rollback(model, RollbackBody(reason=reason, actor=actor, to=to, alias=alias))

    def retire(self, model: str, *, reason: str = ASKED, actor: str = "person") -> Plain:
        return self._verbs.retire(model, RetireBody(reason, actor))

    def stages(self, model: str) -> list[Plain]:
        return self._verbs.stages(model)

    def declare_stages(
        self, stages: Sequence[Stage | str], *, model: str | None = None, actor: str = "person"
    ) -> list[Plain]:
        return self._verbs.declare_stages(model, stages_body(stages, actor))

    def promote(self, ref: str, stage: str, *, reason: str = "", actor: str = "person", force: bool = False) -> Plain:
        return self._verbs.promote(*parse_model_ref(ref), PromoteBody(stage, reason, actor, force))

    def requests(self, model: str, *, pending: bool = False) -> list[Plain]:
        return self._verbs.requests(model, pending=pending)

    def approve(self, request: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._verbs.approve(request, DecideBody(comment, actor))

    def reject(self, request: str, *, comment: str = "", actor: str = "person") -> Plain:
        return self._verbs.reject(request, DecideBody(comment, actor))

    def allowed_actions(self, ref: str, *, actor: str | None = None) -> list[Plain]:
        return self._verbs.actions(*parse_model_ref(ref), actor=actor)

    def set_tags(self, ref: str, tags: Tags) -> Plain:
        return self._change(ref, change_body(tags=dict(tags)))

    def describe(self, ref: str, text: str) -> Plain:
        return self._change(ref, change_body(description=text))

    def rename(self, model: str, new_name: str) -> Plain:
        return self._verbs.rename(model, RenameBody(new_name))

    def delete_version(self, ref: str) -> Plain:
        return self._verbs.delete_version(*parse_model_ref(ref))

    def delete_model(self, name: str) -> Plain:
        return self._verbs.delete(name)

    def restore_model(self, name: str) -> Plain:
        return self._verbs.restore(name)

    def _change(self, ref: str, body: Change) -> Plain:
        name, version = split_ref(ref)
        if version is None:
            return self._verbs.change(name, body)
        return self._verbs.change_version(name, version, body)
