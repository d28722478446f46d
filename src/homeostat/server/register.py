"""Registering by hand: an uploaded package becomes a signed version, with the lineage of the run it came from."""

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from homeostat.ground.access import Identity
from homeostat.ground.errors import Invalid, NotFound
from homeostat.ground.settings import Settings
from homeostat.registry.formats.network import PLAN, WEIGHTS
from homeostat.registry.keys import signing_key
from homeostat.registry.models import create_model
from homeostat.registry.scorers import FILES
from homeostat.registry.signing import sign_package
from homeostat.registry.types import ModelVersion, PackageFile, PicklePermission, StoredPackage
from homeostat.registry.versions import register_version, versions_of_run
from homeostat.server.register_signature import said_signature
from homeostat.server.registry_bodies import VersionBody
from homeostat.store.blobs import BlobStore
from homeostat.tracking.runs import get_run

_RUN = re.compile(r"[0-9a-f]{32}")
_CHUNK = 1 << 20
CAUSE = "registered by hand"


def uploaded_package(blobs: BlobStore, body: VersionBody) -> StoredPackage:
    """The package a body names, with sizes and hashes as they are, not as anybody says.

    Nothing of it is read as a model here: that could run code, and this is a server.

    Raises:
        Invalid: when a flavor has other files, or a pickle comes without a reason.
        NotFound: when the bytes of a file were not uploaded.
    """
    wanted = {WEIGHTS, PLAN} if body.flavor == "network" else {FILES.get(body.flavor, "")}
    if set(body.files) != wanted:
        flavors = ", ".join([*FILES, "network"])
        raise Invalid(
            f"a package of flavor {body.flavor!r:.40} cannot have the files {sorted(body.files)!r:.200}",
            field="files",
            next_step=f"use the client's register(...); flavors are {flavors}",
        )
    reason = body.pickle_reason.strip()
    if (body.flavor == "pickle") != bool(reason):
        raise Invalid(
            "a pickle, and only a pickle, needs a reason",
            field="pickle_reason",
            next_step="say why no safe format will do",
        )
    files = {path: _measured(blobs, path, file.digest) for path, file in body.files.items()}
    return StoredPackage(body.flavor, files, PicklePermission(reason) if reason else None)


def register(
    conn: Connection,
    blobs: BlobStore,
    settings: Settings,
    name: str,
    package: StoredPackage,
    body: VersionBody,
    *,
    at: int,
    actor: str,
    who: Identity,
) -> ModelVersion:
    """Sign a package and give it the next number of the model, which is made if there is none.

    The same package of the same run with the same evaluation is the version it became before: a request may be
    repeated.
    """
    signature = said_signature(body.signature)
    create_model(conn, name, at=at, actor=actor)
    run_id = _checked_run(body.run)
    evaluation = _evaluation(body.evaluation)
    if run_id is not None:
        for version in versions_of_run(conn, name, run_id):
            if (version.package_digest, version.evaluation) == (package.digest, evaluation):
                return version
    signed = sign_package(signing_key(settings), blobs, package, model=name, run_id=run_id or "", at=at, actor=actor)
    lineage = {"cause": CAUSE} | _lineage(conn, run_id, who)
    inputs = lineage.get("inputs", [])
    return register_version(
        conn,
        model=name,
        run_id=run_id,
        package=package,
        signature=signature,
        evaluation=evaluation,
        dataset=inputs[0] if len(inputs) == 1 else None,
        lineage=lineage,
        signed=signed,
        source=f"runs:/{run_id}" if run_id else "",
        description=body.description,
        tags=body.tags,
        again=True,
        at=at,
        actor=actor,
    )


def _measured(blobs: BlobStore, path: str, digest: str) -> PackageFile:
    sha256, size = hashlib.sha256(), 0
    try:
        with blobs.open(digest) as stream:
            while chunk := stream.read(_CHUNK):
                sha256.update(chunk)
                size += len(chunk)
    except NotFound as error:
        raise NotFound(
            f"the bytes of {path!r} are not here", field="files", next_step="upload them, then send again"
        ) from error
    return PackageFile(digest, size, sha256.hexdigest())


def _checked_run(run_id: str | None) -> str | None:
    if run_id is None or _RUN.fullmatch(run_id):
        return run_id
    raise Invalid(f"{run_id!r:.80} is no id of a run", field="run", next_step="see: homeostat run ls")


def _evaluation(metrics: Mapping[str, float]) -> dict[str, Any]:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Invalid(f"metric {name!r:.80} is {value}", field="evaluation", next_step="give finite numbers")
    return {"evaluation": {"challenger": dict(metrics)}} if metrics else {}


def _lineage(conn: Connection, run_id: str | None, who: Identity) -> dict[str, Any]:
    """What the run says. One that is not here yet is on its way: runs ship in the background."""
    if run_id is None:
        return {}
    try:
        detail = get_run(conn, run_id)
    except NotFound:
        return {"run": run_id}
    who.require_project(detail.run.project)
    found = {"run": run_id, "project": detail.run.project, "params": detail.params, "inputs": detail.inputs}
    return found | {"commit": detail.code.get("commit")}
