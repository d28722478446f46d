"""Telling channels of alarms: a look that puts what is new into the outbox, and the sending of what is due."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import HomeostatError, NotFound
from homeostat.ground.ids import new_id
from homeostat.monitoring.notify.channels import get_channel, topic_of, url_of
from homeostat.monitoring.notify.decide import ForChannel, News, due_news, note_told
from homeostat.monitoring.notify.sending import SECONDS, send
from homeostat.monitoring.notify.texts import Text, plain_alarm, text_of
from homeostat.store.database import Database
from homeostat.store.outbox import Message, deliver_due, due_topics, enqueue

AT_ONCE = 4
"""Channels that are sent to at the same time: a slow one holds up its own messages only."""
LEASE = SECONDS + 20.0
"""Within this time no other server of this home sends the same message."""
MOST_ALARMS = 100
"""Alarms that a message carries as data."""


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a message on trial."""

    success: bool
    error: str = ""


def note_news(database: Database, now: int) -> int:
    """Put what channels are to be told now into the outbox; says how many messages that made.

    The message and the note that it was told commit together, so a crash neither loses nor doubles one.
    """
    with database.read() as conn:
        if not due_news(conn, now):
            return 0
    with database.write() as conn:
        return sum(_note(conn, due, now) for due in due_news(conn, now))


def deliver_news(database: Database, *, allowed: frozenset[str]) -> int:
    """Send what is due; says how many messages were taken."""
    with database.read() as conn:
        topics = [topic for topic in due_topics(conn) if topic.startswith(topic_of(""))]
    if not topics:
        return 0

    def deliver(message: Message) -> None:
        with database.read() as conn:
            try:
                url = url_of(conn, message.topic.removeprefix(topic_of("")))
            except NotFound:  # removed since; nobody is left to tell
                return
        send(url, message.payload, delivery=message.id, allowed=allowed)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notify") as pool:
        return sum(pool.map(lambda topic: deliver_due(database, deliver, topic=topic, lease=LEASE), topics))


def send_trial(database: Database, ref: str, *, allowed: frozenset[str]) -> Trial:
    """Send a channel an example now and say what came of it."""
    with database.read() as conn:
        channel, url = get_channel(conn, ref), url_of(conn, ref)
    text = Text(
        title=f"[info] a trial of channel {channel.name}",
        body="Nothing is wrong: somebody wanted to see whether this arrives.",
        severity="info",
    )
    try:
        send(url, msgspec.to_builtins(text) | {"alarms": []}, delivery=new_id(), allowed=allowed)
    except HomeostatError as error:
        return Trial(success=False, error=str(error))
    return Trial(success=True)


def _note(conn: Connection, due: ForChannel, now: int) -> int:
    note_told(conn, due.channel, due.unwanted, message="", now=now)
    messages = _messages(due)
    for news in messages:
        text = text_of(news)
        payload = msgspec.to_builtins(text) | {
            "alarms": [plain_alarm(one.alarm) | {"changes": list(one.changes)} for one in news[:MOST_ALARMS]]
        }
        message = enqueue(conn, topic_of(due.channel.id), payload)
        note_told(conn, due.channel, news, message=message, now=now)
    return len(messages)


def _messages(due: ForChannel) -> list[list[News]]:
    """One message an alarm; more than a digest wants at once are one message."""
    if len(due.news) > due.channel.wants.digest:
        return [due.news]
    return [[one] for one in due.news]
