"""Delivering outbox messages to the operator's webhook."""

import httpx

from homeostat.store.database import Database
from homeostat.store.outbox import Message, deliver_due


def send_due(database: Database, url: str) -> int:
    """POST every due message as JSON `{"id", "topic", "model", ...}`; a repeated id is a repeated message."""
    with httpx.Client(timeout=10.0) as client:

        def post(message: Message) -> None:
            client.post(url, json={"id": message.id, **message.payload}).raise_for_status()

        return deliver_due(database, post)
