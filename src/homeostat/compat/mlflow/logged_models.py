"""MLflow's logged models: made, finished, described, found, deleted; their files listed and read."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import check_length, check_unique, experiment_number, experiment_numbers, page_size
from homeostat.compat.mlflow.model_view import artifact_uri, model_status, model_view
from homeostat.compat.mlflow.reach import actor_of, reachable_project
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, FileAnswer, Route, Tag
from homeostat.ground.errors import Invalid, NotFound
from homeostat.tracking import models
from homeostat.tracking.artifacts import find_artifact, list_folder
from homeostat.tracking.search.models import DatasetFilter, ModelOrder, search_models
from homeostat.tracking.types import LoggedModel

_PAGE, _LARGEST_PAGE = 100, 50_000
_NAME = 500


class CreateModel(msgspec.Struct):
    """POST logged-models."""

    experiment_id: str | None = None
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Tag] = []
    tags: list[Tag] = []


class NamedModel(msgspec.Struct):
    """GET and DELETE logged-models/{model_id}."""

    model_id: str = ""
    allow_deleted: bool = False


class FinaliseModel(msgspec.Struct):
    """PATCH logged-models/{model_id}."""

    model_id: str = ""
    status: str | int | None = None


class DescribeModel(msgspec.Struct):
    """PATCH logged-models/{model_id}/tags, POST logged-models/{model_id}/params."""

    model_id: str = ""
    params: list[Tag] = []
    tags: list[Tag] = []


class DeleteTag(msgspec.Struct):
    """DELETE logged-models/{model_id}/tags/{tag_key}."""

    model_id: str = ""
    tag_key: str = ""


class DatasetIn(msgspec.Struct):
    """Only what was measured on this data set counts."""

    dataset_name: str = ""
    dataset_digest: str = ""


class OrderIn(msgspec.Struct):
    """One column of an order."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchModels(msgspec.Struct):
    """POST logged-models/search."""

    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[DatasetIn] = []
    max_results: int | None = None
    order_by: list[OrderIn] = []
    page_token: str = ""


class ListFiles(msgspec.Struct):
    """GET logged-models/{model_id}/artifacts/directories."""

    model_id: str = ""
    artifact_directory_path: str = ""


class ReadFile(msgspec.Struct):
    """GET logged-models/{model_id}/artifacts/files."""

    model_id: str = ""
    artifact_file_path: str = ""


def create(context: Context, body: CreateModel) -> dict[str, Any]:
    """A new model, pending until its files are there."""
    number = experiment_number(body.experiment_id)
    with context.database.write() as conn:
        reachable_project(context, conn, number)
        model = models.create_model(
            conn,
            number,
            name=check_length(body.name, "name", _NAME),
            model_type=body.model_type,
            source_run=body.source_run_id or None,
            params=_params(body.params),
            tags=_tags(body.tags),
            at=context.clock.now(),
            actor=actor_of(context),
        )
    return {"model": model_view(model)}


def get(context: Context, body: NamedModel) -> dict[str, Any]:
    """One model."""
    with context.database.read() as conn:
        return {"model": model_view(_reachable(context, conn, body.model_id, allow_deleted=body.allow_deleted))}


def finalise(context: Context, body: FinaliseModel) -> dict[str, Any]:
    """Its files are there, or did not get there."""
    status = model_status(require(body.status, "status"))
    with context.database.write() as conn:
        _reachable(context, conn, body.model_id)
        model = models.finalise_model(
            conn, body.model_id, status=status, at=context.clock.now(), actor=actor_of(context)
        )
    return {"model": model_view(model)}


def delete(context: Context, body: NamedModel) -> dict[str, Any]:
    """Into the trash."""
    with context.database.write() as conn:
        _reachable(context, conn, body.model_id)
        models.delete_model(conn, body.model_id, at=context.clock.now(), actor=actor_of(context))
    return {}


def log_params(context: Context, body: DescribeModel) -> dict[str, Any]:
    """More params; they cannot change."""
    with context.database.write() as conn:
        _reachable(context, conn, body.model_id)
        models.log_model_params(conn, body.model_id, _params(body.params), at=context.clock.now())
    return {}


def set_tags(context: Context, body: DescribeModel) -> dict[str, Any]:
    """Tags; they can."""
    with context.database.write() as conn:
        _reachable(context, conn, body.model_id)
        models.set_model_tags(conn, body.model_id, _tags(body.tags), at=context.clock.now())
    return {}


def delete_tag(context: Context, body: DeleteTag) -> dict[str, Any]:
    """One tag less."""
    with context.database.write() as conn:
        _reachable(context, conn, body.model_id)
        models.delete_model_tag(conn, body.model_id, body.tag_key, at=context.clock.now())
    return {}


def search(context: Context, body: SearchModels) -> dict[str, Any]:
    """A page of models."""
    numbers = experiment_numbers(body.experiment_ids)
    with context.database.read() as conn:
        for number in numbers:
            reachable_project(context, conn, number)
        page = search_models(
            conn,
            numbers,
            text=body.filter,
            datasets=[_dataset(item) for item in body.datasets],
            order_by=[_order(item) for item in body.order_by],
            limit=page_size(body.max_results, default=_PAGE, most=_LARGEST_PAGE),
            page_token=body.page_token or None,
            now=context.clock.now(),
        )
    found: dict[str, Any] = {"models": [model_view(model) for model in page.models]} if page.models else {}
    return found | ({"next_page_token": page.next_token} if page.next_token else {})


def list_files(context: Context, body: ListFiles) -> dict[str, Any]:
    """A folder of its files."""
    with context.database.read() as conn:
        model = _reachable(context, conn, body.model_id)
        entries = list_folder(conn, model.id, folder=body.artifact_directory_path)
    files = [
        {"path": entry.path, "is_dir": True}
        if entry.is_folder
        else {"path": entry.path, "is_dir": False, "file_size": entry.size}
        for entry in entries
    ]
    return {"root_uri": artifact_uri(model), "files": files}


def read_file(context: Context, body: ReadFile) -> FileAnswer:
    """One of its files."""
    path = require(body.artifact_file_path, "artifact_file_path")
    with context.database.read() as conn:
        model = _reachable(context, conn, body.model_id)
        artifact = find_artifact(conn, model.id, path)
    return FileAnswer(context.blobs.open(artifact.digest), artifact.size, path.rpartition("/")[2])


def _reachable(context: Context, conn: Connection, model_id: str, *, allow_deleted: bool = False) -> LoggedModel:
    try:
        model = models.get_model(conn, require(model_id, "model_id"), allow_deleted=allow_deleted)
    except NotFound as error:
        raise NotFound(f"Logged model with ID '{model_id:.120}' not found.", field="model_id") from error
    context.identity.require_project(model.project)
    return model


def _params(params: list[Tag]) -> dict[str, str]:
    check_unique([param.key for param in params])
    return {param.key: param.value for param in params}


def _tags(tags: list[Tag]) -> dict[str, str]:
    return {tag.key: tag.value for tag in tags}


def _dataset(item: DatasetIn) -> DatasetFilter:
    return DatasetFilter(require(item.dataset_name, "datasets.dataset_name"), item.dataset_digest)


def _order(item: OrderIn) -> ModelOrder:
    field = require(item.field_name, "order_by.field_name")
    if item.dataset_digest and not item.dataset_name:
        raise Invalid("`dataset_digest` can only be specified if `dataset_name` is also specified.", field="order_by")
    dataset = DatasetFilter(item.dataset_name, item.dataset_digest) if item.dataset_name else None
    return ModelOrder(field, descending=not item.ascending, dataset=dataset)


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash, or about a param that cannot change
_ONE = "/mlflow/logged-models/{model_id}"

ROUTES = [
    Route(("POST",), "/mlflow/logged-models", CreateModel, create, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/logged-models/search", SearchModels, search, "read"),
    Route(("GET",), _ONE, NamedModel, get, "read"),
    Route(("PATCH",), _ONE, FinaliseModel, finalise, "write"),
    Route(("DELETE",), _ONE, NamedModel, delete, "write"),
    Route(("POST",), f"{_ONE}/params", DescribeModel, log_params, "write", conflict=_STATE),
    Route(("PATCH",), f"{_ONE}/tags", DescribeModel, set_tags, "write"),
    Route(("DELETE",), f"{_ONE}/tags/{{tag_key}}", DeleteTag, delete_tag, "write"),
    Route(("GET",), f"{_ONE}/artifacts/directories", ListFiles, list_files, "read"),
    Route(("GET",), f"{_ONE}/artifacts/files", ReadFile, read_file, "read"),
]
