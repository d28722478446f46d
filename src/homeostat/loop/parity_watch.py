"""Training-serving skew, row by row and live: served vectors of the last day, recomputed in a child process."""

import os
import subprocess
import sys
import time

import msgspec

from homeostat.ground.clock import DAY, HOUR, to_iso
from homeostat.ground.settings import Settings
from homeostat.loop.declaration import list_declarations
from homeostat.loop.judged import Judged, judged_model
from homeostat.loop.parity import LoggedParity
from homeostat.monitoring.findings import note_findings
from homeostat.monitoring.rules import judge_share, settle_alarms
from homeostat.monitoring.types import Finding, Skew
from homeostat.store.database import Database

KIND = "parity"
LAG = HOUR
"""Rows younger than this are left for tomorrow: their sources' files may lack what was pushed already."""
REST = 60.0
"""Seconds of machine time between two checks: a clock that is driven through a year would start hundreds."""
PATIENCE = 300.0
SHOWN = 5


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked."""

    settings: Settings
    model: str
    sample: int
    start: int
    end: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it says: a report, or why there is none."""

    report: LoggedParity | None = None
    error: str = ""


class ParityWatch:
    """Checks models that declare `hs.skew(...)` once an event day; one per engine."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._looked: dict[str, int] = {}
        self._rested = 0.0

    def look(self, *, now: int) -> list[str]:
        """Check the models that are due; says which were."""
        with self._database.read() as conn:
            declared = [one.model for one in list_declarations(conn)]
        due = [model for model in declared if now - self._looked.get(model, -DAY) >= DAY]
        if not due or time.monotonic() < self._rested:
            return []
        asked = [model for model in due if self._model(model, now)]
        self._looked |= dict.fromkeys(due, now)
        if asked:
            self._rested = time.monotonic() + REST
        return asked

    def _model(self, model: str, now: int) -> bool:
        with self._database.read() as conn:
            judged = judged_model(conn, model)
        rule = next((rule for rule in judged.watch if isinstance(rule, Skew)), None)
        signature = judged.signature
        if rule is None or rule.rows == 0 or signature is None or not signature.feature_hash:
            self._settle(judged, [], now)  # nothing is recomputed (any more)
            return False
        window = (now - DAY - LAG, now - LAG)
        answer = self._ask(model, rule.rows, window)
        self._settle(judged, parity_findings(answer, rule, [one.name for one in signature.columns], window), now)
        return True

    def _ask(self, model: str, sample: int, window: tuple[int, int]) -> Answer:
        settings = msgspec.structs.replace(self._settings, home=str(self._settings.home_path), clock="system")
        question = Question(settings=settings, model=model, sample=sample, start=window[0], end=window[1])
        try:
            done = subprocess.run(
                [sys.executable, "-m", "homeostat.loop.parity_child"],
                input=msgspec.json.encode(question),
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
                env={"OMP_NUM_THREADS": "1"} | os.environ,
            )
        except subprocess.TimeoutExpired:
            return Answer(error=f"recomputing took more than {PATIENCE:.0f} s")
        if done.returncode:
            return Answer(error=f"the process that recomputes ended with exit code {done.returncode}")
        return msgspec.json.decode(done.stdout, type=Answer)

    def _settle(self, judged: Judged, findings: list[Finding], now: int) -> None:
        with self._database.write() as conn:
            settle_alarms(conn, judged.model, findings, now=now, kinds={KIND})
            version = judged.version.version if judged.version is not None else 0
            note_findings(conn, judged.model, version, findings, at=now, kinds={KIND})


def parity_findings(answer: Answer, rule: Skew, features: list[str], window: tuple[int, int]) -> list[Finding]:
    """One finding a feature; none of them is 'ok' on fewer rows than say anything."""
    report = answer.report
    span = [to_iso(moment) for moment in window]
    if report is None or not report.checked:
        evidence = {"reason": answer.error or "nothing was served", "window": span}
        return [Finding(kind=KIND, subject="", status="insufficient", evidence=evidence)]
    return [_feature(name, report, rule, span) for name in features]


def _feature(name: str, report: LoggedParity, rule: Skew, span: list[str]) -> Finding:
    differ = report.features.get(name, 0)
    evidence: dict[str, object] = {"checked": report.checked, "differ": differ, "limit": rule.differ, "window": span}
    examples = [one for one in report.examples if one["feature"] == name][:SHOWN]
    if examples:
        evidence["examples"] = examples
    return Finding(kind=KIND, subject=name, status=judge_share(differ, report.checked, rule.differ), evidence=evidence)
