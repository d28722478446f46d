"""MLflow's file store (`mlruns`), read from its folders: a YAML file a thing, a text file a param, tag or metric."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homeostat.compat.importers.column import Column
from homeostat.compat.importers.folder import open_plain
from homeostat.compat.importers.mlflow_places import Places
from homeostat.compat.importers.mlflow_store import (
    MILLISECOND,
    MODEL_STATUS_NUMBERS,
    STATUS_NUMBERS,
    Experiment,
    StoredModel,
    StoredRun,
)
from homeostat.compat.importers.records import ImportedFile, ImportedModel, ImportedVersion, Losses, ModelLink
from homeostat.ground.errors import HomeostatError, Invalid
from homeostat.tracking.points import Points
from homeostat.tracking.types import DatasetInput, Direction, ModelMetric

_TRASH, _MODELS, _DATASETS = ".trash", "models", "datasets"
_META_LIMIT = 4 << 20
_Meta = dict[str, Any]


class MlflowFolders:
    """An `mlruns` folder."""

    def __init__(self, root: Path, losses: Losses, *, artifacts: list[Path]) -> None:
        self._root = root
        self._losses = losses
        self._places = Places([root, *artifacts, root.parent / "mlartifacts"], losses)
        self._homes: dict[str, Path] = {}
        self.links: dict[str, list[ModelLink]] = {}
        if not self.experiments():
            raise Invalid(
                f"{root.name!r:.200} holds no experiments of MLflow's",
                field="source",
                next_step="give the folder mlruns, a database URL, or a server's URL",
            )

    def close(self) -> None:
        """Nothing is held open."""

    def experiments(self) -> list[Experiment]:
        found = []
        for home in [*_folders(self._root), *_folders(self._root / _TRASH)]:
            meta = self._meta(home)
            if meta is None or "experiment_id" not in meta or home.name in (_MODELS, _TRASH):
                continue
            self._homes[str(meta["experiment_id"])] = home
            found.append(
                Experiment(
                    id=str(meta["experiment_id"]),
                    name=_text(meta.get("name")) or home.name,
                    tags=self._texts(home / "tags"),
                    deleted=meta.get("lifecycle_stage") == "deleted" or home.parent.name == _TRASH,
                )
            )
        return found

    def runs(self, experiment: Experiment) -> Iterator[StoredRun]:
        found = []
        for folder in _folders(self._homes[experiment.id]):
            if folder.name in (_MODELS, _DATASETS, "tags", "traces"):
                continue
            meta = self._meta(folder)
            if meta is not None and ("run_id" in meta or "run_uuid" in meta):
                found.append((_whole(meta.get("start_time")) or 0, folder, meta))
        for start, folder, meta in sorted(found, key=lambda item: (item[0], item[1])):
            run_id = folder.name
            self._note_links(folder, run_id)
            yield StoredRun(
                id=run_id,
                name=_text(meta.get("run_name") or meta.get("name")),
                user=_text(meta.get("user_id")),
                status=STATUS_NUMBERS.get(_whole(meta.get("status")) or 0, "finished"),
                start=start,
                end=_whole(meta.get("end_time")),
                deleted=meta.get("lifecycle_stage") == "deleted",
                artifact_uri=_text(meta.get("artifact_uri")),
                params=self._texts(folder / "params"),
                tags=self._texts(folder / "tags"),
                datasets=self._datasets(folder),
            )

    def series(self, run: StoredRun) -> Iterator[tuple[str, Points]]:
        for path in _files(self._run_folder(run) / "metrics"):
            key = path.relative_to(self._run_folder(run) / "metrics").as_posix()
            column = Column()
            for line in self._lines(path, run.id):
                parts = line.split(" ")
                try:
                    step = int(parts[2]) if len(parts) > 2 else 0
                    column.append(step, int(parts[0]) * MILLISECOND, float(parts[1]))
                except (ValueError, IndexError, OverflowError):
                    self._losses.add(run.id, f"point of metric {key!r:.100}", "its line cannot be read")
            if len(column):
                yield key, column.points()

    def run_files(self, run: StoredRun) -> Iterator[ImportedFile]:
        return self._places.files(run.artifact_uri or str(self._run_folder(run) / "artifacts"), subject=run.id)

    def logged_models(self, experiment: Experiment) -> Iterator[StoredModel]:
        for folder in _folders(self._homes[experiment.id] / _MODELS):
            meta = self._meta(folder)
            if meta is None:
                continue
            yield StoredModel(
                id=_text(meta.get("model_id")) or folder.name,
                name=_text(meta.get("name")),
                model_type=_text(meta.get("model_type")),
                source_run=_text(meta.get("source_run_id")),
                status=MODEL_STATUS_NUMBERS.get(_whole(meta.get("status")) or 0, "ready"),
                created=_whole(meta.get("creation_timestamp")) or 0,
                deleted=meta.get("lifecycle_stage") == "deleted",
                artifact_uri=_text(meta.get("artifact_location")),
                params=self._texts(folder / "params"),
                tags=self._texts(folder / "tags"),
                metrics=list(self._model_metrics(folder)),
            )

    def model_files(self, model: StoredModel) -> Iterator[ImportedFile]:
        return self._places.files(model.artifact_uri, subject=model.id)

    def registered_models(self) -> Iterator[ImportedModel]:
        for folder in _folders(self._root / _MODELS):
            meta = self._meta(folder)
            if meta is None:
                continue
            name = _text(meta.get("name")) or folder.name
            aliases = {alias: _whole(text.strip()) for alias, text in self._texts(folder / "aliases").items()}
            yield ImportedModel(
                name=name,
                description=_text(meta.get("description")),
                created=(_whole(meta.get("creation_timestamp")) or 0) * MILLISECOND,
                tags=self._texts(folder / "tags"),
                aliases={alias: number for alias, number in aliases.items() if number is not None},
                versions=self._versions(folder, name),
            )

    def _versions(self, folder: Path, name: str) -> Iterator[ImportedVersion]:
        found = []
        for home in _folders(folder):
            number = _whole(home.name.removeprefix("version-"))
            if home.name.startswith("version-") and number is not None:
                found.append((number, home))
        for number, home in sorted(found):
            meta = self._meta(home)
            if meta is None or meta.get("current_stage") == "Deleted_Internal":
                continue
            source, run_id = _text(meta.get("source")), _text(meta.get("run_id"))
            place = _text(meta.get("storage_location")) or source
            yield ImportedVersion(
                number=number,
                source=source,
                run_id=run_id,
                model_id=_text(meta.get("model_id")),
                run_link=_text(meta.get("run_link")),
                description=_text(meta.get("description")),
                stage=_text(meta.get("current_stage")),
                created=(_whole(meta.get("creation_timestamp")) or 0) * MILLISECOND,
                actor=_text(meta.get("user_id")),
                tags=self._texts(home / "tags"),
                files=self._places.files(place, subject=f"{name} version {number}"),
            )

    def _model_metrics(self, folder: Path) -> Iterator[ModelMetric]:
        for path in _files(folder / "metrics"):
            key = path.relative_to(folder / "metrics").as_posix()
            for line in self._lines(path, folder.name):
                parts = line.split(" ")
                try:
                    yield ModelMetric(
                        key=key,
                        value=float(parts[1]),
                        at=int(parts[0]) * MILLISECOND,
                        step=int(parts[2]),
                        run_id=parts[3],
                        dataset_name=parts[4] if len(parts) > 5 else "",
                        dataset_digest=parts[5] if len(parts) > 5 else "",
                    )
                except (ValueError, IndexError):
                    self._losses.add(folder.name, f"point of metric {key!r:.100}", "its line cannot be read")

    def _datasets(self, run: Path) -> list[DatasetInput]:
        found = []
        for folder in _folders(run / "inputs"):
            link = self._meta(folder)
            if link is None or link.get("source_type") != "DATASET":
                continue
            meta = self._meta(run.parent / _DATASETS / Path(_text(link.get("source_id"))).name)
            if meta is None:
                self._losses.add(run.name, "data set", "its description is missing")
                continue
            texts = {name: _text(meta.get(name)) for name in ("name", "digest", "source_type", "source")}
            tags = link.get("tags")
            found.append(
                DatasetInput(
                    **texts,
                    schema=_text(meta.get("schema")),
                    profile=_text(meta.get("profile")),
                    tags={str(key): _text(value) for key, value in tags.items()} if isinstance(tags, dict) else {},
                )
            )
        return found

    def _note_links(self, folder: Path, run_id: str) -> None:
        kinds: tuple[tuple[Direction, str], ...] = (("output", "outputs"), ("input", "inputs"))
        for direction, name in kinds:
            for one in _folders(folder / name):
                meta = self._meta(one)
                if meta is None or meta.get("destination_type") not in ("MODEL_OUTPUT", "MODEL_INPUT"):
                    continue
                link = ModelLink(run_id, direction, _whole(meta.get("step")) or 0)
                self.links.setdefault(_text(meta.get("destination_id")), []).append(link)

    def _run_folder(self, run: StoredRun) -> Path:
        return next((home / run.id for home in self._homes.values() if (home / run.id).is_dir()), self._root / run.id)

    def _meta(self, folder: Path) -> _Meta | None:
        """What a thing's meta.yaml says; None when there is none, or it cannot be read (then it is reported)."""
        import yaml  # type: ignore[import-untyped]  # Litestar brings it; it ships no types

        path = folder / "meta.yaml"
        try:
            with open_plain(path) as source:
                meta = yaml.safe_load(source.read(_META_LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, yaml.YAMLError, HomeostatError, ValueError, RecursionError):
            self._losses.add(folder.name, "meta.yaml", "cannot be read")
            return None
        return meta if isinstance(meta, dict) else None

    def _texts(self, folder: Path) -> dict[str, str]:
        """One file a key; keys with `/` are folders."""
        found = {}
        for path in _files(folder):
            try:
                with open_plain(path) as source:
                    found[path.relative_to(folder).as_posix()] = source.read(_META_LIMIT).decode("utf-8", "replace")
            except (OSError, HomeostatError):
                self._losses.add(folder.parent.name, f"file {path.name!r:.200}", "cannot be read")
        return found

    def _lines(self, path: Path, subject: str) -> Iterator[str]:
        try:
            with open_plain(path) as source:
                for line in source:
                    text = line.decode("utf-8", "replace").strip()
                    if text:
                        yield text
        except (OSError, HomeostatError):
            self._losses.add(subject, f"file {path.name!r:.200}", "cannot be read")


def _folders(folder: Path) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _text(value: Any) -> str:
    """YAML turns what looks like a number or a date into one."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
