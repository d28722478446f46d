"""Looking for breaks in what is sent, every hour of event time: counters, a sample of rows, refused requests."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import Connection

from homeostat.ground.clock import DAY, HOUR
from homeostat.loop.declaration import list_declarations
from homeostat.loop.judged import Judged, judged_model
from homeostat.loop.log_sample import refusals, sample_vectors
from homeostat.loop.monitors import list_monitors
from homeostat.monitoring import health
from homeostat.monitoring.alarms import Alarm, list_alarms
from homeostat.monitoring.bins import SCORE, Counts
from homeostat.monitoring.breaks.check import SAMPLED, Requests, check_breaks
from homeostat.monitoring.breaks.shares import Seen
from homeostat.monitoring.breaks.types import MIN_ROWS, Sample, SampledRows
from homeostat.monitoring.drift import profile
from homeostat.monitoring.findings import note_findings
from homeostat.monitoring.rules import settle_alarms
from homeostat.monitoring.types import Finding, Quality
from homeostat.registry.types import ModelVersion
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

KIND = "quality"
EVERY, SAMPLE_EVERY = HOUR, 6 * HOUR
PAST_DAYS, CALM_DAYS = 28, 4


class QualityWatch:
    """One per engine; remembers when it looked last."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._folder = folder
        self._looked: dict[str, int] = {}
        self._sampled: dict[str, int] = {}
        self._days: dict[tuple[str, int], dict[int, list[Counts]]] = {}

    def look(self, *, now: int) -> list[str]:
        """Check the models that are due; says which were."""
        with self._database.read() as conn:
            watched = [one.model for one in list_declarations(conn)] + [one.model for one in list_monitors(conn)]
        due = [model for model in watched if now - self._looked.get(model, -EVERY) >= EVERY]
        for model in due:
            self._model(model, now)
            self._looked[model] = now
        return due

    def _model(self, model: str, now: int) -> None:
        with self._database.read() as conn:
            judged = judged_model(conn, model)
            open_alarms = [alarm for alarm in list_alarms(conn, model, is_open=True) if alarm.kind == KIND]
        rule = next((rule for rule in judged.watch if isinstance(rule, Quality)), None)
        if rule is None or not rule.checks:
            self._settle(judged, [], now, is_over=bool(open_alarms))
        elif judged.version is not None:
            self._settle(judged, self._findings(judged, rule, open_alarms, now), now)

    def _findings(self, judged: Judged, rule: Quality, open_alarms: Sequence[Alarm], now: int) -> list[Finding]:
        assert judged.version is not None  # the caller looked
        version = judged.version
        calm_until = min((alarm.since for alarm in open_alarms), default=now)
        with self._database.read() as conn:
            seen = self._counters(conn, version, now, calm_until)
            asked, refused = _requests(conn, judged.model, now)
        details = refusals(self._database, self._folder, judged.model, since=now - DAY) if refused else []
        return check_breaks(
            rule,
            version.bins,
            seen,
            requests=Requests(asked=asked, refused=refused, details=details),
            sample=lambda: self._sample(judged, version, now, calm_until),
            now=now,
            held={alarm.subject for alarm in open_alarms if SAMPLED & (alarm.latest or alarm.evidence).keys()},
        )

    def _counters(self, conn: Connection, judged: ModelVersion, now: int, calm_until: int) -> list[Seen]:
        """Of each column: the last hour, the last day, and the days before that and before any open break."""
        model, version, reference = judged.model, judged.version, judged.bins
        hour = profile(conn, model, version, reference, start=now - HOUR, end=now)
        day = profile(conn, model, version, reference, start=now - DAY + HOUR, end=now)
        last = min(now, calm_until) - DAY  # a break is found up to a day after it began
        starts = [last - last % DAY - back * DAY for back in range(1, PAST_DAYS + 1)]
        # A day that is over is read once: there are 28 of them, and they are asked about every hour.
        known = self._days.get((model, version), {})
        self._days[model, version] = days = {
            start: known[start]
            if start in known
            else profile(conn, model, version, reference, start=start, end=start + DAY)
            for start in starts
        }
        filled = [counts for counts in days.values() if any(int(one.sum()) for one in counts)]
        return [
            Seen(hour=hour[place], day=day[place], past=[counts[place] for counts in filled])
            for place in range(len(reference))
        ]

    def _sample(self, judged: Judged, version: ModelVersion, now: int, calm_until: int) -> SampledRows | None:
        if now - self._sampled.get(judged.model, -SAMPLE_EVERY) < SAMPLE_EVERY:
            return None
        self._sampled[judged.model] = now
        # A break is found up to a day after it began.
        calm_end = min(now, calm_until) - DAY
        calm, recent = sample_vectors(
            self._database,
            self._blobs,
            self._folder,
            judged.model,
            version.version,
            spans=[(calm_end - CALM_DAYS * DAY, calm_end), (now - DAY, now)],
            width=sum(column.name != SCORE for column in version.bins),
        )
        return None if recent is None else SampledRows(calm=calm or _nothing(recent), recent=recent)

    def _settle(self, judged: Judged, findings: list[Finding], now: int, *, is_over: bool = True) -> None:
        if not findings and not is_over:
            return
        with self._database.write() as conn:
            settle_alarms(conn, judged.model, findings, now=now, kinds={KIND})
            version = judged.version.version if judged.version is not None else 0
            note_findings(conn, judged.model, version, findings, at=now, kinds={KIND})


def _requests(conn: Connection, model: str, now: int) -> tuple[int, int]:
    """Requests of the last hour and how many of them were refused; of the last day, where these were few."""
    asked = refused = 0
    for span in (HOUR, DAY):
        arms = [one for one in health.traffic(conn, model, start=now - span) if one.arm in health.SERVED]
        asked, refused = sum(one.requests for one in arms), sum(one.rejected for one in arms)
        if asked >= MIN_ROWS:
            break
    return asked, refused


def _nothing(like: Sample) -> Sample:
    return Sample(at=like.at[:0], values=like.values[:0])
