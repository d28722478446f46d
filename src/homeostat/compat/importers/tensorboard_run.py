"""What TensorBoard's event files tell about one run: scalars, hyperparameters, and media in a second reading."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from homeostat.compat.importers.column import Column
from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.tensorboard_events import Event, read_events
from homeostat.ground.clock import SECOND
from homeostat.ground.extras import require

_HPARAMS = "_hparams_/"
_STATUS = {1: "finished", 2: "failed"}
MEDIA = ("images", "audio", "text", "histograms")


class Media(msgspec.Struct, frozen=True):
    """A summary that is no number, as it stands in the file."""

    plugin: str
    tag: str
    step: int
    at: int
    tensor: Any


class TensorboardRun:
    """A folder of event files, read once for numbers; `media` reads it again, so that no image waits in memory."""

    def __init__(self, label: str, files: list[Path], losses: Losses) -> None:
        self.label = label
        self.files = files
        self.losses = losses
        self.series: dict[str, Column] = {}
        self.params: dict[str, Any] = {}
        self.status = "finished"
        self.group = ""
        self.first_seen: float | None = None
        self.last_seen = 0.0
        self._plugins: dict[str, str] = {}
        self._restarts: list[tuple[int, int]] = []
        """Restarts: how many events came before, and the step from which earlier ones no longer count."""

    def read(self) -> None:
        """Take in every event."""
        unread: dict[str, int] = {}
        for number, event in enumerate(read_events(self.files, self.label, self.losses)):
            self._seen(event.wall_time)
            if event.restart is not None:
                self._restart(number, event.restart)
            for value in event.values:
                self._take(event, value, unread)
            for what in event.other:
                unread[what] = unread.get(what, 0) + 1
        for what, count in unread.items():
            self.losses.add(self.label, what, "has no place here", count)

    def media(self) -> Iterator[Media]:
        """Images, audio, text and histograms, in the order they were written, without what a restart took back."""
        self._plugins.clear()
        for number, event in enumerate(read_events(self.files, self.label, Losses())):
            for value in event.values:
                plugin = self._plugin(value)
                if plugin in MEDIA and not self._is_purged(number, event.step):
                    yield Media(plugin, value.tag, event.step, moment(event.wall_time), value.tensor)

    def _take(self, event: Event, value: Any, unread: dict[str, int]) -> None:
        plugin = self._plugin(value)
        if value.tag.startswith(_HPARAMS):
            self._take_hparams(value)
        elif plugin == "scalars":
            number = _number(value)
            if number is None:
                self.losses.add(self.label, f"scalar {value.tag!r:.100}", "is not one number")
                return
            self.series.setdefault(value.tag, Column()).append(event.step, moment(event.wall_time), number)
        elif plugin not in MEDIA:
            what = f"summaries of plugin {plugin!r:.60}" if plugin else f"tensor {value.tag!r:.100}"
            unread[what] = unread.get(what, 0) + 1

    def _take_hparams(self, value: Any) -> None:
        messages = require("tensorboard.plugins.hparams.plugin_data_pb2", extra="tensorboard")
        try:
            data = messages.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        except Exception:  # noqa: BLE001  protobuf's decoders raise errors of several modules, all meaning this
            self.losses.add(self.label, "hyperparameters", "cannot be read")
            return
        kind = data.WhichOneof("data")
        if kind == "session_start_info":
            for name, item in data.session_start_info.hparams.items():
                self.params[name] = _plain(item)
            self.group = data.session_start_info.group_name
        elif kind == "session_end_info":
            self.status = _STATUS.get(data.session_end_info.status, "finished")

    def _plugin(self, value: Any) -> str:
        """The plugin of a value; only the first value of a tag has to say it."""
        named = value.metadata.plugin_data.plugin_name
        if value.WhichOneof("value") == "simple_value" and not named:
            return "scalars"
        if named:
            self._plugins.setdefault(value.tag, named)
        return self._plugins.get(value.tag, "")

    def _restart(self, number: int, step: int) -> None:
        self._restarts.append((number, step))
        gone = sum(column.forget_from(step) for column in self.series.values())
        self.series = {tag: column for tag, column in self.series.items() if len(column)}
        if gone:
            self.losses.add(self.label, "points", f"taken back by a restart at step {step}", gone)

    def _is_purged(self, number: int, step: int) -> bool:
        return any(number < when and step >= start for when, start in self._restarts)

    def _seen(self, wall_time: float) -> None:
        if math.isfinite(wall_time):
            self.first_seen = wall_time if self.first_seen is None else min(self.first_seen, wall_time)
            self.last_seen = max(self.last_seen, wall_time)


def moment(wall_time: float) -> int:
    """Microseconds of a wall time; 0 when it is none."""
    return round(wall_time * SECOND) if abs(wall_time) < 2**63 // SECOND else 0


def _number(value: Any) -> float | None:
    if value.WhichOneof("value") == "simple_value":
        return float(value.simple_value)
    array = as_array(value.tensor)
    if array is None or array.size != 1 or array.dtype.kind not in "fiub":
        return None
    return float(array.reshape(()))


def as_array(tensor: Any) -> Any:
    """A tensor as a numpy array; None when it is not one."""
    try:
        return require("tensorboard.util.tensor_util", extra="tensorboard").make_ndarray(tensor)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, MemoryError):
        return None


def _plain(item: Any) -> Any:
    kind = item.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind in ("number_value", "string_value", "bool_value"):
        return getattr(item, kind)
    return json.dumps(str(item), ensure_ascii=False)
