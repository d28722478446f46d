"""W&B's offline runs on disk, read as runs: one folder a run (or a stretch of a resumed one), below any folder."""

import base64
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from homeostat.compat.importers.folder import files_below, is_inside, open_plain
from homeostat.compat.importers.identity import identity_of
from homeostat.compat.importers.records import ImportedFile, ImportedProject, ImportedRun, Losses
from homeostat.compat.importers.wandb_run import WandbRun
from homeostat.compat.importers.wandb_values import as_number, flat
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.tracking.console import as_shown
from homeostat.tracking.points import Points, points_of

_UNNAMED = "uncategorized"
"""W&B's own name for a run without a project."""
_HASH_CHUNK = 1 << 20


def find_wandb_logs(source: Path) -> list[Path]:
    """The `.wandb` files at or below a path, oldest folder name first.

    Raises:
        Invalid: when there is none.
    """
    if source.is_file():
        return [source]
    found = [path for path in source.rglob("*.wandb") if path.is_file() and "latest-run" not in path.parts]
    if not found:
        raise Invalid(
            f"there is no .wandb file in {source.name!r:.200}",
            field="source",
            next_step="give the folder `wandb` of your project, or one of its offline-run-* folders",
        )
    return sorted(found, key=lambda path: (path.stem, path.parent.name))


def read_wandb(source: Path, losses: Losses, *, project: str | None = None) -> Iterator[ImportedRun]:
    """The offline runs at or below a path; stretches of a resumed run are one."""
    for stem, paths in groupby(find_wandb_logs(source), key=lambda path: path.stem):
        label = stem.removeprefix("run-")
        logs = list(paths)
        run = WandbRun(label, losses)
        for path in logs:
            try:
                with open_plain(path) as stream:
                    run.read(stream)
            except (HomeostatError, OSError) as error:
                losses.add(label, f"file {path.name!r:.200}", getattr(error, "message", "cannot be read"))
        if run.head is None:
            losses.add(label, "run", "its log does not say which run it is")
            continue
        yield _imported(run, [path.parent for path in logs], project)


def _imported(run: WandbRun, folders: list[Path], project: str | None) -> ImportedRun:
    head = run.head
    started = head.start_time.seconds * 1_000_000 + head.start_time.nanos // 1_000
    if run.exit_code is None:
        run.losses.add(
            run.label, "end of the run", "the log has no exit record: it was killed, or goes on; import again"
        )
    return ImportedRun(
        identity=identity_of("wandb", [head.entity, head.project, head.run_id]),
        label=run.label,
        project=ImportedProject(name=project or head.project or _UNNAMED, id=head.project),
        name=head.display_name or head.run_id,
        status="killed" if run.exit_code is None else "failed" if run.exit_code else "finished",
        started=started,
        ended=max(run.last_seen, started),
        error=f"exit code {run.exit_code}" if run.exit_code else "",
        actor=str(run.environment.get("username", "")) or head.entity,
        params=_params(run),
        tags=_tags(run),
        code=run.git,
        environment=run.environment | {"wandb": run.config["_wandb"]} if run.config.get("_wandb") else run.environment,
        series=_series(run),
        files=_files(run, folders),
    )


def _params(run: WandbRun) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, value in flat({key: value for key, value in run.config.items() if key != "_wandb"}, joint="."):
        if name in params:
            run.losses.add(run.label, f"config value {name!r:.100}", "two values have this dotted name")
            continue
        params[name] = value
    return params


def _tags(run: WandbRun) -> dict[str, str]:
    head = run.head
    tags = {"wandb.run_id": head.run_id, "wandb.entity": head.entity, "wandb.project": head.project}
    tags |= {"wandb.group": head.run_group, "wandb.job_type": head.job_type, "wandb.sweep_id": head.sweep_id}
    tags |= {"wandb.host": head.host, "mlflow.note.content": head.notes}
    tags |= {f"wandb.step_metric.{name}": metric for name, metric in run.step_metrics.items()}
    if head.tags:
        tags["wandb.tags"] = json.dumps(list(head.tags), ensure_ascii=False)
    for name, value in _summary_beside_history(run):
        tags[f"wandb.summary.{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {key: value for key, value in tags.items() if value}


def _summary_beside_history(run: WandbRun) -> Iterator[tuple[str, Any]]:
    """Summary values that the end of the history does not tell: set by hand, or another than the last."""
    for name, value in flat(run.summary, joint="/"):
        if name.startswith("_") or isinstance(value, dict) or value is None:
            continue
        column, number = run.series.get(name), as_number(value)
        last = None if column is None else column.last()[1]
        if number is None or (last is not None and last != number and not math.isnan(last)):
            yield name, value


def _series(run: WandbRun) -> Iterator[tuple[str, Points]]:
    for name, column in run.columns():
        yield name, column.points()
    last = max((column.last()[0] for column in run.series.values()), default=0)
    for name, value in flat(run.summary, joint="/"):
        number = as_number(value)
        if name not in run.series and number is not None and not name.startswith("_"):
            yield name, points_of([last], [run.last_seen], [number])


def _files(run: WandbRun, folders: list[Path]) -> Iterator[ImportedFile]:
    seen: set[str] = set()
    for folder in reversed(folders):  # of a resumed run the newest stretch has the last word
        for file in files_below(folder / "files", subject=run.label, losses=run.losses):
            if file.path not in seen:
                seen.add(file.path)
                yield file
    if run.output and "output.log" not in seen:
        yield _made("output.log", _console(run.output))
    if run.other_rows:
        run.losses.add(
            run.label,
            "history values that are no numbers",
            "kept in wandb/history.jsonl, not as series",
            len(run.other_rows),
        )
        yield _made("wandb/history.jsonl", "\n".join(run.other_rows) + "\n")
    if run.summary:
        yield _made("wandb/summary.json", json.dumps(run.summary, ensure_ascii=False, sort_keys=True))
    for artifact in run.artifacts:
        yield from _artifact_files(run, artifact, folders)


def _artifact_files(run: WandbRun, artifact: Any, folders: list[Path]) -> Iterator[ImportedFile]:
    """The files of a logged artifact, where W&B still has them: their digests are in the log."""
    roots = [*folders, *_wandb_data()]
    for entry in artifact.manifest.contents:
        what = f"file {entry.path!r:.200} of artifact {artifact.name!r:.100}"
        path = Path(entry.local_path) if entry.local_path and "\x00" not in entry.local_path else None
        if entry.ref:
            run.losses.add(run.label, what, "is a reference to somewhere else")
        elif path is None or not is_inside(path, roots):
            run.losses.add(run.label, what, "is not where W&B keeps its files on this machine")
        elif not _has_digest(path, entry.digest):
            run.losses.add(run.label, what, "was changed since it was logged")
        else:
            yield ImportedFile(
                f"artifacts/{artifact.name}/{entry.path}",
                lambda path=path: open_plain(path),  # type: ignore[misc]
            )
    if artifact.manifest.manifest_file_path and not artifact.manifest.contents:
        run.losses.add(run.label, f"artifact {artifact.name!r:.100}", "its manifest is in a file of its own")


def _wandb_data() -> list[Path]:
    home = os.environ.get("WANDB_DATA_DIR")
    data = Path(home) if home else Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "wandb"
    return [data / "artifacts" / "staging"]


def _has_digest(path: Path, digest: str) -> bool:
    made = hashlib.md5(usedforsecurity=False)  # W&B's choice
    try:
        with open_plain(path) as source:
            while chunk := source.read(_HASH_CHUNK):
                made.update(chunk)
    except (HomeostatError, OSError):
        return False
    return base64.b64encode(made.digest()).decode() == digest


def _console(pieces: list[str]) -> str:
    """The pieces of a console as one text, as it looked in the end."""
    return "\n".join(as_shown(line.removesuffix("\r")) for line in "".join(pieces).split("\n"))


def _made(path: str, text: str) -> ImportedFile:
    data = text.encode("utf-8", "replace")
    return ImportedFile(path, lambda: io.BytesIO(data))
