"""What a `.wandb` file tells about its run, gathered record by record."""

import json
from collections.abc import Iterator
from typing import IO, Any

from homeostat.compat.importers.column import Column
from homeostat.compat.importers.damage import Damage
from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.wandb_framing import read_frames
from homeostat.compat.importers.wandb_messages import record_class
from homeostat.compat.importers.wandb_values import EXACT, as_number, flat, merge, nested, remove
from homeostat.ground.clock import SECOND

_INT64 = 2**63
_BESIDE = ("_step", "_timestamp")
"""A history row's own step and time: they are part of each point, not series."""


class WandbRun:
    """A run as its file tells it. Feed it records in order; the attributes are then what was said last."""

    def __init__(self, label: str, losses: Losses) -> None:
        self.label = label
        self.losses = losses
        self.head: Any = None
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.series: dict[str, Column] = {}
        self.system: dict[str, Column] = {}
        self.other_rows: list[str] = []
        """History values that are no numbers: JSON lines with `_step`."""
        self.step_metrics: dict[str, str] = {}
        self.environment: dict[str, Any] = {}
        self.git: dict[str, str] = {}
        self.output: list[str] = []
        self.artifacts: list[Any] = []
        self.exit_code: int | None = None
        self.last_seen = 0
        """The latest time any record names, microseconds."""

    def read(self, source: IO[bytes]) -> None:
        """Take in a whole file, whatever of it can be read."""
        make = record_class()
        for frame in read_frames(source):
            if isinstance(frame, Damage):
                self._note_damage(frame)
                continue
            try:
                record = make.FromString(frame)
            except Exception:  # noqa: BLE001  protobuf's decoders raise errors of several modules, all meaning this
                self.losses.add(self.label, "record", "is not a W&B record")
                continue
            kind = record.WhichOneof("record_type")
            take = _TAKERS.get(kind or "")
            if take is not None:
                take(self, getattr(record, kind))

    def take_run(self, record: Any) -> None:
        self.head = record
        self.exit_code = None  # a stretch that resumes a run has its own end
        self._merge(self.config, record.config.update, "config value")
        self._merge(self.summary, record.summary.update, "summary value")
        self._take_git(record.git)
        if record.HasField("start_time"):
            self._seen(_moment(record.start_time))

    def take_config(self, record: Any) -> None:
        self._change(self.config, record, "config value")

    def take_summary(self, record: Any) -> None:
        self._change(self.summary, record, "summary value")

    def take_history(self, record: Any) -> None:
        row, broken = nested(record.item)
        if broken:
            self.losses.add(self.label, "history value", "is no JSON", broken)
        step = _whole(row.get("_step"))
        if step is None:
            step = record.step.num if record.HasField("step") else len(self.other_rows)
        at = _seconds(row.get("_timestamp"), self.last_seen)
        self._seen(at)
        other = {}
        for name, value in flat(row, joint="/"):
            if name in _BESIDE or value is None:
                continue
            number = as_number(value)
            if number is None:
                other[name] = value
                continue
            if isinstance(value, int) and abs(value) > EXACT and int(number) != value:
                self.losses.add(
                    self.label, f"history of {name!r:.100}", "whole numbers over 2**53 are rounded to floats"
                )
            self._column(self.series, name).append(step, at, number)
        if other:
            self.other_rows.append(json.dumps({"_step": step, **other}, ensure_ascii=False))

    def take_stats(self, record: Any) -> None:
        at = _moment(record.timestamp)
        self._seen(at)
        for item in record.item:
            try:
                number = as_number(json.loads(item.value_json))
            except (ValueError, RecursionError):
                number = None
            if number is None:
                self.losses.add(self.label, f"system metric {item.key!r:.100}", "is not a number")
                continue
            column = self._column(self.system, f"system/{item.key}")
            column.append(len(column), at, number)

    def take_metric(self, record: Any) -> None:
        name = record.name or record.glob_name
        if name and record.step_metric:
            self.step_metrics[name] = record.step_metric

    def take_environment(self, record: Any) -> None:
        names: tuple[str, ...] = (
            "os",
            "python",
            "docker",
            "program",
            "code_path",
            "host",
            "username",
            "executable",
            "gpu_type",
        )
        names += ("cpu_count", "cpu_count_logical", "gpu_count", "cuda_version")
        self.environment |= {name: getattr(record, name) for name in names if getattr(record, name)}
        if record.args:
            self.environment["args"] = list(record.args)
        self._take_git(record.git)

    def take_output(self, record: Any) -> None:
        self.output.append(record.line)
        self._seen(_moment(record.timestamp))

    def take_artifact(self, record: Any) -> None:
        self.artifacts.append(record)

    def take_used(self, record: Any) -> None:
        self.losses.add(self.label, f"used artifact {record.name!r:.100}", "an offline log holds its id alone")

    def take_alert(self, record: Any) -> None:
        self.losses.add(self.label, f"alert {record.title!r:.100}", "alerts belong to W&B")

    def take_tensorboard(self, _record: Any) -> None:
        self.losses.add(self.label, "synced TensorBoard folder", "import it with: homeostat import tensorboard DIR")

    def take_exit(self, record: Any) -> None:
        self.exit_code = record.exit_code

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Every series, those of the machine too."""
        yield from self.series.items()
        yield from self.system.items()

    def _take_git(self, record: Any) -> None:
        if record.commit:
            self.git = {"commit": record.commit}

    def _change(self, tree: dict[str, Any], record: Any, what: str) -> None:
        self._merge(tree, record.update, what)
        for item in record.remove:
            remove(tree, list(item.nested_key) or [item.key])

    def _merge(self, tree: dict[str, Any], items: Any, what: str) -> None:
        broken = merge(tree, items)
        if broken:
            self.losses.add(self.label, what, "is no JSON", broken)

    def _column(self, columns: dict[str, Column], name: str) -> Column:
        column = columns.get(name)
        if column is None:
            column = columns[name] = Column()
        return column

    def _seen(self, at: int) -> None:
        self.last_seen = max(self.last_seen, at)

    def _note_damage(self, damage: Damage) -> None:
        where = "tail of the log" if damage.is_tail else "part of the log"
        self.losses.add(self.label, where, f"{damage.reason} (byte {damage.at}, {damage.size} bytes)")


_TAKERS = {
    "run": WandbRun.take_run,
    "config": WandbRun.take_config,
    "summary": WandbRun.take_summary,
    "history": WandbRun.take_history,
    "stats": WandbRun.take_stats,
    "metric": WandbRun.take_metric,
    "environment": WandbRun.take_environment,
    "output": WandbRun.take_output,
    "output_raw": WandbRun.take_output,
    "artifact": WandbRun.take_artifact,
    "use_artifact": WandbRun.take_used,
    "alert": WandbRun.take_alert,
    "tbrecord": WandbRun.take_tensorboard,
    "exit": WandbRun.take_exit,
}


def _moment(stamp: Any) -> int:
    at = stamp.seconds * SECOND + stamp.nanos // 1_000
    return at if abs(at) < _INT64 else 0


def _seconds(value: Any, otherwise: int) -> int:
    """Microseconds of a `_timestamp`, exact as far as the float is."""
    if isinstance(value, int | float) and abs(value) < _INT64 // SECOND:  # False for NaN
        return round(value * SECOND)
    return otherwise


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INT64 else None
