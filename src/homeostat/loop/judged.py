"""A model as it is judged by its labels: declared, watched from elsewhere, or only registered."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.evaluation.metrics import PRIMARY, metrics_of
from homeostat.evaluation.named import NamedMetric, named_metric
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.records import Signature
from homeostat.loop.declaration import Declaration, get_declaration, is_declared
from homeostat.loop.monitors import find_monitor
from homeostat.loop.own_metrics import OwnMetric
from homeostat.monitoring.accuracy_windows.types import Measure
from homeostat.monitoring.types import Accuracy, Watch
from homeostat.registry.lookup import aliases_of, model_key, newest_number
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.blobs import BlobStore


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model: its task, its watch rules, and the version that its alias or number names."""

    model: str
    task: str
    watch: tuple[Watch, ...]
    version: ModelVersion | None
    """The champion, or else the newest; None before the first."""
    declaration: Declaration | None

    @property
    def rules(self) -> tuple[Accuracy, ...]:
        """Its rules about accuracy."""
        return tuple(rule for rule in self.watch if isinstance(rule, Accuracy))

    @property
    def reference(self) -> dict[str, float | None]:
        """What the version scored at its gate, or on the rows it was registered with."""
        if self.version is None:
            return {}
        found: dict[str, Any] = self.version.evaluation.get("evaluation", {}).get("challenger", {})
        return found

    @property
    def signature(self) -> Signature | None:
        return None if self.version is None else self.version.signature


def judged_model(conn: Connection, model: str) -> Judged:
    """What is known of a model.

    Raises:
        NotFound: when no model of this name is declared or registered.
    """
    declaration = get_declaration(conn, model) if is_declared(conn, model) else None
    version = _version(conn, model)
    if declaration is not None:
        return Judged(
            model=model, task=declaration.task, watch=declaration.watch, version=version, declaration=declaration
        )
    monitor = find_monitor(conn, model)
    task = version.signature.task if version is not None else ""
    watch = monitor.watch if monitor is not None else ()
    return Judged(model=model, task=task, watch=watch, version=version, declaration=None)


def measure_of(blobs: BlobStore, judged: Judged, metric: str) -> Measure:
    """The metric of that name for a model: ours, scikit-learn's, or a function of its declared file.

    Raises:
        Invalid: when there is none, or nobody knows yet what the model answers.
    """
    rule = next((rule for rule in judged.rules if rule.metric == metric and rule.is_own), None)
    if rule is not None and judged.declaration is not None:
        return OwnMetric(blobs, judged.declaration, rule)
    return known_measure(metric, judged.task)


def known_measure(metric: str, task: str) -> NamedMetric:
    """A metric that needs no declared file."""
    if not task:
        raise Invalid(
            "nobody has looked yet at what this model answers",
            field="model",
            next_step="put a version of it into service, or: homeostat model inspect MODEL@VERSION",
        )
    return named_metric(metric, task)


def default_metric(judged: Judged) -> str:
    """The first declared, or the loss that stands for the task."""
    return judged.rules[0].metric if judged.rules else PRIMARY.get(judged.task, "accuracy")


def unknown_measures(blobs: BlobStore, judged: Judged) -> dict[str, Measure]:
    """Measures of the declared metrics that evaluation has no formula for."""
    ours = metrics_of(judged.task) if judged.task in PRIMARY else {}
    return {rule.metric: measure_of(blobs, judged, rule.metric) for rule in judged.rules if rule.metric not in ours}


def _version(conn: Connection, model: str) -> ModelVersion | None:
    try:
        key = model_key(conn, model)
    except NotFound:
        if is_declared(conn, model):
            return None
        raise
    number = aliases_of(conn, model).get("champion") or newest_number(conn, key)
    return None if number is None else get_version(conn, model, number)
