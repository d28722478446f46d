"""What a compiling child is told and what it answers; plain data, so that neither side needs the other's libraries."""

from typing import Any

import msgspec

from homeostat.serving.compiling.report import Report

SECONDS = 180
"""How long compiling may take; the largest forests take tens of seconds."""


class CompileJob(msgspec.Struct, frozen=True, kw_only=True):
    """Which version to compile."""

    settings: dict[str, Any]
    model: str
    version: int
    thorough: bool
    seconds: int = SECONDS


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of compiling a package; `blob` is the artifact's digest, None when the original serves."""

    report: Report
    blob: str | None = None
    size: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says: an outcome, or what is wrong with the version itself."""

    outcome: Outcome | None = None
    error: str = ""
    next_step: str = ""


def left_alone(why: str, task: str = "") -> Outcome:
    """The original serves, for this reason."""
    return Outcome(report=Report(kind="native", why=why, task=task))
