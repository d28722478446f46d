"""The verbs of a home, in one process with its catalogue: what routes, commands and the embedded client call."""

from typing import Any

import msgspec

from homeostat.features.store import push_rows
from homeostat.ground.clock import Clock, DrivenClock, SystemClock, from_iso, to_iso
from homeostat.ground.errors import Conflict, NotFound
from homeostat.ground.outbound import parse_allowed
from homeostat.ground.settings import Settings
from homeostat.loop import webhooks
from homeostat.loop.cycle import start_cycle
from homeostat.loop.declaration import find_source
from homeostat.loop.durable import get_cycle
from homeostat.loop.replay_clock import load_clock, save_clock
from homeostat.loop.webhook_delivery import send_test
from homeostat.loop.webhooks import WebhookChange
from homeostat.monitoring.accuracy import counts
from homeostat.monitoring.labels import count_waiting
from homeostat.server import tokens
from homeostat.server.accuracy import Accuracy
from homeostat.server.alarms import Alarms
from homeostat.server.authenticate import Keyring
from homeostat.server.bodies import CycleBody, RowsBody, TokenBody, WebhookBody
from homeostat.server.channels import Channels
from homeostat.server.intake import Intake
from homeostat.server.labels import Labels
from homeostat.server.predictions import Predictions
from homeostat.server.registry import Registry
from homeostat.server.rollouts import Rollouts
from homeostat.server.tables import Tables
from homeostat.server.tracking import Tracking
from homeostat.server.views.access import moment_after, token_view, webhook_view
from homeostat.server.views.cycles import cycle_view, why_view
from homeostat.server.views.runs import run_view, runs_view
from homeostat.server.webhooks import example_for
from homeostat.serving.endpoints import current_generation
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database, open_database
from homeostat.store.events import list_events
from homeostat.store.migrate import upgrade
from homeostat.store.uploads import Uploads


class Service:
    """An open home. Every method is one verb, and returns plain data ready for JSON."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database = open_database(settings.database_url)
        upgrade(self.database)
        self.blobs = BlobStore(settings.blobs_url)
        self.clock: Clock = self._open_clock()
        self.keyring = Keyring(self.database)
        uploads = Uploads(settings.home_path / "uploads", self.blobs)
        self.tracking = Tracking(self.database, self.blobs, uploads, self.clock)
        self.labels = Labels(self.database, self.clock, settings)
        self.alarms = Alarms(self.database, self.clock)
        self.accuracy = Accuracy(self.database, self.blobs, self.clock, settings)
        self.channels = Channels(self.database, self.clock, allowed=self.webhook_allow)
        self.intake = Intake(self.database, self.clock)
        self.tables = Tables(self.database, self.clock, settings)
        self.predictions = Predictions(self.database, self.blobs, settings)
        self.registry = Registry(self.database, self.blobs, self.clock, settings)
        self.rollouts = Rollouts(self.database, self.clock, self.registry.inspection)

    def _open_clock(self) -> Clock:
        if self.settings.clock == "system":
            return SystemClock()
        return load_clock(self.database, start=from_iso(self.settings.clock, field="clock"))

    @property
    def has_driven_clock(self) -> bool:
        return isinstance(self.clock, DrivenClock)

    def close(self) -> None:
        self.database.close()

    def move_clock(self, now: str) -> dict[str, Any]:
        """Move a driven clock; what it says survives a restart."""
        if not isinstance(self.clock, DrivenClock):
            raise Conflict(
                "this server runs on the machine's clock",
                field="now",
                next_step="start it with HOMEOSTAT_CLOCK=<ISO time> to drive it",
            )
        moment = from_iso(now, field="now")
        self.clock.advance_to(moment)
        save_clock(self.database, moment)
        return {"now": to_iso(moment)}

    def push(self, source: str, body: RowsBody) -> dict[str, Any]:
        """Take in rows of a source for the online features; a row that was sent before is recognised."""
        with self.database.write() as conn:
            results = [push_rows(conn, spec, body.rows) for spec in find_source(conn, source)[:1]]
        return msgspec.to_builtins(results[0])  # type: ignore[no-any-return]

    def train(self, model: str, body: CycleBody) -> dict[str, Any]:
        """Queue a retraining; the loop (or `run_cycles`) walks it."""
        with self.database.write() as conn:
            cycle, is_new = start_cycle(
                conn,
                model,
                cause=body.reason,
                actor=body.actor,
                as_of=self.clock.now(),
                params=body.params,
                forced=body.force,
            )
            return cycle_view(conn, cycle) | {"is_new": is_new}

    def cycle(self, cycle_id: str) -> dict[str, Any]:
        with self.database.read() as conn:
            cycle = get_cycle(conn, cycle_id)
            if cycle is None:
                raise NotFound(f"there is no cycle {cycle_id!r}", field="cycle", next_step="see: homeostat why MODEL")
            return cycle_view(conn, cycle)

    def why(self, model: str) -> dict[str, Any]:
        with self.database.read() as conn:
            return why_view(conn, model)

    def runs(self, project: str | None, limit: int) -> list[dict[str, Any]]:
        with self.database.read() as conn:
            return runs_view(conn, project=project, limit=limit)

    def run(self, run_id: str) -> dict[str, Any]:
        with self.database.read() as conn:
            return run_view(conn, run_id)

    def counts(self, model: str) -> dict[str, Any]:
        with self.database.read() as conn:
            return counts(conn, model) | {"waiting": count_waiting(conn, model)}

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        with self.database.read() as conn:
            return [msgspec.to_builtins(event) for event in list_events(conn, after=after, limit=limit)]

    def create_token(self, body: TokenBody, *, actor: str) -> dict[str, Any]:
        """Make a token; its secret is in this answer and nowhere else."""
        at = SystemClock().now()  # a driven clock says when models decide, not who may come in
        ends = None if body.expires is None else moment_after(body.expires, at, field="expires")
        with self.database.write() as conn:
            token, secret = tokens.create_token(
                conn,
                body.name,
                permissions=body.permissions,
                projects=body.projects,
                expires=ends,
                at=at,
                actor=actor,
            )
        return token_view(token) | {"secret": secret}

    def tokens(self) -> list[dict[str, Any]]:
        with self.database.read() as conn:
            return [token_view(token) for token in tokens.list_tokens(conn)]

    def revoke_token(self, token_id: str, *, actor: str) -> dict[str, Any]:
        """End a token; this server refuses it from the next request on."""
        with self.database.write() as conn:
            token = tokens.revoke_token(conn, token_id, at=SystemClock().now(), actor=actor)
        self.keyring.forget()
        return token_view(token)

    def create_webhook(self, body: WebhookBody, *, actor: str) -> dict[str, Any]:
        """Make a webhook; it hears of what happens from now on."""
        given = msgspec.structs.asdict(body)
        with self.database.write() as conn:
            made = webhooks.create_webhook(
                conn, given.pop("name"), **given, allowed=self.webhook_allow, at=SystemClock().now(), actor=actor
            )
        return webhook_view(made)

    def webhooks(self) -> list[dict[str, Any]]:
        with self.database.read() as conn:
            return [webhook_view(webhook) for webhook in webhooks.list_webhooks(conn)]

    def change_webhook(self, webhook_id: str, change: WebhookChange, *, actor: str) -> dict[str, Any]:
        with self.database.write() as conn:
            changed = webhooks.change_webhook(
                conn, webhook_id, change, allowed=self.webhook_allow, at=SystemClock().now(), actor=actor
            )
        return webhook_view(changed)

    def remove_webhook(self, webhook_id: str, *, actor: str) -> dict[str, Any]:
        with self.database.write() as conn:
            return webhook_view(webhooks.remove_webhook(conn, webhook_id, at=SystemClock().now(), actor=actor))

    def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Deliver an example now and say what came of it."""
        with self.database.read() as conn:
            webhook = webhooks.get_webhook(conn, webhook_id)
            secret = webhooks.secret_of(conn, webhook_id)
        result = send_test(webhook, secret, example_for(webhook), allowed=self.webhook_allow)
        return msgspec.to_builtins(result)  # type: ignore[no-any-return]

    @property
    def webhook_allow(self) -> frozenset[str]:
        return parse_allowed(self.settings.webhook_allow)

    def generation(self) -> int:
        with self.database.read() as conn:
            return current_generation(conn)
