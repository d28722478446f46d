"""From a fitted model to the body that registers it: packaged here, in the process that trained it, then uploaded."""

import math
import numbers
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from homeostat.ground.errors import Invalid, Refused
from homeostat.registry.formats.pickled import allow_pickle as permit
from homeostat.registry.packaging import package_model
from homeostat.registry.types import Package
from homeostat.sdk.registry_bodies import checked_body
from homeostat.sdk.signatures import found_out, said_of
from homeostat.server.registry_bodies import VersionBody
from homeostat.store.blobs import BlobStore, digest_of
from homeostat.tracking.client import ActiveRun, current_run
from homeostat.tracking.spool.http_target import HttpTarget

_RUN_WAIT = 10.0
"""Seconds for what the run has logged to arrive before its version does; later is fine too."""


class Upload(Protocol):
    """Takes the files of a package to where the registry finds them."""

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Path to digest."""
        ...


class LocalUpload:
    """Into the blobs of a home."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        return {path: self._blobs.put(data) for path, data in files.items()}


class ServerUpload:
    """To a server; large files go in chunks, and on where they were cut off."""

    def __init__(self, url: str, *, token: str) -> None:
        self._url = url
        self._token = token

    def put(self, files: Mapping[str, bytes]) -> dict[str, str]:
        digests = {path: digest_of(data) for path, data in files.items()}
        target = HttpTarget(self._url, token=self._token)
        try:
            with tempfile.TemporaryDirectory(prefix="homeostat-package-") as folder:
                written = {}
                for path, data in files.items():
                    written[digests[path]] = Path(folder, digests[path])
                    written[digests[path]].write_bytes(data)
                target.put_files(written)
        finally:
            target.close()
        return digests


def pack(
    model: Any,
    upload: Upload,
    *,
    inputs: Sequence[str] | None = None,
    example: Any = None,
    task: str = "",
    classes: Sequence[Any] = (),
    outputs: Sequence[str] = (),
    run: ActiveRun | str | None = None,
    evaluation: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    allow_pickle: str = "",
) -> VersionBody:
    """The body that registers a fitted model, its files uploaded.

    Raises:
        Refused: when no safe format holds it and nobody said why a pickle will do.
        Invalid: when what is said of it (inputs, task, classes, outputs) does not fit.
    """
    package = _packaged(model, allow_pickle)
    said = said_of(model, inputs=inputs, example=example, task=task, classes=classes, outputs=outputs)
    signature = found_out(package, said)
    digests = upload.put(package.files)
    return checked_body(
        VersionBody,
        flavor=package.flavor,
        files={path: {"digest": digest} for path, digest in digests.items()},
        pickle_reason=package.permission.reason if package.permission else "",
        signature=msgspec.to_builtins(signature),
        run=_run_id(run),
        evaluation={name: _number(name, value) for name, value in (evaluation or {}).items()},
        description=description,
        tags=dict(tags or {}),
    )


def _packaged(model: Any, reason: str) -> Package:
    try:
        return package_model(model)
    except Refused:
        if not reason:
            raise
        return package_model(permit(model, reason=reason))


def _run_id(run: ActiveRun | str | None) -> str | None:
    if isinstance(run, str):
        return run
    active = run or current_run()
    if active is None:
        return None
    active.flush(_RUN_WAIT)
    return active.id


def _number(name: str, value: Any) -> float:
    """A metric's value; NumPy's numbers are numbers, too."""
    if not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    raise Invalid(
        f"metric {name!r:.80} is {value!r:.40}, not a finite number",
        field="evaluation",
        next_step="give metrics by name, such as {'roc_auc': 0.8}",
    )
