"""TensorBoard's events, one by one, from all event files of a run in the order they were begun."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from homeostat.compat.importers.damage import Damage
from homeostat.compat.importers.folder import open_plain
from homeostat.compat.importers.records import Losses
from homeostat.compat.importers.tensorboard_framing import read_records
from homeostat.ground.errors import HomeostatError
from homeostat.ground.extras import require

_SESSION_START = 1


class Event(msgspec.Struct, frozen=True):
    """One event: its values are plain numbers, or tensors with metadata, whatever form they were written in."""

    wall_time: float
    step: int
    values: list[Any]
    restart: int | None = None
    """The step from which everything before is void: the writer was started again from there."""
    other: tuple[str, ...] = ()
    """What else it holds, in words."""


def read_events(files: list[Path], label: str, losses: Losses) -> Iterator[Event]:
    """Every event that can be read; damage is reported, with the place."""
    messages = require("tensorboard.compat.proto.event_pb2", extra="tensorboard")
    for path in files:
        try:
            with open_plain(path) as source:
                for record in read_records(source):
                    if isinstance(record, Damage):
                        what = f"part of {path.name!r:.200}"
                        losses.add(label, what, f"{record.reason} (byte {record.at}, {record.size} bytes)")
                        continue
                    try:
                        event = messages.Event.FromString(record)
                    except Exception:  # noqa: BLE001  protobuf's decoders raise errors of several modules
                        losses.add(label, f"record of {path.name!r:.200}", "is no event")
                        continue
                    yield _event(event, label, losses)
        except (HomeostatError, OSError) as error:
            losses.add(label, f"file {path.name!r:.200}", getattr(error, "message", "cannot be read"))


def _event(event: Any, label: str, losses: Losses) -> Event:
    kind = event.WhichOneof("what")
    restart = None
    other: tuple[str, ...] = ()
    values: list[Any] = []
    if kind == "summary":
        values = [value for value in (_today(value, label, losses) for value in event.summary.value) if value]
    elif kind == "session_log":
        restart = event.step if event.session_log.status == _SESSION_START else None
    elif kind not in (None, "file_version", "source_metadata"):
        other = (f"{kind.replace('_', ' ')} of the program",)
    return Event(event.wall_time, event.step, values, restart, other)


def _today(value: Any, label: str, losses: Losses) -> Any:
    """A value as a tensor with metadata; a plain number stays one, for that is what nearly all of them are."""
    if value.WhichOneof("value") in ("tensor", "simple_value"):
        return value
    try:
        return require("tensorboard.data_compat", extra="tensorboard").migrate_value(value)
    except Exception:  # noqa: BLE001  whatever a hostile value makes of the conversion
        losses.add(label, f"value {value.tag!r:.100}", "cannot be read")
        return None
