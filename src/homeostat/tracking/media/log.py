"""The part of a run that takes media: each kind becomes files below a folder of its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.tracking.files import FileLog
from homeostat.tracking.media.figures import figure_files
from homeostat.tracking.media.histograms import histogram_of
from homeostat.tracking.media.images import image_file
from homeostat.tracking.media.sounds import sound_file
from homeostat.tracking.media.tables import describe, frame_of, preview_of, table_bytes
from homeostat.tracking.ops import Datasets
from homeostat.tracking.values import check_path


class MediaLog(FileLog):
    """Text, tables, images, figures, audio, histograms. With a step a key holds one of each step."""

    def text(self, key: str, text: str, *, step: int | None = None) -> str:
        """Keep text as `text/KEY.txt`; returns the path."""
        return self._keep("text", key, step, {".txt": text.encode("utf-8", "replace")})

    def table(self, key: str, rows: Any, *, step: int | None = None) -> str:
        """Keep a table as Parquet, its first rows as JSON beside it: a list of dicts, a dict of columns, or a frame.

        Frames of pandas, Polars and Arrow are known.
        """
        frame = frame_of(rows, what=f"table {key!r:.80}")
        files = {".parquet": table_bytes(frame), ".preview.json": msgspec.json.encode(preview_of(frame))}
        return self._keep("tables", key, step, files)

    def image(self, key: str, image: Any, *, step: int | None = None, caption: str = "") -> str:
        """Keep an image: Pillow's, a file, or an array (height x width [x 1, 3, 4]; uint8, or floats from 0 to 1)."""
        suffix, data = image_file(key, image)
        captions = {".caption.txt": caption.encode("utf-8", "replace")} if caption else {}
        return self._keep("images", key, step, {suffix: data} | captions)

    def figure(self, key: str, figure: Any, *, step: int | None = None) -> str:
        """Keep a figure: of Matplotlib as PNG and SVG, of Plotly as HTML and JSON."""
        return self._keep("figures", key, step, figure_files(key, figure))

    def audio(self, key: str, sound: Any, *, rate: int = 44_100, step: int | None = None) -> str:
        """Keep sound: an array (samples [x channels]; floats from -1 to 1, or int16) as WAV, or a file as it is."""
        suffix, data = sound_file(key, sound, rate=rate)
        return self._keep("audio", key, step, {suffix: data})

    def histogram(self, key: str, values: Any, *, bins: int = 64, step: int | None = None) -> str:
        """Keep how values are spread: `{"edges", "counts", "not_finite"}` as JSON."""
        return self._keep("histograms", key, step, {".json": msgspec.json.encode(histogram_of(key, values, bins=bins))})

    def _describe(self, data: Any, *, name: str, context: str) -> Datasets:
        frame = frame_of(data, what="the input")
        return Datasets(self.id, [describe(frame, name=name or "input", context=context or "training")])

    def _keep(self, folder: str, key: str, step: int | None, files: Mapping[str, bytes | Path]) -> str:
        """Keep one thing's files; returns the path of the first, which is the thing itself."""
        check_path(key)
        base = f"{folder}/{key}" if step is None else f"{folder}/{key}/{_numbered(step)}"
        beside = base.rpartition("/")[0]
        paths = [f"{base}{name}" if name.startswith(".") else f"{beside}/{name}" for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            self.artifact(path, content)
        return paths[0]


def _numbered(step: int) -> str:
    """A step as a file name that sorts.

    >>> _numbered(7), _numbered(-3)
    ('00000007', '-0000003')
    """
    if not isinstance(step, int):
        raise Invalid(f"step is {step!r:.80}, not a whole number", field="step", next_step="count steps")
    return f"{step:08d}"
