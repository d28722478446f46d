"""Imports: what another tool tracked, carried into a home or to a server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from homeostat.compat.importers.carry import Progress, Sink, carry_over
from homeostat.compat.importers.carry_models import carry_logged_models, carry_registered_models
from homeostat.compat.importers.intake import Intake
from homeostat.compat.importers.mlflow_source import open_mlflow
from homeostat.compat.importers.mlflow_store import imported_logged_models, imported_runs
from homeostat.compat.importers.records import ImportedRun, Losses
from homeostat.compat.importers.remote_sink import RemoteSink
from homeostat.compat.importers.report import Report
from homeostat.compat.importers.tensorboard_folder import read_tensorboard
from homeostat.compat.importers.wandb_folder import read_wandb
from homeostat.ground.errors import NotFound
from homeostat.ground.settings import Settings
from homeostat.registry.keys import signing_key
from homeostat.server.service import Service

_Reader = Callable[[Path, Losses], Iterator[ImportedRun]]


def import_wandb(settings: Settings, source: str, *, project: str | None = None, progress: Progress) -> Report:
    """Carry over the offline runs at or below a path; without a project each goes to its own."""
    return _import_files(
        settings, source, lambda path, losses: read_wandb(path, losses, project=project), progress=progress
    )


def import_tensorboard(settings: Settings, source: str, *, project: str | None = None, progress: Progress) -> Report:
    """Carry over the event files at or below a path; without a project into one of the folder's name."""
    return _import_files(
        settings, source, lambda path, losses: read_tensorboard(path, losses, project=project), progress=progress
    )


def import_mlflow(
    settings: Settings,
    source: str,
    *,
    project: str | None = None,
    artifacts: Sequence[Path] = (),
    progress: Progress,
) -> Report:
    """Carry over a server, database or folder of MLflow's: runs, then logged models, then registered models."""
    losses = Losses()
    store = open_mlflow(source, losses, artifacts=list(artifacts))
    try:
        with _open_sink(settings) as sink:
            runs = imported_runs(store, project=project, losses=losses)
            report = carry_over(runs, sink, source=source, losses=losses, progress=progress)
            models = imported_logged_models(store, project=project)
            carry_logged_models(models, sink, report, losses=losses, progress=progress)
            carry_registered_models(store.registered_models(), sink, report, losses=losses, progress=progress)
            report.lost = losses.all()
            return report
    finally:
        store.close()


def _import_files(settings: Settings, source: str, read: _Reader, *, progress: Progress) -> Report:
    path, losses = Path(source).expanduser(), Losses()
    if not path.exists():
        raise NotFound(f"there is nothing at {source!r:.200}", field="source", next_step="check the path")
    with _open_sink(settings) as sink:
        return carry_over(read(path, losses), sink, source=source, losses=losses, progress=progress)


@contextmanager
def _open_sink(settings: Settings) -> Iterator[Sink]:
    if settings.url:
        remote = RemoteSink(settings.url, token=settings.token)
        try:
            yield remote
        finally:
            remote.close()
        return
    service = Service(settings)
    try:
        yield Intake(service.database, service.blobs, service.clock, signing_key=lambda: signing_key(settings))
    finally:
        service.close()
