"""Spools whose writer is gone: shipped by `homeostat sync`, by a server for its home, by whoever resumes the run."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeostat.ground.errors import HomeostatError, Unavailable
from homeostat.tracking.ops import EndRun, Files
from homeostat.tracking.spool.folder import (
    CONSOLE,
    LOG,
    Header,
    is_alive,
    list_spools,
    lock_if_left,
    mapped_log,
    read_header,
    remove_spool,
)
from homeostat.tracking.spool.records import HEAD, OP, Log, Stretch, checked_stretches, framed
from homeostat.tracking.spool.shipment import Shipment
from homeostat.tracking.spool.staging import stage_file
from homeostat.tracking.spool.target import Target

CONSOLE_ARTIFACT = "output.log"


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool."""

    spool: str
    run: str
    project: str
    target: str
    state: str
    """'shipped'; 'alive', its process writes it still; 'waiting', the target is away; 'refused' by it; 'unreadable'."""
    bytes: int = 0
    damaged: int = 0
    """Bytes in its middle that could not be read."""
    rejected: int = 0
    """Operations that the target refused, or that nothing could be made of."""
    was_killed: bool = False
    problem: str = ""


def ship_leftovers(
    home: Path,
    open_target: Callable[[str], Target],
    *,
    accepts: Callable[[Header], bool] = lambda _: True,
    on_shipped: Callable[[Shipped], None] = lambda _: None,
) -> list[Shipped]:
    """Ship every spool of a home whose writer is gone; `open_target` gets the target that a spool names.

    Twice is once: a spool that was shipped in part goes on where it stood. A target that is away is not asked again.
    """
    targets: dict[str, Target] = {}
    away: dict[str, str] = {}
    found: list[Shipped] = []
    headers = [(folder, read_header(folder)) for folder in list_spools(home)]
    try:
        for folder, header in headers:
            if header is None:
                result = _unreadable(folder)
            elif not accepts(header):
                continue
            elif header.target in away:
                result = _result(header, "waiting", problem=away[header.target])
            else:
                siblings = [other for other, its in headers if its and its.run == header.run and other != folder]
                result = _ship_if_left(folder, header, targets, open_target, siblings)
                if result.state == "waiting":
                    away[header.target] = result.problem
            found.append(result)
            on_shipped(result)
    finally:
        for target in targets.values():
            target.close()
    return found


def _ship_if_left(
    folder: Path,
    header: Header,
    targets: dict[str, Target],
    open_target: Callable[[str], Target],
    siblings: list[Path],
) -> Shipped:
    with lock_if_left(folder) as left:
        if not left:
            return _result(header, "alive")
        run_goes_on = any(is_alive(sibling) for sibling in siblings)
        was_killed = header.ends_run and not run_goes_on and _close(folder, header)
        try:
            target = targets.get(header.target) or open_target(header.target)
            targets[header.target] = target
            shipment = Shipment(folder, header, target)
            try:
                shipment.ship_left()
            finally:
                shipment.close()
        except Unavailable as error:
            return _result(header, "waiting", problem=str(error), was_killed=was_killed)
        except OSError as error:
            return _result(header, "refused", problem=f"the spool cannot be read: {error.strerror}")
        except HomeostatError as error:
            return _result(header, "refused", problem=str(error), was_killed=was_killed)
        size = (folder / LOG).stat().st_size
        if not run_goes_on:  # else it is looked at again when the run's other process has ended
            remove_spool(folder)
        rejected = len(shipment.rejected) + shipment.unnamed
        state = "shipped"
        return _result(header, state, size=size, damaged=shipment.damaged, rejected=rejected, was_killed=was_killed)


def _close(folder: Path, header: Header) -> bool:
    """End the spool of a run that never ended: cut its torn tail, add what it printed, and that it was killed."""
    path = folder / LOG
    with mapped_log(folder) as log:
        stretches = checked_stretches(log)
        if _has_ended(log, stretches):
            return False
    ended = path.stat().st_mtime_ns // 1000
    ops: list[Files | EndRun] = []
    if (folder / CONSOLE).is_file():
        digest, size = stage_file(folder, folder / CONSOLE)
        ops.append(Files(header.run, CONSOLE_ARTIFACT, digest, size))
    ops.append(EndRun(header.run, "killed", ended, "the process ended without a word"))
    end = stretches[-1].end
    with path.open("r+b") as file:
        file.truncate(end)
        file.seek(end)
        for op in ops:
            file.write(record := framed(OP + msgspec.msgpack.encode(op), end))
            end += len(record)
    os.utime(path, ns=(ended * 1000, ended * 1000))
    return True


def _has_ended(data: Log, stretches: list[Stretch]) -> bool:
    for stretch in stretches:
        position = stretch.end if stretch.is_damaged else stretch.start
        while position < stretch.end:
            start = position + HEAD.size
            position = start + HEAD.unpack_from(data, position)[1]
            if data[start : start + 1] == OP and msgspec.msgpack.decode(data[start + 1 : position])[0] == "end":
                return True
    return False


def _unreadable(folder: Path) -> Shipped:
    state = "alive" if is_alive(folder) else "unreadable"
    return Shipped(spool=folder.name, run="", project="", target="", state=state, problem="its first record is damaged")


def _result(
    header: Header,
    state: str,
    *,
    size: int = 0,
    damaged: int = 0,
    rejected: int = 0,
    was_killed: bool = False,
    problem: str = "",
) -> Shipped:
    return Shipped(
        spool=header.spool,
        run=header.run,
        project=header.project,
        target=header.target,
        state=state,
        bytes=size,
        damaged=damaged,
        rejected=rejected,
        was_killed=was_killed,
        problem=problem,
    )
