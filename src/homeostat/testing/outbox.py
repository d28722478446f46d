"""What the outbox keeps to: written with the change, delivered at least once under one id, backing off."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import sqlalchemy as sa

from homeostat.store.database import Database
from homeostat.store.dialect import database_seconds
from homeostat.store.outbox import GIVE_UP_AFTER, Message, deliver_due, enqueue, outbox

Check = Callable[[Database], None]


def check_outbox() -> Iterator[tuple[str, Check]]:
    """Checks that take an open, migrated catalogue with an empty outbox."""
    yield "a message is delivered once when the receiver takes it", _delivered_once
    yield "messages are delivered in the order they were put in", _in_order
    yield "a message of a rolled back transaction is never sent", _gone_with_transaction
    yield "a message that was refused is sent again under its id", _sent_again
    yield ("a sender that dies before it notes the delivery sends again under the same id", _at_least_once)
    yield "one refused message does not hold up the others", _others_go_on
    yield "the waits double from fifteen seconds", _waits_double
    yield "a message is given up after its last attempt", _given_up


class _Receiver:
    """Takes messages, or refuses those of a topic."""

    def __init__(self, *, refuse: str = "") -> None:
        self.refuse = refuse
        self.tried: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.tried.append(message)
        if message.topic == self.refuse:
            raise ConnectionError("nobody answers")


def _enqueue(database: Database, topic: str = "webhook", **payload: object) -> str:
    with database.write() as conn:
        return enqueue(conn, topic, payload)


def _make_all_due(database: Database) -> None:
    with database.write() as conn:
        conn.execute(outbox.update().values(due=0.0))


def _delivered_once(database: Database) -> None:
    message_id = _enqueue(database, event="promoted", numbers=[1, 2.5])
    receiver = _Receiver()
    assert deliver_due(database, receiver) == 1
    assert deliver_due(database, receiver) == 0
    assert receiver.tried == [Message(message_id, "webhook", {"event": "promoted", "numbers": [1, 2.5]})]


def _in_order(database: Database) -> None:
    with database.write() as conn:
        for number in range(30):
            conn.execute(outbox.insert().values(id=f"{number:032x}", topic="webhook", payload={}))
    receiver = _Receiver()
    assert (deliver_due(database, receiver, limit=20), deliver_due(database, receiver, limit=20)) == (20, 10)
    assert [message.id for message in receiver.tried] == [f"{number:032x}" for number in range(30)]


class _OnPurposeError(Exception):
    pass


def _gone_with_transaction(database: Database) -> None:
    try:
        with database.write() as conn:
            enqueue(conn, "webhook", {})
            raise _OnPurposeError
    except _OnPurposeError:
        pass
    assert deliver_due(database, _Receiver()) == 0


def _sent_again(database: Database) -> None:
    message_id = _enqueue(database)
    receiver = _Receiver(refuse="webhook")
    assert deliver_due(database, receiver) == 0
    assert deliver_due(database, receiver) == 0, "it was not yet due again"
    assert len(receiver.tried) == 1
    _make_all_due(database)
    receiver.refuse = ""
    assert deliver_due(database, receiver) == 1
    assert [message.id for message in receiver.tried] == [message_id, message_id]


def _at_least_once(database: Database) -> None:
    message_id = _enqueue(database)
    got: list[str] = []

    def take_and_die(message: Message) -> None:
        got.append(message.id)
        raise SystemExit

    with suppress(SystemExit):
        deliver_due(database, take_and_die)
    assert deliver_due(database, lambda message: got.append(message.id)) == 1
    assert got == [message_id, message_id]


def _others_go_on(database: Database) -> None:
    _enqueue(database, "broken")
    _enqueue(database, "fine")
    receiver = _Receiver(refuse="broken")
    assert deliver_due(database, receiver) == 1
    assert {message.topic for message in receiver.tried} == {"broken", "fine"}


def _waits_double(database: Database) -> None:
    _enqueue(database)
    waits = []
    for _ in range(4):
        deliver_due(database, _Receiver(refuse="webhook"))
        with database.read() as conn:
            due = conn.execute(sa.select(outbox.c.due)).scalar_one()
            waits.append(due - database_seconds(conn))
        _make_all_due(database)
    for wait, wanted in zip(waits, (15, 30, 60, 120), strict=True):
        assert wanted - 5 < wait <= wanted + 0.01, waits


def _given_up(database: Database) -> None:
    _enqueue(database)
    receiver = _Receiver(refuse="webhook")
    for _ in range(GIVE_UP_AFTER + 2):
        deliver_due(database, receiver)
        _make_all_due(database)
    assert len(receiver.tried) == GIVE_UP_AFTER
    with database.read() as conn:
        row = conn.execute(sa.select(outbox.c.state, outbox.c.error)).one()
    assert tuple(row) == ("dead", "ConnectionError: nobody answers")
