"""TensorBoard's media as files of a run: images and sounds one file each, text and histograms a JSON line each."""

import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homeostat.compat.importers.folder import open_plain
from homeostat.compat.importers.records import ImportedFile, Losses
from homeostat.compat.importers.tensorboard_run import Media, TensorboardRun, as_array

_SUFFIXES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "wav"}
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\:]")


def media_files(run: TensorboardRun, losses: Losses) -> Iterator[ImportedFile]:
    """The files of a run's media; lines are gathered beside the reading, on disk."""
    with tempfile.TemporaryDirectory(prefix="homeostat-import-") as folder:
        lines: dict[str, Path] = {}
        for item in run.media():
            if item.plugin in ("images", "audio"):
                yield from _pieces(item, run.label, losses)
                continue
            line = _line(item)
            if line is None:
                losses.add(run.label, f"{item.plugin} {item.tag!r:.100}", "cannot be read")
                continue
            path = lines.setdefault(f"{item.plugin}/{_tidy(item.tag)}.jsonl", Path(folder) / str(len(lines)))
            with path.open("a", encoding="utf-8", errors="replace") as target:
                target.write(line + "\n")
        for name, path in lines.items():
            yield ImportedFile(name, lambda path=path: open_plain(path))  # type: ignore[misc]


def _pieces(item: Media, label: str, losses: Losses) -> Iterator[ImportedFile]:
    array = as_array(item.tensor)
    parts = [part for part in array.ravel().tolist() if isinstance(part, bytes)] if array is not None else []
    if item.plugin == "images":
        parts = parts[2:]  # width and height come first
    elif array is not None and array.ndim == 2:
        parts = parts[::2]  # each sound has a label beside it
    if not parts:
        losses.add(label, f"{item.plugin} {item.tag!r:.100}", "cannot be read")
    for number, data in enumerate(parts):
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "bin")
        name = f"{item.plugin}/{_tidy(item.tag)}/{item.step}" + (f"-{number}" if len(parts) > 1 else "")
        yield ImportedFile(f"{name}.{suffix}", lambda data=data: io.BytesIO(data))  # type: ignore[misc]


def _line(item: Media) -> str | None:
    array = as_array(item.tensor)
    if array is None:
        return None
    row: dict[str, Any] = {"step": item.step, "at": item.at}
    if item.plugin == "text":
        row["text"] = _decoded(array.tolist())
    elif array.ndim == 2 and array.shape[1] == 3:
        row["buckets"] = [[float(cell) for cell in bucket] for bucket in array]  # left edge, right edge, count
    else:
        return None
    return json.dumps(row, ensure_ascii=False)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return _decoded(value[0]) if len(value) == 1 else [_decoded(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _tidy(tag: str) -> str:
    """A tag as a path: empty, `.` and `..` parts and letters that no path may have become `_`."""
    parts = [_UNFIT.sub("_", part) for part in tag.removesuffix("/text_summary").split("/")]
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)
