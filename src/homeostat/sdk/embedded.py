"""The client of a home folder: the verbs run in this process, on the catalogue itself."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ground.access import LOCAL
from homeostat.ground.settings import Settings
from homeostat.loop.apply import apply_file
from homeostat.loop.engine import Engine, log_folder
from homeostat.loop.parity import check_logged_vectors
from homeostat.sdk.alarms import AlarmClient, ChannelClient
from homeostat.sdk.alarms_embedded import EmbeddedAlarms, EmbeddedChannels
from homeostat.sdk.client import Moment, Progress
from homeostat.sdk.follow import follow_cycle
from homeostat.sdk.intake import MonitorClient
from homeostat.sdk.intake_embedded import EmbeddedMonitors
from homeostat.sdk.label_rows import content_type, labels_body, moment
from homeostat.sdk.registry_client import RegistryClient
from homeostat.sdk.registry_embedded import EmbeddedRegistry
from homeostat.sdk.rollouts import RolloutClient
from homeostat.sdk.rollouts_embedded import EmbeddedRollouts
from homeostat.sdk.tracking_client import EmbeddedTracking, TrackingClient
from homeostat.server.accuracy import AccuracyBody, SegmentsBody
from homeostat.server.bodies import CycleBody, RollbackBody, RowsBody, TokenBody, WebhookBody
from homeostat.server.label_bodies import read_labels
from homeostat.server.label_files import KINDS
from homeostat.server.service import Service

if TYPE_CHECKING:
    import polars as pl


class Embedded:
    """A home, opened here. User code (`apply`, `train`'s child, `parity`) runs with this process's rights."""

    def __init__(self, settings: Settings) -> None:
        self._service = Service(settings)
        self.tracking: TrackingClient = EmbeddedTracking(self._service.tracking)
        self.registry: RegistryClient = EmbeddedRegistry(self._service.registry, self._service.blobs)
        self.rollouts: RolloutClient = EmbeddedRollouts(self._service.rollouts)
        self.alarms: AlarmClient = EmbeddedAlarms(self._service.alarms)
        self.monitors: MonitorClient = EmbeddedMonitors(self._service.intake, self._service.tables)
        self.channels: ChannelClient = EmbeddedChannels(self._service.channels)

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

    def label(
        self,
        model: str,
        labels: Sequence[Mapping[str, Any]] | None = None,
        *,
        request_id: str | None = None,
        keys: Mapping[str, Any] | None = None,
        time: Moment | None = None,
        value: Any = None,
        at: Moment | None = None,
        within: str | None = None,
        partial: bool = False,
    ) -> dict[str, Any]:
        body = labels_body(
            model, labels, request_id=request_id, keys=keys, time=time, value=value, at=at, within=within
        )
        return self._service.labels.take(read_labels(msgspec.json.encode(body)), partial=partial)

    def label_file(
        self,
        model: str,
        path: str | Path,
        *,
        within: str | None = None,
        partial: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        kind = KINDS[content_type(Path(path))]
        result = self._service.labels.take_file(model, Path(path), kind, within=within, partial=partial)
        if progress is not None:
            progress(Path(path).stat().st_size, Path(path).stat().st_size)
        return result

    def labels(self, model: str, request_id: str) -> list[dict[str, Any]]:
        return self._service.labels.history(model, request_id)

    def prediction(self, request_id: str) -> dict[str, Any]:
        return self._service.predictions.show(request_id)

    def predictions(self, model: str, start: Moment | None = None, end: Moment | None = None) -> "pl.DataFrame":
        import polars as pl

        first, last = moment(start, field="start"), moment(end, field="end")
        return pl.concat(self._service.predictions.frames(model, start=first, end=last))

    def counts(self, model: str) -> dict[str, Any]:
        return self._service.counts(model)

    def accuracy(
        self,
        model: str,
        *,
        metric: str = "",
        window: str = "",
        start: Moment | None = None,
        end: Moment | None = None,
        by: str = "",
        version: int | None = None,
        history: bool = False,
    ) -> dict[str, Any]:
        asked = AccuracyBody(
            metric=metric,
            window=window,
            start=moment(start, field="start"),
            end=moment(end, field="end"),
            by=by,
            version=version,
            history=history,
        )
        return self._service.accuracy.show(model, asked)

    def segments(
        self,
        model: str,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        columns: Sequence[str] = (),
        effect: float = 0.2,
        min_rows: int = 200,
    ) -> dict[str, Any]:
        asked = SegmentsBody(
            start=moment(start, field="start"),
            end=moment(end, field="end"),
            columns=tuple(columns),
            effect=effect,
            min_rows=min_rows,
        )
        return self._service.accuracy.segments(model, asked)

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
