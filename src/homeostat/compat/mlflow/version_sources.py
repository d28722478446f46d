"""Where a model version comes from: whose files a client's URI means, as they are at the moment of registration.

    models:/m-...                                      a logged model's
    runs:/RUN/path                                     a run's
    mlflow-artifacts:/EXPERIMENT/RUN/artifacts/path    the same, as clients resolve it
    models:/NAME/3, models:/NAME@champion              another version's
    mlflow-artifacts:/registered/KEY/3                 the same, as clients resolve it

A URI is read, never opened: what names anything else (a folder, a host, a bucket) is refused.
"""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.artifact_paths import Place, place_of, safe_path
from homeostat.compat.mlflow.frozen_files import frozen_place, frozen_version
from homeostat.compat.mlflow.model_view import artifact_uri
from homeostat.compat.mlflow.reach import reachable_run
from homeostat.compat.mlflow.registry_reach import reachable_model
from homeostat.compat.mlflow.registry_view import source_of, stage_of
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.errors import Invalid, NotFound
from homeostat.registry.stages import latest_versions
from homeostat.registry.types import ModelVersion, PackageFile
from homeostat.registry.versions import get_version
from homeostat.tracking.artifacts import find_artifact, list_artifacts
from homeostat.tracking.models import find_model, get_model
from homeostat.tracking.runs import find_run, get_run
from homeostat.tracking.types import LoggedModel, RunDetail

_SCHEMES = ("models", "runs", "mlflow-artifacts")
_LIMIT = 2000
_NAMED = re.compile(r"(?P<name>[^/]+)(?:/(?P<what>[^/]+))?")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is made of: its files, and what is known of how they came about."""

    uri: str
    run_id: str | None
    files: dict[str, PackageFile]
    evaluation: dict[str, Any]
    dataset: str | None
    lineage: dict[str, Any]


def source_named(context: Context, conn: Connection, uri: str, *, run_id: str, model_id: str) -> Source:
    """The source behind a URI; `run_id` and `model_id` are what the client says beside it, or empty.

    Raises:
        Invalid: when it names nothing of ours, or something else than run and model say.
        Denied: when it is in a project the token was not made for.
    """
    _check_safe(uri)
    scheme, path = urlsplit(uri, allow_fragments=False).scheme.lower(), unquote(urlsplit(uri).path)
    if scheme == "models":
        return _of_models_uri(context, conn, uri, path.lstrip("/"), run_id=run_id, model_id=model_id)
    if scheme == "runs":
        owner, _, below = path.lstrip("/").partition("/")
        return _of_run(context, conn, uri, owner, below, run_id=run_id, model_id=model_id)
    frozen = frozen_place(path.lstrip("/"))
    if frozen is not None:
        return _copy(frozen_version(context, conn, frozen), uri, run_id=run_id, model_id=model_id)
    place = place_of(path.lstrip("/"))
    _check_home(conn, uri, place)
    if place.is_run:
        return _of_run(context, conn, uri, place.owner, place.path, run_id=run_id, model_id=model_id)
    if place.owner.startswith("m-"):
        return _of_logged_model(context, conn, uri, place.owner, place.path, run_id=run_id, model_id=model_id)
    raise _mismatch(uri, "run_id")


def _check_home(conn: Connection, uri: str, place: Place) -> None:
    """See that what a path names is in the experiment that the path begins with."""
    try:
        if place.is_run and find_run(conn, place.owner).project_id != place.experiment:
            raise _mismatch(uri, "run_id")
        if place.owner.startswith("m-") and find_model(conn, place.owner)[1] != place.experiment:
            raise _mismatch(uri, "model_id")
    except NotFound as error:
        raise _mismatch(uri, "run_id" if place.is_run else "model_id") from error


def _check_safe(uri: str) -> None:
    parsed = _split(uri)
    if parsed.scheme.lower() not in _SCHEMES:
        raise Invalid(
            f"Invalid model version source: '{uri:.200}'. Files of other places are not read by this server",
            field="source",
            next_step="log the files to a run first; use models:/m-ID, runs:/RUN/PATH or models:/NAME/VERSION",
        )
    if parsed.netloc and parsed.scheme.lower() != "mlflow-artifacts":
        raise _mismatch(uri, "model_id" if parsed.scheme.lower() == "models" else "run_id")
    try:
        if len(uri) > _LIMIT or parsed.query or not parsed.path.strip("/"):
            raise Invalid("odd")
        safe_path(parsed.path.strip("/"))
    except Invalid as error:
        raise Invalid(
            f"Invalid model version source: '{uri:.200}'. An absolute path must be provided without relative path "
            "references present",
            field="source",
            next_step="use models:/m-ID, runs:/RUN/PATH or models:/NAME/VERSION",
        ) from error


def _split(uri: str) -> Any:
    try:
        return urlsplit(uri, allow_fragments=False)
    except ValueError as error:
        raise Invalid(f"Invalid model version source: {uri!r:.200}", field="source", next_step="send a URI") from error


def _of_models_uri(context: Context, conn: Connection, uri: str, path: str, *, run_id: str, model_id: str) -> Source:
    match = _NAMED.fullmatch(path)
    if match is None:
        raise _mismatch(uri, "model_id")
    name, what = match["name"], match["what"]
    if what is None and "@" not in name:
        return _of_logged_model(context, conn, uri, name, "", run_id=run_id, model_id=model_id)
    if what is None:
        name, _, what = name.rpartition("@")
        version = _by_alias(context, conn, name, what)
    else:
        version = _by_suffix(context, conn, name, what)
    return _copy(version, uri, run_id=run_id, model_id=model_id)


def _copy(version: ModelVersion, uri: str, *, run_id: str, model_id: str) -> Source:
    logged = str(version.lineage.get("logged_model") or "")
    if (run_id and run_id != (version.run_id or "")) or (model_id and model_id != logged):
        raise Invalid(
            f"Invalid model version source: '{uri:.200}'. The run_id and model_id request parameters must match the "
            "referenced model version.",
            field="source",
        )
    return Source(
        uri=f"models:/{version.model}/{version.version}",
        run_id=version.run_id,
        files=version.package.manifest,
        evaluation=version.evaluation,
        dataset=version.dataset,
        lineage=version.lineage | {"copy_of": version.ref, "source": source_of(version)},
    )


def _by_alias(context: Context, conn: Connection, name: str, alias: str) -> ModelVersion:
    reachable_model(context, conn, name)
    try:
        return get_version(conn, name, alias)
    except NotFound as error:
        raise Invalid(f"Registered model alias {alias:.120} not found.", field="source") from error


def _by_suffix(context: Context, conn: Connection, name: str, what: str) -> ModelVersion:
    """A number, `latest`, or a stage."""
    model = reachable_model(context, conn, name)
    if what.isdecimal():
        try:
            return get_version(conn, name, what)
        except NotFound as error:
            raise NotFound(f"Model Version (name={name}, version={what:.40}) not found", field="source") from error
    if what.lower() == "latest":
        found = [] if model.newest is None else [get_version(conn, name, model.newest)]
    else:
        found = latest_versions(conn, name, [stage_of(conn, name, what)])
    if not found:
        raise NotFound(f"No versions of model with name '{name}' and stage '{what:.40}' found", field="source")
    return found[0]


def _of_run(
    context: Context, conn: Connection, uri: str, owner: str, below: str, *, run_id: str, model_id: str
) -> Source:
    if (run_id and run_id != owner) or model_id:
        raise _mismatch(uri, "model_id" if model_id else "run_id")
    run = _run(context, conn, uri, owner)
    return _source(conn, uri, owner, below, run=run, metrics=run.metrics, logged=None)


def _of_logged_model(
    context: Context, conn: Connection, uri: str, owner: str, below: str, *, run_id: str, model_id: str
) -> Source:
    if model_id and model_id != owner:
        raise _mismatch(uri, "model_id")
    try:
        model = get_model(conn, owner)
    except NotFound as error:
        raise _mismatch(uri, "model_id") from error
    context.identity.require_project(model.project)
    # Which run a client names beside it is its word; without one, the run that made the model.
    maker = run_id or model.source_run or ""
    run = _run(context, conn, uri, maker) if run_id or _is_there(conn, maker) else None
    return _source(conn, uri, owner, below, run=run, metrics=_measured(model, run), logged=model)


def _is_there(conn: Connection, run_id: str) -> bool:
    try:
        get_run(conn, run_id)
    except NotFound:
        return False
    return bool(run_id)


def _run(context: Context, conn: Connection, uri: str, run_id: str) -> RunDetail:
    try:
        reachable_run(context, conn, run_id)
    except NotFound as error:
        raise _mismatch(uri, "run_id") from error
    return get_run(conn, run_id)


def _measured(model: LoggedModel, run: RunDetail | None) -> dict[str, float]:
    """What was measured of the model itself; of its run, when nobody says more."""
    return {metric.key: metric.value for metric in model.metrics} or (run.metrics if run else {})


def _source(
    conn: Connection,
    uri: str,
    owner: str,
    below: str,
    *,
    run: RunDetail | None,
    metrics: dict[str, float],
    logged: LoggedModel | None,
) -> Source:
    lineage: dict[str, Any] = {"cause": "registered through MLflow"}
    if logged is not None:
        lineage |= {"logged_model": logged.id, "project": logged.project}
    if run is not None:
        lineage |= {"run": run.run.id, "project": run.run.project, "params": run.params, "inputs": run.inputs}
        lineage |= {"commit": run.code.get("commit") or run.tags.get("mlflow.source.git.commit")}
        lineage["datasets"] = [{"name": item.name, "digest": item.digest} for item in run.datasets]
    finite = {key: value for key, value in metrics.items() if value - value == 0}
    return Source(
        uri=uri,
        run_id=run.run.id if run else None,
        files=_files(conn, owner, below),
        evaluation={"evaluation": {"challenger": finite}} if finite else {},
        dataset=run.inputs[0] if run and len(run.inputs) == 1 else None,
        lineage=lineage,
    )


def _files(conn: Connection, owner: str, below: str) -> dict[str, PackageFile]:
    """The files below a path, by their paths from there. None may be there yet: MLflow does not ask."""
    below = below.strip("/")
    start = len(below) + 1 if below else 0
    files = {
        item.path[start:]: PackageFile(item.digest, item.size) for item in list_artifacts(conn, owner, below=below)
    }
    if files or not below:
        return files
    try:
        one = find_artifact(conn, owner, below)
    except NotFound:
        return {}
    return {below.rpartition("/")[2]: PackageFile(one.digest, one.size)}


def _mismatch(uri: str, what: str) -> Invalid:
    return Invalid(
        f"Invalid model version source: '{uri:.200}'. The {what} request parameter must identify the resource that "
        "contains the source.",
        field="source",
    )


def live_uri(conn: Connection, uri: str) -> str:
    """Where the files of a source are, or will be, in a form that clients can fetch from."""
    parsed = urlsplit(uri)
    owner, _, below = parsed.path.lstrip("/").partition("/")
    if parsed.scheme == "runs":
        project = get_run(conn, owner).run.project_id
        return f"mlflow-artifacts:/{project}/{owner}/artifacts" + (f"/{below}" if below else "")
    if parsed.scheme == "models" and owner.startswith("m-") and not below:
        return artifact_uri(get_model(conn, owner))
    return uri
