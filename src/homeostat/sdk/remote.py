"""The client of a running server: the same verbs over HTTP."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from homeostat.ground import errors
from homeostat.sdk.alarms import AlarmClient, ChannelClient
from homeostat.sdk.alarms_remote import RemoteAlarms, RemoteChannels
from homeostat.sdk.client import Moment, Progress
from homeostat.sdk.follow import follow_cycle
from homeostat.sdk.http import Http
from homeostat.sdk.intake import MonitorClient
from homeostat.sdk.intake_remote import RemoteMonitors
from homeostat.sdk.label_rows import content_type, labels_body, moment
from homeostat.sdk.packages import ServerUpload
from homeostat.sdk.registry_client import RegistryClient
from homeostat.sdk.registry_remote import RemoteRegistry
from homeostat.sdk.rollouts import RolloutClient
from homeostat.sdk.rollouts_remote import RemoteRollouts
from homeostat.sdk.tracking_client import RemoteTracking, TrackingClient

if TYPE_CHECKING:
    import polars as pl


class Remote:
    """Talks to `homeostat up`."""

    def __init__(self, url: str, *, token: str = "") -> None:
        self._http = Http(url, token=token)
        self.url = self._http.url
        self.tracking: TrackingClient = RemoteTracking(self._http)
        self.registry: RegistryClient = RemoteRegistry(self._http, ServerUpload(url, token=token))
        self.rollouts: RolloutClient = RemoteRollouts(self._http)
        self.alarms: AlarmClient = RemoteAlarms(self._http)
        self.monitors: MonitorClient = RemoteMonitors(self._http)
        self.channels: ChannelClient = RemoteChannels(self._http)

    def apply(self, path: str | Path, *, dry_run: bool = False) -> list[dict[str, Any]]:
        raise errors.Denied(
            f"{path} cannot be applied over HTTP: a server never runs the declared file itself (dry_run={dry_run})",
            field="url",
            next_step="run `homeostat apply` on the server's machine with --home",
        )

    def train(
        self,
        model: str,
        *,
        params: Mapping[str, Any] | None = None,
        force: bool = False,
        reason: str = "asked for by a person",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        queued = self.start_cycle(model, params=params, force=force, reason=reason)
        health = self.health()
        if health["clock"] == "driven":  # it looks only when its clock is moved, be it to where it stands
            self.move_clock(health["now"])
        return follow_cycle(lambda: self.cycle(queued["id"]), progress=progress)

    def start_cycle(
        self, model: str, *, params: Mapping[str, Any] | None = None, force: bool = False, reason: str
    ) -> dict[str, Any]:
        """Queue a cycle and return at once."""
        body = {"reason": reason, "params": dict(params or {}), "force": force}
        return self._post(f"/api/models/{model}/cycles", body)

    def cycle(self, cycle_id: str) -> dict[str, Any]:
        return self._get(f"/api/cycles/{cycle_id}")  # type: ignore[no-any-return]

    def models(self) -> list[dict[str, Any]]:
        return self._get("/api/models")  # type: ignore[no-any-return]

    def model(self, name: str) -> dict[str, Any]:
        return self._get(f"/api/models/{quote(name, safe='')}")  # type: ignore[no-any-return]

    def rollback(self, model: str, *, to: int | None = None, reason: str = "asked for by a person") -> dict[str, Any]:
        return self._post(f"/api/models/{quote(model, safe='')}/rollback", {"to": to, "reason": reason})

    def why(self, model: str) -> dict[str, Any]:
        return self._get(f"/api/models/{model}/why")  # type: ignore[no-any-return]

    def runs(self, *, project: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        query = {"limit": limit} | ({"project": project} if project else {})
        return self._get("/api/runs", query)  # type: ignore[no-any-return]

    def run(self, run_id: str) -> dict[str, Any]:
        return self._get(f"/api/runs/{run_id}")  # type: ignore[no-any-return]

    def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._post(f"/api/sources/{source}/rows", {"rows": list(rows)})

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
        return self._http.ask("POST", "/api/labels", query={"partial": partial}, body=body)  # type: ignore[no-any-return]

    def label_file(
        self,
        model: str,
        path: str | Path,
        *,
        within: str | None = None,
        partial: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        kind = content_type(Path(path))
        query = {"model": model, "partial": partial} | ({"within": within} if within else {})
        return self._http.upload("/api/labels", Path(path), query=query, kind=kind, progress=progress)  # type: ignore[no-any-return]

    def labels(self, model: str, request_id: str) -> list[dict[str, Any]]:
        return self._get(f"/api/labels/{quote(model, safe='')}/{quote(request_id)}")  # type: ignore[no-any-return]

    def prediction(self, request_id: str) -> dict[str, Any]:
        return self._get(f"/api/predictions/{quote(request_id)}")  # type: ignore[no-any-return]

    def predictions(self, model: str, start: Moment | None = None, end: Moment | None = None) -> "pl.DataFrame":
        import polars as pl

        given = {"start": moment(start, field="start"), "end": moment(end, field="end")}
        query = {"model": model} | {name: value for name, value in given.items() if value is not None}
        return pl.read_ipc_stream(self._http.fetch("/api/predictions", query=query))

    def counts(self, model: str) -> dict[str, Any]:
        return self._get(f"/api/models/{model}/counts")  # type: ignore[no-any-return]

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
        given = {
            "metric": metric or None,
            "window": window or None,
            "start": moment(start, field="start"),
            "end": moment(end, field="end"),
            "by": by or None,
            "version": version,
            "history": history or None,
        }
        query = {name: value for name, value in given.items() if value is not None}
        return self._get(f"/api/models/{quote(model, safe='')}/accuracy", query)  # type: ignore[no-any-return]

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
        given = {
            "start": moment(start, field="start"),
            "end": moment(end, field="end"),
            "column": list(columns) or None,
            "effect": effect,
            "min_rows": min_rows,
        }
        query = {name: value for name, value in given.items() if value is not None}
        return self._get(f"/api/models/{quote(model, safe='')}/segments", query)  # type: ignore[no-any-return]

    def parity(self, model: str, *, sample: int = 5000) -> dict[str, Any]:
        raise errors.Denied(
            f"parity of {model!r} (sample {sample}) cannot be checked over HTTP: it runs the declared functions",
            field="url",
            next_step="run `homeostat parity` on the server's machine with --home",
        )

    def events(self, *, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        return self._get("/api/events", {"after": after, "limit": limit})  # type: ignore[no-any-return]

    def health(self) -> dict[str, Any]:
        return self._get("/api/health")  # type: ignore[no-any-return]

    def move_clock(self, now: str) -> dict[str, Any]:
        """Move a driven clock; answers when everything that was due is done, training included."""
        return self._http.ask("PUT", "/api/clock", body={"now": now}, timeout=3600.0)  # type: ignore[no-any-return]

    def create_token(
        self,
        name: str,
        *,
        permissions: Sequence[str] = ("read", "write"),
        projects: Sequence[str] | None = None,
        expires: str | None = None,
    ) -> dict[str, Any]:
        given = None if projects is None else list(projects)
        body = {"name": name, "permissions": list(permissions), "projects": given, "expires": expires}
        return self._post("/api/tokens", body)

    def tokens(self) -> list[dict[str, Any]]:
        return self._get("/api/tokens")  # type: ignore[no-any-return]

    def revoke_token(self, token_id: str) -> dict[str, Any]:
        return self._delete(f"/api/tokens/{token_id}")

    def create_webhook(
        self, name: str, url: str, *, events: Sequence[str] = ("*",), description: str = "", secret: str = ""
    ) -> dict[str, Any]:
        body = {"name": name, "url": url, "events": list(events), "description": description, "secret": secret}
        return self._post("/api/webhooks", body)

    def webhooks(self) -> list[dict[str, Any]]:
        return self._get("/api/webhooks")  # type: ignore[no-any-return]

    def remove_webhook(self, webhook_id: str) -> dict[str, Any]:
        return self._delete(f"/api/webhooks/{webhook_id}")

    def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        return self._post(f"/api/webhooks/{webhook_id}/test", {})

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._http.ask("GET", path, query=query)

    def _delete(self, path: str) -> dict[str, Any]:
        return self._http.ask("DELETE", path)  # type: ignore[no-any-return]

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._http.ask("POST", path, body=body)  # type: ignore[no-any-return]
