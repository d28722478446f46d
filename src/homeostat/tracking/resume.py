"""Going on with a run: which one, what is known of it, and what of it still lies here."""

import contextlib
from pathlib import Path

import msgspec

from homeostat.ground.errors import HomeostatError, NotFound, Unavailable
from homeostat.tracking.place import Place
from homeostat.tracking.spool.folder import is_alive, list_spools, read_header, spools_of
from homeostat.tracking.spool.leftovers import ship_leftovers
from homeostat.tracking.spool.target import KnownRun


class Begun(msgspec.Struct, frozen=True):
    """A note of a run that was begun here; it is taken away when the run finishes."""

    run: str
    project: str
    name: str


def note_begun(home: Path, begun: Begun) -> None:
    """Keep the note for `resume="auto"`."""
    with contextlib.suppress(OSError):  # only convenience hangs on it
        _notes(home).mkdir(parents=True, exist_ok=True)
        (_notes(home) / begun.run).write_bytes(msgspec.json.encode(begun))


def forget(home: Path, run: str) -> None:
    """The run has finished: nothing is left to resume."""
    (_notes(home) / run).unlink(missing_ok=True)


def find_last(home: Path, project: str, name: str) -> str | None:
    """The newest run of this project, and of this name if there is one, that began here and did not finish."""
    alive = {header.run for folder in list_spools(home) if is_alive(folder) and (header := read_header(folder))}
    for path in sorted(_notes(home).glob("*"), reverse=True):
        try:
            note = msgspec.json.decode(path.read_bytes(), type=Begun)
        except (OSError, msgspec.DecodeError):
            continue
        if note.project == project and (not name or note.name == name) and note.run not in alive:
            return note.run
    return None


def look_up(place: Place, run: str) -> KnownRun:
    """What is known of the run that goes on: from its target, or nothing while that is away.

    Raises:
        NotFound: when the target knows no such run, and none of its spools lies here.
    """
    if place.is_offline:
        return KnownRun()
    # What an earlier process left of it comes first, its being killed included.
    ship_leftovers(place.home, place.open_target, accepts=lambda header: header.run == run)
    try:
        target = place.open_target(place.target)
        try:
            found = target.run(run)
        finally:
            target.close()
    except Unavailable:
        return KnownRun()
    if found is None and not _lies_here(place.home, run):
        raise NotFound(f"there is no run {run!r:.80} to resume", field="resume", next_step="homeostat run ls")
    return found or KnownRun()


def ship_what_children_left(place: Place, run: str) -> None:
    """Ship the spools of forked children that have ended without shipping all of theirs."""
    with contextlib.suppress(HomeostatError):  # they stay, and `homeostat sync` tells of them
        ship_leftovers(place.home, place.open_target, accepts=lambda header: header.run == run and not header.ends_run)


def _lies_here(home: Path, run: str) -> bool:
    return any(header.run == run for folder in list_spools(home) if (header := read_header(folder)))


def _notes(home: Path) -> Path:
    return spools_of(home) / "begun"
