"""What MLflow's runs read and make: data sets, logged models."""

import json
from typing import Any

import msgspec

from homeostat.compat.mlflow.limits import DATASET, INPUT_TAG, TAG_VALUE, check_length, check_run_id, truncated
from homeostat.compat.mlflow.reach import check_reach, reachable_run
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, Route, Tag
from homeostat.ground.errors import Invalid
from homeostat.tracking import runs
from homeostat.tracking.inputs import log_dataset_inputs
from homeostat.tracking.lookup import writable
from homeostat.tracking.model_metrics import log_run_models
from homeostat.tracking.types import DatasetInput, RunModel

_LOGGED_MODELS = "mlflow.log-model.history"
_MODEL_FIELDS = ("artifact_path", "flavors", "utc_time_created", "run_id")
_KEPT_OF_MODEL = (*_MODEL_FIELDS, "model_uuid", "mlflow_version", "signature", "saved_input_example_info")


class DatasetIn(msgspec.Struct):
    """MLflow's Dataset."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class InputIn(msgspec.Struct):
    """MLflow's DatasetInput."""

    tags: list[Tag] = []
    dataset: DatasetIn = msgspec.field(default_factory=DatasetIn)


class ModelIn(msgspec.Struct):
    """MLflow's ModelInput and ModelOutput."""

    model_id: str = ""
    step: int = 0


class LogInputs(msgspec.Struct):
    """runs/log-inputs."""

    run_id: str | None = None
    datasets: list[InputIn] = []
    models: list[ModelIn] = []


class LogOutputs(msgspec.Struct):
    """runs/outputs."""

    run_id: str | None = None
    models: list[ModelIn] = []


class LogModel(msgspec.Struct):
    """runs/log-model, of clients before MLflow 3."""

    run_id: str | None = None
    model_json: str = ""


def log_inputs(context: Context, body: LogInputs) -> dict[str, Any]:
    """Note data sets and models that a run read."""
    run_id = check_run_id(body.run_id)
    inputs = [_input(item, place) for place, item in enumerate(body.datasets)]
    models = _models(body.models)
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        run, project = writable(conn, run_id)
        log_dataset_inputs(conn, run, project, inputs)
        if models:
            log_run_models(conn, run_id, models, direction="input")
    return {}


def log_outputs(context: Context, body: LogOutputs) -> dict[str, Any]:
    """Note models that a run made."""
    run_id = check_run_id(body.run_id)
    models = _models(body.models)
    if not models:
        raise Invalid("Missing value for required parameter 'models'", field="models", next_step="name a model")
    with context.database.write() as conn:
        check_reach(context, conn, run_id)
        log_run_models(conn, run_id, models, direction="output")
    return {}


def log_model(context: Context, body: LogModel) -> dict[str, Any]:
    """Note a model in the tag that old clients read."""
    run_id = check_run_id(body.run_id)
    model = _parsed(require(body.model_json, "model_json"))
    missing = [field for field in _MODEL_FIELDS if field not in model]
    if missing:
        raise Invalid(
            f"Model json is missing mandatory fields: {', '.join(missing)}", field="model_json", next_step="add them"
        )
    kept = {name: model[name] for name in _KEPT_OF_MODEL if name in model}
    with context.database.write() as conn:
        reachable_run(context, conn, run_id)
        before = runs.get_run(conn, run_id).tags.get(_LOGGED_MODELS, "[]")
        history = json.dumps([*json.loads(before), kept])
        runs.set_tags(conn, run_id, {_LOGGED_MODELS: check_length(history, _LOGGED_MODELS, TAG_VALUE)})
    return {}


def _input(item: InputIn, place: int) -> DatasetInput:
    fields = msgspec.structs.asdict(item.dataset)
    for name in ("name", "digest", "source_type", "source"):
        require(fields[name], f"datasets[{place}].dataset.{name}")
    for name, limit in DATASET.items():
        check_length(fields[name], f"datasets[{place}].dataset.{name}", limit)
    tags = {}
    for tag in item.tags:
        require(tag.key, f"datasets[{place}].tags.key")
        check_length(tag.key, f"datasets[{place}].tags.key", INPUT_TAG["key"])
        tags[tag.key] = truncated(tag.value, INPUT_TAG["value"])
    return DatasetInput(**fields, tags=tags)


def _models(models: list[ModelIn]) -> list[RunModel]:
    return [
        RunModel(require(model.model_id, f"models[{place}].model_id"), model.step) for place, model in enumerate(models)
    ]


def _parsed(text: str) -> dict[str, Any]:
    try:
        model = json.loads(text)
    except ValueError as error:
        raise Invalid("Malformed model info: it is not valid JSON", field="model_json") from error
    if not isinstance(model, dict):
        raise Invalid("Malformed model info: it is no JSON object", field="model_json")
    return model


_STATE = "INVALID_PARAMETER_VALUE"  # a conflict here is about the trash

ROUTES = [
    Route(("POST",), "/mlflow/runs/log-inputs", LogInputs, log_inputs, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/outputs", LogOutputs, log_outputs, "write", conflict=_STATE),
    Route(("POST",), "/mlflow/runs/log-model", LogModel, log_model, "write", conflict=_STATE),
]
