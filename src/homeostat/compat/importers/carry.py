"""Carrying runs over: in stretches that are a transaction each, so that a killed import loses one and doubles none."""

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

from homeostat.compat.importers.batch import FilePart, Head, ImportBatch, ImportReply, SeriesPart, head_of
from homeostat.compat.importers.intake import Batch
from homeostat.compat.importers.records import ImportedFile, ImportedRun, Losses
from homeostat.compat.importers.report import Carried, Report
from homeostat.ground.errors import Invalid, NotFound, Refused, Unavailable
from homeostat.tracking.points import Points

_POINTS_A_STRETCH = 100_000
"""2.4 MB: well below what a server takes in one body."""
_SERIES_A_STRETCH = 500
_FILES_A_STRETCH = 100

Progress = Callable[[str], None]
"""Called with the label of each run as it is begun."""


class Sink(Protocol):
    """Where runs are carried to: a home, or a server."""

    def take_in(self, batch: Batch) -> ImportReply: ...

    def put(self, source: IO[bytes]) -> tuple[str, int]:
        """Store bytes; their digest and size."""
        ...

    def close(self) -> None: ...


def carry_over(
    runs: Iterable[ImportedRun], sink: Sink, *, source: str, losses: Losses, progress: Progress = lambda _label: None
) -> Report:
    """Carry runs into a sink, one by one; a second time adds what is new and nothing else."""
    report = Report(source=source)
    for run in runs:
        progress(run.label)
        carried = _carry(run, sink, losses)
        if carried is None:
            continue
        report.carried.append(carried)
        report.runs += 1
        report.new_runs += carried.is_new
        report.points += carried.points
        report.files += carried.files
    report.lost = losses.all()
    return report


def _carry(run: ImportedRun, sink: Sink, losses: Losses) -> Carried | None:
    head = head_of(run)
    first = send(sink, ImportBatch(head=head), losses)
    if first.run_id is None:
        return None
    points = files = 0
    for batch in _stretches(head, run, sink, losses):
        reply = send(sink, batch, losses)
        points += reply.points
        files += reply.files
    return Carried(
        label=run.label, run_id=first.run_id, project=head.project, is_new=first.is_new, points=points, files=files
    )


def send(sink: Sink, batch: Batch, losses: Losses) -> ImportReply:
    """Send a stretch, and note what was wrong with it."""
    reply = sink.take_in(batch)
    for loss in reply.losses:
        losses.once(loss)
    return reply


def _stretches(head: Head, run: ImportedRun, sink: Sink, losses: Losses) -> Iterator[ImportBatch]:
    for series in _gathered(run.series):
        yield ImportBatch(head=head, series=series)
    files: list[FilePart] = []
    for file in run.files:
        stored = stored_file(file, sink, label=run.label, losses=losses)
        files += [stored] if stored else []
        if len(files) >= _FILES_A_STRETCH:
            yield ImportBatch(head=head, files=files)
            files = []
    yield ImportBatch(head=head, files=files, is_last=True)


def _gathered(series: Iterable[tuple[str, Points]]) -> Iterator[list[SeriesPart]]:
    parts: list[SeriesPart] = []
    held = 0
    for key, points in series:
        for piece in _pieces(points):
            parts.append(SeriesPart.of(key, piece))
            held += len(piece)
            if held >= _POINTS_A_STRETCH or len(parts) >= _SERIES_A_STRETCH:
                yield parts
                parts, held = [], 0
    if parts:
        yield parts


def _pieces(points: Points) -> Iterator[Points]:
    for start in range(0, len(points), _POINTS_A_STRETCH):
        cut = slice(start, start + _POINTS_A_STRETCH)
        yield Points(points.steps[cut], points.at[cut], points.values[cut])


def stored_file(file: ImportedFile, sink: Sink, *, label: str, losses: Losses) -> FilePart | None:
    """A file once its bytes are stored; None, and a loss, when they cannot be had."""
    try:
        with file.open() as source:
            return FilePart(file.path, *sink.put(source))
    except OSError as error:
        losses.add(label, f"file {file.path!r:.200}", f"cannot be read: {error.strerror or type(error).__name__}")
    except (Invalid, NotFound, Refused, Unavailable) as error:
        losses.add(label, f"file {file.path!r:.200}", error.message)
    return None
