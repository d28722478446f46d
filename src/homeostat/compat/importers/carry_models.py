"""Carrying logged and registered models over, after their runs."""

from collections.abc import Iterable, Iterator

import msgspec

from homeostat.compat.importers.batch import FilePart
from homeostat.compat.importers.carry import Progress, Sink, send, stored_file
from homeostat.compat.importers.model_batch import (
    LoggedModelBatch,
    RegisteredModelBatch,
    logged_model_batch,
    version_identity,
    version_part,
)
from homeostat.compat.importers.records import ImportedFile, ImportedLoggedModel, ImportedModel, Losses
from homeostat.compat.importers.report import Report

_FILES_A_STRETCH = 100


def carry_logged_models(
    models: Iterable[ImportedLoggedModel], sink: Sink, report: Report, *, losses: Losses, progress: Progress
) -> None:
    """Carry logged models into a sink, and count them in a report, which knows the runs that were carried before."""
    runs = _runs(report)
    for model in models:
        progress(model.label)
        head = logged_model_batch(model, runs)
        first = send(sink, head, losses)
        if first.run_id is None:
            continue
        report.logged_models += 1
        report.new_logged_models += first.is_new
        for batch in _stretches(head, model, sink, losses):
            report.files += send(sink, batch, losses).files


def carry_registered_models(
    models: Iterable[ImportedModel], sink: Sink, report: Report, *, losses: Losses, progress: Progress
) -> None:
    """Carry registered models into a sink, version by version, aliases last."""
    runs = _runs(report)
    for model in models:
        progress(model.name)
        head = RegisteredModelBatch(
            name=model.name, description=model.description, created=model.created, tags=model.tags
        )
        first = send(sink, head, losses)
        if first.run_id is None:
            continue
        report.models += 1
        report.new_models += first.is_new
        identities = {}
        for version in model.versions:
            label = f"{model.name} version {version.number}"
            files = [*_stored(version.files, sink, label, losses)]
            identities[version.number] = version_identity(model, version)
            part = version_part(model, version, files, runs)
            report.new_versions += send(sink, msgspec.structs.replace(head, version=part), losses).versions
        aliases = {alias: identities[number] for alias, number in model.aliases.items() if number in identities}
        for alias in model.aliases.keys() - aliases.keys():
            losses.add(model.name, f"alias {alias!r:.60}", "the version it stands on is not there")
        if aliases:
            send(sink, msgspec.structs.replace(head, aliases=aliases), losses)


def _runs(report: Report) -> dict[str, str]:
    """The id here of each run that was carried, by the one it has there."""
    return {carried.label: carried.run_id for carried in report.carried}


def _stretches(
    head: LoggedModelBatch, model: ImportedLoggedModel, sink: Sink, losses: Losses
) -> Iterator[LoggedModelBatch]:
    files: list[FilePart] = []
    for stored in _stored(model.files, sink, model.label, losses):
        files.append(stored)
        if len(files) >= _FILES_A_STRETCH:
            yield msgspec.structs.replace(head, files=files)
            files = []
    yield msgspec.structs.replace(head, files=files, is_last=True)


def _stored(files: Iterable[ImportedFile], sink: Sink, label: str, losses: Losses) -> Iterator[FilePart]:
    for file in files:
        stored = stored_file(file, sink, label=label, losses=losses)
        if stored is not None:
            yield stored
