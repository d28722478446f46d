"""Durable cycles on our own catalogue: a lease, a fence, and each step's result in one commit with its domain rows.

A cycle row holds the step names frozen at its creation, an owner, a fence (+1 at every take-over) and a lease. Every
commit first proves the fence, so a worker that was frozen past its lease writes nothing. A step that was cut off runs
again; what it commits is keyed (by run, cycle or alias key), so nothing happens twice.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from homeostat.ground.clock import SystemClock
from homeostat.ground.ids import new_id
from homeostat.loop.store import OPEN_STATES, cycles, steps
from homeostat.store.database import Database
from homeostat.store.dialect import database_seconds, insert_new

MAX_ATTEMPTS = 20
"""Take-overs without a finished step in between; then the cycle fails instead of crashing workers for ever."""


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of the loop, from cause to outcome."""

    id: str
    model: str
    run: str
    cause: str
    evidence: dict[str, Any]
    actor: str
    as_of: int
    params: dict[str, Any]
    forced: bool
    definition: tuple[str, ...]
    state: str
    """queued, running, waiting (for time to pass), done or failed."""
    outcome: str
    """'' while open; then promoted, rejected, rolled_back, held, aborted or failed."""
    reason: str
    version: int | None
    error: str
    attempts: int
    fence: int
    owner: str
    lease_until: float
    ended_at: int | None


class Wait(msgspec.Struct, frozen=True):
    """A step's answer when time has to pass first; it is asked again at the next look."""

    reason: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A step's answer that ends the cycle here."""

    outcome: str
    reason: str
    version: int | None = None


class LeaseLost(Exception):
    """Another worker has taken the cycle over; whatever was not committed is void."""


class Attempt:
    """One worker's hold on one cycle. `commit` opens a transaction that proves the hold first."""

    def __init__(self, database: Database, cycle: Cycle, *, lease: float) -> None:
        self.database = database
        self.cycle = cycle
        self.lease = lease
        self.lost = threading.Event()
        with database.read() as conn:
            rows = conn.execute(sa.select(steps.c.name, steps.c.result).where(steps.c.cycle == cycle.id))
            self.results: dict[str, Any] = {row.name: row.result for row in rows}

    @contextmanager
    def commit(self) -> Iterator[Connection]:
        with self.database.write() as conn:
            self._prove(conn)
            yield conn

    def record(self, conn: Connection, name: str, result: Any) -> None:
        """Write a step's result; belongs into the transaction of its domain rows."""
        row = {"cycle": self.cycle.id, "name": name, "result": result}
        insert_new(conn, steps, [row | {"fence": self.cycle.fence, "recorded": SystemClock().now()}])
        conn.execute(cycles.update().where(cycles.c.id == self.cycle.id).values(attempts=0))
        self.results[name] = result

    def extend(self) -> None:
        """A sign of life."""
        with self.commit():
            pass

    def _prove(self, conn: Connection) -> None:
        held = sa.and_(
            cycles.c.id == self.cycle.id, cycles.c.fence == self.cycle.fence, cycles.c.owner == self.cycle.owner
        )
        until = database_seconds(conn) + self.lease
        if conn.execute(cycles.update().where(held).values(lease_until=until)).rowcount != 1:
            self.lost.set()
            raise LeaseLost(self.cycle.id)


Step = Callable[[Attempt], Wait | End | None]


class Worker:
    """Claims open cycles and walks them, step by step, until they end or wait."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Step],
        *,
        on_failure: Callable[[Attempt, Connection, BaseException], None],
        now: Callable[[], int],
        lease: float = 30.0,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._on_failure = on_failure
        self._now = now
        self._lease = lease
        self.me = f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}:{new_id()[-6:]}"

    def run_pending(self, *, only: str | None = None) -> int:
        """Walk every cycle that can move now; returns how many were walked."""
        walked = 0
        seen: set[str] = set()
        while (cycle := self._claim(seen, only)) is not None:
            seen.add(cycle.id)
            self._walk(cycle)
            walked += 1
        return walked

    def _claim(self, seen: set[str], only: str | None) -> Cycle | None:
        if not self._candidates(seen, only):
            return None  # the usual case: no write lock is taken to find nothing
        with self._database.write() as conn:
            moment = database_seconds(conn)
            query = cycles.select().where(cycles.c.state.in_(OPEN_STATES)).order_by(cycles.c.id)
            for row in conn.execute(query.with_for_update(skip_locked=True)).mappings():
                if row["id"] in seen or (only and row["id"] != only) or not _is_free(row, moment):
                    continue
                if row["attempts"] >= MAX_ATTEMPTS:
                    _close(conn, row["id"], "failed", outcome="failed", error="too many attempts", at=self._now())
                    continue
                taken = {
                    "state": "running",
                    "owner": self.me,
                    "fence": row["fence"] + 1,
                    "attempts": row["attempts"] + 1,
                    "lease_until": moment + self._lease,
                }
                conn.execute(cycles.update().where(cycles.c.id == row["id"]).values(**taken))
                return to_cycle(dict(row) | taken)
        return None

    def _candidates(self, seen: set[str], only: str | None) -> list[str]:
        with self._database.read() as conn:
            moment = database_seconds(conn)
            rows = conn.execute(cycles.select().where(cycles.c.state.in_(OPEN_STATES))).mappings().all()
        free = [row["id"] for row in rows if _is_free(row, moment) and row["id"] not in seen]
        return [cycle_id for cycle_id in free if not only or cycle_id == only]

    def _walk(self, cycle: Cycle) -> None:
        attempt = Attempt(self._database, cycle, lease=self._lease)
        stop = threading.Event()
        beat = threading.Thread(target=_beat, args=(attempt, stop), daemon=True)
        beat.start()
        try:
            self._steps(attempt)
        except LeaseLost:
            pass  # another worker has it; our last transaction was rolled back
        except Exception as error:  # noqa: BLE001  whatever a step raised ends this cycle, not the worker
            self._fail(attempt, error)
        finally:
            stop.set()
            beat.join()

    def _steps(self, attempt: Attempt) -> None:
        for name in attempt.cycle.definition:
            if name in attempt.results:
                continue
            answer = self._handlers[name](attempt)
            if isinstance(answer, Wait):
                with attempt.commit() as conn:
                    _set(
                        conn,
                        attempt.cycle.id,
                        state="waiting",
                        owner="",
                        lease_until=0.0,
                        attempts=0,
                        reason=answer.reason,
                    )
                return
            if isinstance(answer, End):
                with attempt.commit() as conn:
                    _close(
                        conn,
                        attempt.cycle.id,
                        "done",
                        outcome=answer.outcome,
                        reason=answer.reason,
                        version=answer.version,
                        at=self._now(),
                    )
                return

    def _fail(self, attempt: Attempt, error: BaseException) -> None:
        try:
            with attempt.commit() as conn:
                _close(conn, attempt.cycle.id, "failed", outcome="failed", error=str(error)[:4000], at=self._now())
                self._on_failure(attempt, conn, error)
        except LeaseLost:
            pass


def submit(
    conn: Connection,
    model: str,
    *,
    cause: str,
    actor: str,
    as_of: int,
    definition: tuple[str, ...],
    evidence: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
    forced: bool = False,
) -> tuple[Cycle, bool]:
    """Queue a cycle; a model has at most one open, which is returned instead (second value False)."""
    existing = conn.execute(cycles.select().where(cycles.c.model == model, cycles.c.state.in_(OPEN_STATES))).mappings()
    if (row := existing.first()) is not None:
        return to_cycle(dict(row)), False
    cycle = Cycle(
        id=new_id(),
        model=model,
        run=new_id(),
        cause=cause,
        evidence=evidence or {},
        actor=actor,
        as_of=as_of,
        params=params or {},
        forced=forced,
        definition=definition,
        state="queued",
        outcome="",
        reason="",
        version=None,
        error="",
        attempts=0,
        fence=0,
        owner="",
        lease_until=0.0,
        ended_at=None,
    )
    conn.execute(cycles.insert().values(**msgspec.structs.asdict(cycle) | {"definition": list(definition)}))
    return cycle, True


def get_cycle(conn: Connection, cycle_id: str) -> Cycle | None:
    """One cycle; None when there is none with this id."""
    row = conn.execute(cycles.select().where(cycles.c.id == cycle_id)).mappings().first()
    return None if row is None else to_cycle(dict(row))


def steps_done(conn: Connection, cycle_id: str) -> list[str]:
    """Names of the steps that are committed, in the order they were."""
    query = sa.select(steps.c.name).where(steps.c.cycle == cycle_id).order_by(steps.c.recorded)
    return list(conn.execute(query).scalars())


def list_cycles(conn: Connection, model: str | None = None) -> list[Cycle]:
    """Cycles in the order they began."""
    query = cycles.select().order_by(cycles.c.id)
    if model is not None:
        query = query.where(cycles.c.model == model)
    return [to_cycle(dict(row)) for row in conn.execute(query).mappings()]


def to_cycle(row: dict[str, Any]) -> Cycle:
    """The cycle of a table row."""
    return Cycle(**row | {"definition": tuple(row["definition"])})


def _set(conn: Connection, cycle_id: str, **values: Any) -> None:
    conn.execute(cycles.update().where(cycles.c.id == cycle_id).values(**values))


def _close(
    conn: Connection,
    cycle_id: str,
    state: str,
    *,
    outcome: str,
    at: int,
    reason: str = "",
    error: str = "",
    version: int | None = None,
) -> None:
    values = {"outcome": outcome, "reason": reason or error.splitlines()[-1] if error else reason, "error": error}
    _set(conn, cycle_id, state=state, owner="", lease_until=0.0, version=version, ended_at=at, **values)


def _is_free(row: Mapping[Any, Any], moment: float) -> bool:
    return row["state"] != "running" or row["lease_until"] < moment or _owner_is_dead(row["owner"])


def _owner_is_dead(owner: str) -> bool:
    """True only when the owner ran on this machine and its process is gone: no need to wait for its lease then."""
    host, pid, started, _noise = owner.rsplit(":", 3)
    return host == socket.gethostname() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; tells a process from a later one with the same pid."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return "" if Path("/proc/self").is_dir() else "unknown"
    return "" if fields[0] == b"Z" else fields[19].decode()


def _beat(attempt: Attempt, stop: threading.Event) -> None:
    while not stop.wait(attempt.lease / 3):
        try:
            attempt.extend()
        except LeaseLost:
            return
        except sa.exc.SQLAlchemyError:
            continue  # the database is away: try again; the fence protects us meanwhile
