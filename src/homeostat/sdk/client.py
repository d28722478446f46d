"""The verbs of a client, the same whether it is embedded in this process or talks to a server."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from homeostat.sdk.alarms import AlarmClient, ChannelClient
from homeostat.sdk.intake import MonitorClient
from homeostat.sdk.registry_client import RegistryClient
from homeostat.sdk.rollouts import RolloutClient
from homeostat.sdk.tracking_client import TrackingClient

if TYPE_CHECKING:
    import polars as pl

Moment = str | int | datetime
"""ISO 8601 text, microseconds since 1970 UTC, or a datetime (a naive one is read as UTC)."""
Progress = Callable[[str], None]
"""Called with each step's name as it is finished."""


class Client(Protocol):
    """What `hs.connect` returns. Every method answers with plain data, as the HTTP API does."""

    @property
    def tracking(self) -> TrackingClient:
        """Search, histories, comparison, the trash, files, archives."""
        ...

    @property
    def registry(self) -> RegistryClient:
        """Models, versions, aliases, stages, promotions, who stood where when; registering."""
        ...

    @property
    def rollouts(self) -> RolloutClient:
        """Starting, watching, pausing, promoting, approving, aborting rollouts; simulating one."""
        ...

    @property
    def alarms(self) -> AlarmClient:
        """What is wrong: listing, acknowledging, muting, closing."""
        ...

    @property
    def monitors(self) -> MonitorClient:
        """Models that are served elsewhere: watching them, sending what they answer."""
        ...

    @property
    def channels(self) -> ChannelClient:
        """Who is told of alarms."""
        ...

    def apply(self, path: str | Path, *, dry_run: bool = False) -> list[dict[str, Any]]:
        """Declare the models of a file."""
        ...

    def train(
        self,
        model: str,
        *,
        params: Mapping[str, Any] | None = None,
        force: bool = False,
        reason: str = "asked for by a person",
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Run one cycle; returns it when it has ended or waits for its rollout."""
        ...

    def models(self) -> list[dict[str, Any]]: ...

    def model(self, name: str) -> dict[str, Any]: ...

    def rollback(self, model: str, *, to: int | None = None, reason: str = "asked for by a person") -> dict[str, Any]:
        """Move the champion, and all traffic, back."""
        ...

    def why(self, model: str) -> dict[str, Any]:
        """Why it did (not) retrain, promote, roll back."""
        ...

    def runs(self, *, project: str | None = None, limit: int = 100) -> list[dict[str, Any]]: ...

    def run(self, run_id: str) -> dict[str, Any]: ...

    def push(self, source: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send rows of a source to the online features."""
        ...

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
        """Send what was true: rows of `{"request_id", "value", "at"?}` or `{"keys", "time"?, "value", "at"?}`, or one.

        All or nothing, unless `partial`: then rows that are wrong are left out and told.
        """
        ...

    def label_file(
        self,
        model: str,
        path: str | Path,
        *,
        within: str | None = None,
        partial: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Send a file of labels (.ndjson, .csv, .parquet, .arrow); `progress` gets bytes sent and bytes in all."""
        ...

    def labels(self, model: str, request_id: str) -> list[dict[str, Any]]:
        """Every label of a request, with who sent it and when; the believed one last."""
        ...

    def prediction(self, request_id: str) -> dict[str, Any]:
        """What was asked and answered under this id, and what was said of it since."""
        ...

    def predictions(self, model: str, start: Moment | None = None, end: Moment | None = None) -> "pl.DataFrame":
        """The prediction log of a model, start <= at < end, as a Polars frame."""
        ...

    def counts(self, model: str) -> dict[str, Any]: ...

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
        """How good the answers were, hour by hour, day by day or week by week, on the labels known by now.

        Without a metric it is the first that is declared; without a window the shortest with enough predictions.
        `by` shows the values of a request column apart, `history` what was said of each window before.
        """
        ...

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
        """The parts of the rows (a value, a range, two of them together) on which a model is worse than on the rest.

        Searched on half of the days (the last 28 by default), tested on the other half; `effect` is the smallest
        difference that is told, in standard deviations of a row's loss.
        """
        ...

    def parity(self, model: str, *, sample: int = 5000) -> dict[str, Any]:
        """Recompute logged vectors from the sources and report what differs."""
        ...

    def create_token(
        self,
        name: str,
        *,
        permissions: Sequence[str] = ("read", "write"),
        projects: Sequence[str] | None = None,
        expires: str | None = None,
    ) -> dict[str, Any]:
        """Make an API token; its `secret` is in this answer and never again."""
        ...

    def tokens(self) -> list[dict[str, Any]]: ...

    def revoke_token(self, token_id: str) -> dict[str, Any]: ...

    def create_webhook(
        self, name: str, url: str, *, events: Sequence[str] = ("*",), description: str = "", secret: str = ""
    ) -> dict[str, Any]:
        """Tell `url` of events from now on."""
        ...

    def webhooks(self) -> list[dict[str, Any]]: ...

    def remove_webhook(self, webhook_id: str) -> dict[str, Any]: ...

    def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Deliver an example now and say what came of it."""
        ...

    def close(self) -> None: ...
