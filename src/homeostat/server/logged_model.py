"""`homeostat serve runs:/RUN/model`: what a run logged becomes a version, once, so that its answers have a name."""

from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.version_intake import FLAVOR, register
from homeostat.compat.mlflow.version_sources import source_named
from homeostat.compat.mlflow.wire import Context
from homeostat.ground.access import LOCAL
from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Invalid, NotFound, Refused
from homeostat.ground.settings import Settings
from homeostat.registry.formats.mlflow_model import DESCRIPTION, main_file
from homeostat.registry.keys import signing_key
from homeostat.registry.models import create_model
from homeostat.registry.types import ModelVersion, PackageFile
from homeostat.registry.versions import versions_of_run
from homeostat.store.blobs import BlobStore
from homeostat.store.database import Database
from homeostat.tracking.runs import get_run
from homeostat.tracking.search.models import search_models

SCHEME = "runs:/"
_RUN_SHOWN = 8


def version_of_run(
    database: Database, blobs: BlobStore, settings: Settings, uri: str, *, name: str = ""
) -> ModelVersion:
    """The version that a run's logged model is registered as; made now when there is none.

    It is a version of `name`, or of a model that is called by path and run: `model-01a20e9d`.

    Raises:
        Invalid: when the URI names no path of a run.
        NotFound: when the run has logged nothing there.
        Refused: when what it logged runs code when it is read.
    """
    run, _, path = uri.removeprefix(SCHEME).strip("/").partition("/")
    if not run or not path:
        raise Invalid(f"{uri!r:.200} names no model of a run", field="model", next_step="write runs:/RUN/model")
    context = Context(database, blobs, SystemClock(), LOCAL, signing_key=lambda: signing_key(settings))
    with database.read() as conn:
        source_uri, files = _files(context, conn, run, path)
    _refuse_unsafe(blobs, files)
    model = name or f"{path.replace('/', '-')}-{run[:_RUN_SHOWN]}"
    with database.write() as conn:
        create_model(conn, model, at=context.clock.now(), actor=LOCAL.name)
        for known in versions_of_run(conn, model, run):
            if _digests(known.package.manifest) == _digests(files) and known.package.flavor == FLAVOR:
                return known
    said = "served from its run"
    return register(context, model, source_uri, run_id=run, model_id="", tags={}, run_link="", description=said)


def _files(context: Context, conn: Connection, run: str, path: str) -> tuple[str, dict[str, PackageFile]]:
    """Where the files of a run's model are: below a path of the run, or with a logged model of that name."""
    detail = get_run(conn, run)
    uris = [f"{SCHEME}{run}/{path}"]
    page = search_models(
        conn, [detail.run.project_id], text=f"source_run_id = '{run}'", limit=1000, now=context.clock.now()
    )
    uris += [f"models:/{model.id}" for model in page.models if model.name == path]
    for uri in uris:
        source = source_named(context, conn, uri, run_id=run, model_id="")
        if DESCRIPTION in source.files:
            return uri, source.files
    logged = ", ".join(sorted({model.name for model in page.models})) or "none"
    raise NotFound(
        f"run {run} has no model {path!r:.200}", field="model", next_step=f"models that it has logged: {logged}"
    )


def _refuse_unsafe(blobs: BlobStore, files: dict[str, PackageFile]) -> None:
    described = {DESCRIPTION: blobs.get(files[DESCRIPTION].digest)}
    try:
        main_file(dict.fromkeys(files, b"") | described)
    except Refused as error:
        raise Refused(f"it cannot be served: {error.message}", field=error.field, next_step=error.next_step) from error


def _digests(files: dict[str, PackageFile]) -> dict[str, str]:
    return {path: file.digest for path, file in files.items()}
