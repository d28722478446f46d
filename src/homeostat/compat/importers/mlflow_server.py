"""An MLflow server (or whatever speaks its REST API), read page by page."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import msgspec

from homeostat.compat.importers.column import Column
from homeostat.compat.importers.mlflow_rest import MlflowRest
from homeostat.compat.importers.mlflow_store import (
    MILLISECOND,
    MODEL_STATUSES,
    STATUSES,
    Experiment,
    StoredModel,
    StoredRun,
)
from homeostat.compat.importers.records import ImportedFile, ImportedModel, ImportedVersion, Losses, ModelLink
from homeostat.ground import errors
from homeostat.tracking.points import Points
from homeostat.tracking.types import DatasetInput, ModelMetric
from homeostat.tracking.values import check_path

_API = "/api/2.0/mlflow"
_DEEPEST = 50
_Given = ParamSpec("_Given")
_Plain = dict[str, Any]


_Made = TypeVar("_Made")
_Read = Callable[Concatenate[Any, _Given], Iterator[_Made]]


def _understood(read: _Read[_Given, _Made]) -> _Read[_Given, _Made]:
    """A reading generator; an answer without what MLflow answers with is told as such, not as a KeyError."""

    @wraps(read)
    def guarded(self: Any, /, *given: _Given.args, **named: _Given.kwargs) -> Iterator[_Made]:
        try:
            yield from read(self, *given, **named)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise errors.Unavailable(
                "the server does not answer as MLflow does", field="source", next_step="check the URL"
            ) from error

    return guarded


class MlflowServer:
    """A server that is read."""

    def __init__(self, url: str, losses: Losses, *, environ: Mapping[str, str] = os.environ) -> None:
        self._rest = MlflowRest(url, environ)
        self._losses = losses
        self.links: dict[str, list[ModelLink]] = {}

    def close(self) -> None:
        self._rest.close()

    def experiments(self) -> list[Experiment]:
        return list(self._experiments())

    @_understood
    def _experiments(self) -> Iterator[Experiment]:
        body = {"max_results": 1000, "view_type": "ALL"}
        for item in self._rest.pages("POST", f"{_API}/experiments/search", body, "experiments"):
            yield Experiment(
                id=str(item["experiment_id"]),
                name=item["name"],
                tags=_pairs(item.get("tags")),
                deleted=item.get("lifecycle_stage") == "deleted",
            )

    @_understood
    def runs(self, experiment: Experiment) -> Iterator[StoredRun]:
        body = {"experiment_ids": [experiment.id], "run_view_type": "ALL", "max_results": 500}
        body["order_by"] = ["attributes.start_time ASC"]
        for item in self._rest.pages("POST", f"{_API}/runs/search", body, "runs"):
            info, data = item["info"], item.get("data", {})
            run_id = info.get("run_id") or info["run_uuid"]
            self._note_links(run_id, item)
            yield StoredRun(
                id=run_id,
                name=info.get("run_name", ""),
                user=info.get("user_id", ""),
                status=STATUSES.get(info.get("status", ""), "finished"),
                start=int(info.get("start_time") or 0),
                end=int(info["end_time"]) if info.get("end_time") else None,
                deleted=info.get("lifecycle_stage") == "deleted",
                artifact_uri=info.get("artifact_uri", ""),
                params=_pairs(data.get("params")),
                tags=_pairs(data.get("tags")),
                datasets=_datasets(item),
                metric_keys=[metric["key"] for metric in data.get("metrics", [])],
            )

    @_understood
    def series(self, run: StoredRun) -> Iterator[tuple[str, Points]]:
        for key in run.metric_keys:
            query = {"run_id": run.id, "metric_key": key, "max_results": 25_000}
            column = Column()
            try:
                for point in self._rest.pages("GET", f"{_API}/metrics/get-history", query, "metrics"):
                    column.append(
                        int(point.get("step") or 0), int(point["timestamp"]) * MILLISECOND, _float(point["value"])
                    )
            except errors.NotFound:  # MLflow hides the history of a deleted run's metrics from some clients
                self._losses.add(run.id, f"metric {key!r:.100}", "the server does not tell its history")
                continue
            yield key, column.points()

    @_understood
    def run_files(self, run: StoredRun) -> Iterator[ImportedFile]:
        yield from self._below_run(run.id, "", subject=run.id)

    @_understood
    def logged_models(self, experiment: Experiment) -> Iterator[StoredModel]:
        body = {"experiment_ids": [experiment.id], "max_results": 50}
        try:
            for item in self._rest.pages("POST", f"{_API}/logged-models/search", body, "models"):
                yield _stored_model(item)
        except errors.NotFound:
            return  # a server from before logged models

    @_understood
    def model_files(self, model: StoredModel) -> Iterator[ImportedFile]:
        yield from self._below_model(model.id, "", subject=model.id)

    @_understood
    def registered_models(self) -> Iterator[ImportedModel]:
        for item in self._rest.pages(
            "GET", f"{_API}/registered-models/search", {"max_results": 100}, "registered_models"
        ):
            aliases = {one["alias"]: int(one["version"]) for one in item.get("aliases", [])}
            yield ImportedModel(
                name=item["name"],
                description=item.get("description", ""),
                created=int(item.get("creation_timestamp") or 0) * MILLISECOND,
                tags=_pairs(item.get("tags")),
                aliases=aliases,
                versions=self._versions(item["name"]),
            )

    @_understood
    def _versions(self, name: str) -> Iterator[ImportedVersion]:
        escaped = name.replace("\\", "\\\\").replace("'", "\\'")
        query = {"filter": f"name='{escaped}'", "max_results": 1000}
        found = list(self._rest.pages("GET", f"{_API}/model-versions/search", query, "model_versions"))
        for item in sorted(found, key=lambda one: int(one["version"])):
            source, run_id = item.get("source", ""), item.get("run_id", "")
            model_id = item.get("model_id") or (
                source.removeprefix("models:/") if source.startswith("models:/m-") else ""
            )
            yield ImportedVersion(
                number=int(item["version"]),
                source=source,
                run_id=run_id,
                model_id=model_id,
                run_link=item.get("run_link", ""),
                description=item.get("description", ""),
                stage=item.get("current_stage", ""),
                created=int(item.get("creation_timestamp") or 0) * MILLISECOND,
                actor=item.get("user_id", ""),
                tags=_pairs(item.get("tags")),
                files=self._version_files(f"{name} version {item['version']}", source, run_id, model_id),
            )

    def _version_files(self, subject: str, source: str, run_id: str, model_id: str) -> Iterator[ImportedFile]:
        if model_id:
            yield from self._below_model(model_id, "", subject=subject)
            return
        _, found, below = source.partition(f"{run_id}/artifacts/") if run_id else ("", "", "")
        if source.startswith("runs:/"):
            _, found, below = source.removeprefix("runs:/").partition("/")
        if not found:
            self._losses.add(subject, "files", f"their place is not told by the source {source!r:.200}")
            return
        for file in self._below_run(run_id, below, subject=subject):
            yield msgspec.structs.replace(file, path=file.path.removeprefix(f"{below}/"))

    def _below_run(self, run_id: str, folder: str, *, subject: str, depth: int = 0) -> Iterator[ImportedFile]:
        try:
            query = {"run_id": run_id} | ({"path": folder} if folder else {})
            entries = list(self._rest.pages("GET", f"{_API}/artifacts/list", query, "files"))
        except errors.HomeostatError as error:
            self._losses.add(subject, f"folder {folder!r:.200}" if folder else "artifacts", error.message)
            return
        for path, is_folder in self._checked(entries, folder, subject):
            if is_folder and depth < _DEEPEST:
                yield from self._below_run(run_id, path, subject=subject, depth=depth + 1)
            elif not is_folder:
                target = f"/get-artifact?run_uuid={quote(run_id, safe='')}&path={quote(path, safe='')}"
                yield ImportedFile(path, lambda target=target: self._rest.download(target))  # type: ignore[misc]

    def _below_model(self, model_id: str, folder: str, *, subject: str, depth: int = 0) -> Iterator[ImportedFile]:
        target = f"{_API}/logged-models/{quote(model_id, safe='')}/artifacts/directories"
        try:
            query = {"artifact_directory_path": folder} if folder else {}
            entries = list(self._rest.pages("GET", target, query, "files"))
        except errors.HomeostatError as error:
            self._losses.add(subject, f"folder {folder!r:.200}" if folder else "artifacts", error.message)
            return
        for path, is_folder in self._checked(entries, folder, subject):
            if is_folder and depth < _DEEPEST:
                yield from self._below_model(model_id, path, subject=subject, depth=depth + 1)
            elif not is_folder:
                file = f"/ajax-api/2.0/mlflow/logged-models/{quote(model_id, safe='')}/artifacts/files"
                file += f"?artifact_file_path={quote(path, safe='')}"
                yield ImportedFile(path, lambda file=file: self._rest.download(file))  # type: ignore[misc]

    def _checked(self, entries: list[_Plain], folder: str, subject: str) -> Iterator[tuple[str, bool]]:
        """Paths of a folder's entries, without those that are not in it or that no artifact can have."""
        for entry in entries:
            path = str(entry.get("path", ""))
            try:
                check_path(path)
            except errors.Invalid as error:
                self._losses.add(subject, f"file {path!r:.200}", error.message)
                continue
            if path.startswith(f"{folder}/" if folder else ""):
                yield path, bool(entry.get("is_dir"))

    def _note_links(self, run_id: str, item: _Plain) -> None:
        for model in item.get("outputs", {}).get("model_outputs", []):
            link = ModelLink(run_id, "output", int(model.get("step") or 0))
            self.links.setdefault(model["model_id"], []).append(link)
        for model in item.get("inputs", {}).get("model_inputs", []):
            self.links.setdefault(model["model_id"], []).append(ModelLink(run_id, "input"))


def _stored_model(item: _Plain) -> StoredModel:
    info, data = item["info"], item.get("data", {})
    return StoredModel(
        id=info["model_id"],
        name=info.get("name", ""),
        model_type=info.get("model_type", ""),
        source_run=info.get("source_run_id", ""),
        status=MODEL_STATUSES.get(str(info.get("status")), "ready"),
        created=int(info.get("creation_timestamp_ms") or 0),
        artifact_uri=info.get("artifact_uri", ""),
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        metrics=[
            ModelMetric(
                key=metric["key"],
                value=_float(metric["value"]),
                at=int(metric["timestamp"]) * MILLISECOND,
                step=int(metric.get("step") or 0),
                run_id=metric.get("run_id", ""),
                dataset_name=metric.get("dataset_name", ""),
                dataset_digest=metric.get("dataset_digest", ""),
            )
            for metric in data.get("metrics", [])
        ],
    )


def _datasets(item: _Plain) -> list[DatasetInput]:
    return [
        DatasetInput(
            **{
                key: given["dataset"].get(key, "")
                for key in ("name", "digest", "source_type", "source", "schema", "profile")
            },
            tags=_pairs(given.get("tags")),
        )
        for given in item.get("inputs", {}).get("dataset_inputs", [])
    ]


def _pairs(items: list[_Plain] | None) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in items or []}


def _float(value: Any) -> float:
    """A value as proto-JSON has it: NaN and infinities are words."""
    return float(value)
