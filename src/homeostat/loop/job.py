"""What a training child is told and what it answers; plain data, so that neither side needs the other's libraries."""

from typing import Any

import msgspec

from homeostat.loop.declaration import Declaration


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Collect, train, evaluate, compile for one cycle; `done` holds the results of steps that are done already."""

    settings: dict[str, Any]
    declaration: Declaration
    cycle: str
    run: str
    as_of: int
    params: dict[str, Any]
    champion: int | None
    done: dict[str, Any]
    memory_mb: int = 0
    forced: bool = False
    """Registered whatever the gates say."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One line from the child: a finished step, or why it failed."""

    step: str = ""
    result: dict[str, Any] = {}
    error: str = ""
    traceback: str = ""
