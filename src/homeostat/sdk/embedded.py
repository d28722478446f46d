"""The client of a home folder: the verbs run in this process, on the catalogue itself."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from homeostat.ground.access import LOCAL
from homeostat.ground.settings import Settings
from homeostat.loop.apply import apply_file
from homeostat.loop.engine import Engine, log_folder
from homeostat.loop.parity import check_logged_vectors
from homeostat.sdk.client import Progress
from homeostat.sdk.follow import follow_cycle
from homeostat.sdk.registry_client import RegistryClient
from homeostat.sdk.registry_embedded import EmbeddedRegistry
from homeostat.sdk.rollouts import RolloutClient
from homeostat.sdk.rollouts_embedded import EmbeddedRollouts
from homeostat.sdk.tracking_client import EmbeddedTracking, TrackingClient
from homeostat.server.bodies import CycleBody, LabelsBody, RollbackBody, RowsBody, TokenBody, WebhookBody
from homeostat.server.service import Service


class Embedded:
    """A home, opened here. User code (`apply`, `train`'s child, `parity`) runs with this process's rights."""

    def __init__(self, settings: Settings) -> None:
        self._service = Service(settings)
        self.tracking: TrackingClient = EmbeddedTracking(self._service.tracking)
        self.registry: RegistryClient = EmbeddedRegistry(self._service.registry, self._service.blobs)
        self.rollouts: RolloutClient = EmbeddedRollouts(self._service.rollouts)

    def apply(self, path: str | Path, *, dry_run: bool = False) -> list[dict[str, Any]]:
        service = self._service
        lines = apply_file(
            service.database, service.blobs, Path(path), now=service.clock.now(), actor="person", dry_run=dry_run
        )
        return [msgspec.to_builtins(line) for line in lines]

    def train(
        self,
        model: str,
        *,
        params: Mapping[str, Any] | None = None,
        force: bool = False,
        reason: str = "asked for by a person",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        service = self._service
        queued = service.train(model, CycleBody(reason=reason, params=dict(params or {}), force=force))
        engine = Engine(service.database, service.blobs, service.settings, service.clock)
        # A running server may take the cycle first; whoever has it, the catalogue says how it goes.
        walker = threading.Thread(target=engine.worker.run_pending, kwargs={"only": queued["id"]}, daemon=True)
        walker.start()
        cycle = follow_cycle(lambda: service.cycle(queued["id"]), progress=progress)
        walker.join()
        return cycle

    def models(self) -> list[dict[str, Any]]:
        return self._service.registry.models()

    def model(self, name: str) -> dict[str, Any]:
        return self._service.registry.model(name)

    def rollback(self, model: str, *, to: int | None = None, reason: str = "asked for by a person") -> dict[str, Any]:
        return self._service.registry.rollback(model, RollbackBody(reason=reason, to=to))

    def why(self, model: str) -> dict[str, Any]:
        return self._service.why(model)

    def runs(self, *, project: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        return self._service.runs(project, limit)

    def run(self, run_id: str) -> dict[str, Any]:
        return self._service.run(run_id)

    def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._service.push(source, RowsBody(rows=[dict(row) for row in rows]))

    def label(self, model: str, labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        body = msgspec.convert({"model": model, "labels": [dict(label) for label in labels]}, LabelsBody)
        return self._service.label(body)

    def counts(self, model: str) -> dict[str, Any]:
        return self._service.counts(model)

    def parity(self, model: str, *, sample: int = 5000) -> dict[str, Any]:
        service = self._service
        report = check_logged_vectors(
            service.database, service.blobs, log_folder(service.settings), model, sample=sample
        )
        return msgspec.to_builtins(report)  # type: ignore[no-any-return]

    def create_token(
        self,
        name: str,
        *,
        permissions: Sequence[str] = ("read", "write"),
        projects: Sequence[str] | None = None,
        expires: str | None = None,
    ) -> dict[str, Any]:
        given = None if projects is None else list(projects)
        body = TokenBody(name=name, permissions=tuple(permissions), projects=given, expires=expires)
        return self._service.create_token(body, actor=LOCAL.name)

    def tokens(self) -> list[dict[str, Any]]:
        return self._service.tokens()

    def revoke_token(self, token_id: str) -> dict[str, Any]:
        return self._service.revoke_token(token_id, actor=LOCAL.name)

    def create_webhook(
        self, name: str, url: str, *, events: Sequence[str] = ("*",), description: str = "", secret: str = ""
    ) -> dict[str, Any]:
        body = WebhookBody(name=name, url=url, events=tuple(events), description=description, secret=secret)
        return self._service.create_webhook(body, actor=LOCAL.name)

    def webhooks(self) -> list[dict[str, Any]]:
        return self._service.webhooks()

    def remove_webhook(self, webhook_id: str) -> dict[str, Any]:
        return self._service.remove_webhook(webhook_id, actor=LOCAL.name)

    def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        return self._service.test_webhook(webhook_id)

    def close(self) -> None:
        self._service.close()
