"""Applying `keep_predictions`: how old a segment must be before nothing that is declared can ask for it any more."""

from collections.abc import Iterable

from homeostat.ground.clock import DAY, SystemClock, parse_duration
from homeostat.ground.settings import Settings
from homeostat.loop.declaration import Declaration, list_declarations
from homeostat.loop.triggers import Worse
from homeostat.monitoring.keys import forget_keys
from homeostat.monitoring.types import Accuracy, WeakSegment
from homeostat.serving.retention import remove_segments
from homeostat.serving.segments import Segment
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database

AT_LEAST = DAY
"""Younger predictions stay whatever the setting says: rollouts and labels of today need them."""


def drop_old_predictions(database: Database, blobs: BlobStore, settings: Settings, *, now: int) -> int:
    """Remove segments of predictions that are older than the setting and than any horizon; says how many.

    `now` is event time. What accuracy rests on (one narrow row a prediction) stays, and so do labels.
    """
    if not settings.keep_predictions:
        return 0
    kept = parse_duration(settings.keep_predictions, field="keep_predictions")
    with database.read() as conn:
        horizons = {one.model: horizon(one) for one in list_declarations(conn)}
    least = max(AT_LEAST, parse_duration(settings.label_window, field="label_window"))

    def is_needed(segment: Segment) -> bool:
        return segment.last_at >= now - max(horizons.get(model, 0) for model in segment.models)

    before, machine_now = now - max(kept, least), SystemClock().now()
    removed = remove_segments(database, blobs, before=before, is_needed=is_needed, now=machine_now)
    if removed:
        with database.write() as conn:
            forget_keys(conn, before=now - max([kept, least, *horizons.values()]))
    return removed


def horizon(declaration: Declaration) -> int:
    """How far back labels of a model are still looked at: by its watches, its triggers and its evaluation."""
    return max([declaration.evaluation_window, *_windows(declaration)])


def _windows(declaration: Declaration) -> Iterable[int]:
    # Twice: delays are learned from the window before, and drift compares two windows in a row.
    yield from (2 * rule.window for rule in declaration.watch if isinstance(rule, Accuracy))
    yield from (rule.window for rule in declaration.watch if isinstance(rule, WeakSegment))
    conditions = declaration.retrain.conditions if declaration.retrain is not None else ()
    yield from (2 * rule.window for rule in conditions if isinstance(rule, Worse))
