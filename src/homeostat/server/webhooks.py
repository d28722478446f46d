"""Telling the outside: events to every webhook, and the outbox's own messages to the operator's one address."""

from typing import Any

import msgspec

from homeostat.compat.mlflow.webhook_bodies import body_of, example_of, is_event
from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Unavailable
from homeostat.ground.outbound import parse_allowed, post
from homeostat.ground.settings import Settings
from homeostat.loop.webhook_delivery import deliver, example_body, fan_out
from homeostat.loop.webhooks import Webhook, topic_of
from homeostat.monitoring.notify.channels import topic_of as topic_of_channel
from homeostat.store.database import Database
from homeostat.store.outbox import Message, deliver_due, due_topics


def send_due(database: Database, settings: Settings) -> int:
    """One look: new events become deliveries, and what is due is sent. Says how much was taken."""
    fan_out(database, body_of)
    taken = deliver(database, allowed=parse_allowed(settings.webhook_allow))
    return taken + (_send_to_operator(database, settings.webhook) if settings.webhook else 0)


def example_for(webhook: Webhook) -> dict[str, Any]:
    """The body of a trial delivery: of the first event that it wants."""
    kind = webhook.events[0]
    return example_of(kind, SystemClock().now()) if is_event(kind) else example_body(kind.replace("*", "test"))


def _send_to_operator(database: Database, url: str) -> int:
    """POST messages as JSON `{"id", "topic", "model", ...}`; a repeated id is a repeated message.

    The address comes from the operator's own settings, so it may be a private one.
    """

    def send(message: Message) -> None:
        body = msgspec.json.encode({"id": message.id, **message.payload})
        answer = post(url, body, {"Content-Type": "application/json"}, trusted=True)
        if not answer.is_success:
            raise Unavailable(f"answered {answer.status}")

    with database.read() as conn:
        others = (topic_of(""), topic_of_channel(""))
        topics = [topic for topic in due_topics(conn) if not topic.startswith(others)]
    return sum(deliver_due(database, send, topic=topic) for topic in topics)
