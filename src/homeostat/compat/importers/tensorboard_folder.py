"""TensorBoard's log folders read as runs: every folder that holds event files is one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homeostat.compat.importers.identity import identity_of
from homeostat.compat.importers.records import ImportedProject, ImportedRun, Losses
from homeostat.compat.importers.tensorboard_media import media_files
from homeostat.compat.importers.tensorboard_run import TensorboardRun, moment
from homeostat.ground.errors import Invalid
from homeostat.ground.extras import require
from homeostat.tracking.points import Points
from homeostat.tracking.types import Status

_MARK = "tfevents"


def find_event_folders(source: Path) -> dict[Path, list[Path]]:
    """Folders at or below a path with their event files, each in the order they were begun (their names tell).

    Raises:
        Invalid: when there is none.
    """
    if source.is_file():
        return {source.parent: [source]}
    found: dict[Path, list[Path]] = {}
    for path in source.rglob(f"*{_MARK}*"):
        if path.is_file() and not path.is_symlink():
            found.setdefault(path.parent, []).append(path)
    if not found:
        raise Invalid(
            f"there is no event file in {source.name!r:.200}",
            field="source",
            next_step="give the folder that you would give to tensorboard --logdir",
        )
    return {folder: sorted(found[folder]) for folder in sorted(found)}


def read_tensorboard(source: Path, losses: Losses, *, project: str | None = None) -> Iterator[ImportedRun]:
    """The runs at or below a path; a run's name is its folder's, as TensorBoard shows it."""
    require("tensorboard", extra="tensorboard")
    root = source.resolve() if source.is_dir() else source.resolve().parent
    for folder, files in find_event_folders(source).items():
        relative = folder.resolve().relative_to(root).as_posix()
        label = root.name if relative == "." else relative
        run = TensorboardRun(label, files, losses)
        run.read()
        if run.first_seen is None:
            losses.add(label, "run", "its files hold no event")
            continue
        yield _imported(run, losses, project or root.name or "tensorboard")


def _imported(run: TensorboardRun, losses: Losses, project: str) -> ImportedRun:
    assert run.first_seen is not None
    status: Status = "failed" if run.status == "failed" else "finished"
    tags = {"tensorboard.run": run.label, "tensorboard.hparams_group": run.group}
    return ImportedRun(
        # A folder may be moved or renamed; the first file's name (time, host, process) and first event stay.
        identity=identity_of("tensorboard", [run.files[0].name, json.dumps(run.first_seen)]),
        label=run.label,
        project=ImportedProject(name=project),
        name=run.label,
        status=status,
        started=moment(run.first_seen),
        ended=moment(run.last_seen),
        params=_known(run.params),
        tags={key: value for key, value in tags.items() if value},
        series=_series(run),
        files=media_files(run, losses),
    )


def _known(params: dict[str, Any]) -> dict[str, Any]:
    """TensorBoard has floats only: what is whole is written as it was given."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
        for key, value in params.items()
    }


def _series(run: TensorboardRun) -> Iterator[tuple[str, Points]]:
    for tag, column in run.series.items():
        yield tag, column.points()
