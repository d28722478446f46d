"""From events to deliveries: each event becomes one message per webhook that wants it, and is sent until it arrives.

The message and the mark "looked at" commit together, so a crash in between neither loses nor doubles it. Sending is at
least once: a repeated delivery bears the same `X-MLflow-Delivery-Id`. The headers are MLflow's, so receivers written
for it can check ours: the signature is an HMAC-SHA256 of `{delivery id}.{timestamp}.{body}`.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import to_iso
from homeostat.ground.errors import HomeostatError, NotFound, Unavailable
from homeostat.ground.ids import new_id
from homeostat.ground.outbound import Answer, post
from homeostat.loop import store
from homeostat.loop.webhooks import Webhook, get_webhook, list_webhooks, newest_event, secret_of, topic_of
from homeostat.store.database import Database
from homeostat.store.events import Event, list_events
from homeostat.store.outbox import Message, deliver_due, due_topics, enqueue

BATCH = 500
"""Events looked at in one transaction."""
AT_ONCE = 4
"""Webhooks that are sent to at the same time: a slow receiver holds up its own deliveries only."""

Body = dict[str, Any]
ForeignBody = Callable[[Connection, Event], tuple[str, Body] | None]
"""Another system's name and body of an event, when it has one: `("model_version.created", {...})`."""


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a delivery on trial."""

    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


def fan_out(database: Database, foreign: ForeignBody) -> int:
    """Turn new events into messages; says how many messages were made."""
    with database.read() as conn:
        if not _is_behind(conn):
            return 0
    with database.write() as conn:
        return _fan_out(conn, foreign)


def deliver(database: Database, *, allowed: frozenset[str]) -> int:
    """Send what is due; says how many deliveries were taken."""
    with database.read() as conn:
        topics = [topic for topic in due_topics(conn) if topic.startswith(topic_of(""))]
    if not topics:
        return 0

    def send(message: Message) -> None:
        with database.read() as conn:
            try:
                webhook = get_webhook(conn, message.topic.removeprefix(topic_of("")))
                secret = secret_of(conn, webhook.id)
            except NotFound:  # removed since; nobody is left to tell
                return
        answer = send_body(webhook, secret, message.payload, delivery=message.id, allowed=allowed)
        if not answer.is_success:
            raise Unavailable(f"answered {answer.status}")

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
        return sum(pool.map(lambda topic: deliver_due(database, send, topic=topic), topics))


def send_test(webhook: Webhook, secret: str, body: Body, *, allowed: frozenset[str]) -> DeliveryResult:
    """Deliver a body once and say what happened."""
    try:
        answer = send_body(webhook, secret, body, delivery=new_id(), allowed=allowed)
    except HomeostatError as error:
        return DeliveryResult(success=False, error_message=f"Failed to test webhook: {error}")
    text = answer.body.decode(errors="replace")
    return DeliveryResult(success=answer.status < 400, response_status=answer.status, response_body=text)


def send_body(webhook: Webhook, secret: str, body: Body, *, delivery: str, allowed: frozenset[str]) -> Answer:
    """One signed POST."""
    content = msgspec.json.encode(body)
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "homeostat",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
    }
    if secret:
        headers["X-MLflow-Signature"] = sign(secret, delivery, stamp, content)
    return post(webhook.url, content, headers, allowed=allowed)


def sign(secret: str, delivery: str, stamp: str, content: bytes) -> str:
    """The signature header."""
    digest = hmac.digest(secret.encode(), f"{delivery}.{stamp}.".encode() + content, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def own_body(event: Event) -> Body:
    """An event as our own subscribers get it."""
    return {
        "event": event.kind,
        "id": event.id,
        "seq": event.seq,
        "at": to_iso(event.at),
        "subject": event.subject,
        "actor": event.actor,
        "reason": event.reason,
        "data": event.data,
    }


def example_body(kind: str) -> Body:
    """What a trial sends for an event of ours."""
    return own_body(
        Event(
            seq=0,
            id="0" * 32,
            at=0,
            recorded=0,
            kind=kind,
            subject="example",
            actor="person",
            reason="a trial delivery",
            data={"example": True},
        )
    )


def _is_behind(conn: Connection) -> bool:
    active = store.webhooks.c.status == "ACTIVE"
    oldest = conn.execute(sa.select(sa.func.min(store.webhooks.c.seen)).where(active)).scalar()
    return oldest is not None and oldest < newest_event(conn)


def _fan_out(conn: Connection, foreign: ForeignBody) -> int:
    listening = [webhook for webhook in list_webhooks(conn) if webhook.status == "ACTIVE"]
    seen = {row.id: row.seen for row in conn.execute(sa.select(store.webhooks.c.id, store.webhooks.c.seen))}
    if not listening:
        return 0
    new = list_events(conn, after=min(seen[webhook.id] for webhook in listening), limit=BATCH)
    made = 0
    for event in new:
        translated = foreign(conn, event)
        for webhook in listening:
            body = _body_for(webhook, event, translated) if event.seq > seen[webhook.id] else None
            if body is not None:
                enqueue(conn, topic_of(webhook.id), body)
                made += 1
    if new:
        last = new[-1].seq
        behind = sa.and_(store.webhooks.c.status == "ACTIVE", store.webhooks.c.seen < last)
        conn.execute(store.webhooks.update().where(behind).values(seen=last))
    return made


def _body_for(webhook: Webhook, event: Event, translated: tuple[str, Body] | None) -> Body | None:
    if webhook.wants(event.kind):
        return own_body(event)
    if translated is not None and webhook.wants(translated[0]):
        return translated[1]
    return None
