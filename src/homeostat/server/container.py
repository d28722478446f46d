"""The entry point of a serving container: `python -m homeostat.server.container serve`.

SageMaker runs an image with `serve`, mounts the model at /opt/ml/model and asks on port 8080 (or what
SAGEMAKER_BIND_TO_PORT says); KServe mounts it at /mnt/models and sets PORT. Without a mounted model the catalogue that
HOMEOSTAT_* settings name is served: what MODEL refers to, or all its endpoints.

| environment | what |
|---|---|
| MODEL | a reference such as models:/late-arrival@champion, or a folder; several with commas |
| SAGEMAKER_BIND_TO_PORT, PORT | where to answer  [default: 8080] |
| HOMEOSTAT_HOME | a volume for the prediction log  [default: a folder that is gone with the container] |
| HOMEOSTAT_TRUSTED_KEYS | public keys, one of which must have signed a mounted model |

SIGTERM drains: requests in flight are finished, within the 30 s after which a container is killed.
"""

import os

if __name__ == "__main__":  # before NumPy is loaded: on tiny batches a thread pool costs more than the work
    for _library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from homeostat.ground.errors import HomeostatError, Invalid, exit_code
from homeostat.ground.settings import load_settings
from homeostat.server.folder import MANIFEST, is_exported
from homeostat.server.folder_worker import serve_folder
from homeostat.server.solo import resolve
from homeostat.server.worker import Options, load_from_registry, run_worker

MOUNTS = (Path("/opt/ml/model"), Path("/mnt/models"))
"""Where SageMaker and KServe put a model."""
PORT = 8080
EVERYWHERE = "0.0.0.0"  # noqa: S104  a container's own network: who gets in is for the platform around it to say


class Plan(NamedTuple):
    """What a container is to serve, and where."""

    folder: Path | None
    refs: tuple[str, ...]
    port: int


def plan_of(environment: Mapping[str, str], mounts: Sequence[Path] = MOUNTS) -> Plan:
    """What the environment and the mounted folders say.

    Raises:
        Invalid: naming the variable that is wrong, or what is missing.
    """
    port = _port(environment)
    named = tuple(part.strip() for part in environment.get("MODEL", "").split(",") if part.strip())
    if len(named) == 1 and Path(named[0]).is_dir():
        return Plan(Path(named[0]), (), port)
    if named:
        return Plan(None, named, port)
    for mount in mounts:
        if is_exported(mount):
            return Plan(mount, (), port)
    if environment.get("HOMEOSTAT_DATABASE") or environment.get("HOMEOSTAT_HOME"):
        return Plan(None, (), port)
    raise Invalid(
        f"there is nothing to serve: no {MANIFEST} in {' or '.join(map(str, mounts))}, and no catalogue",
        field="MODEL",
        next_step="mount what `homeostat model export NAME@VERSION DIR --serving` wrote, or set HOMEOSTAT_DATABASE, "
        "HOMEOSTAT_BLOBS and MODEL",
    )


def serve(environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM."""
    plan = plan_of(environment)
    home = environment.get("HOMEOSTAT_HOME") or tempfile.mkdtemp(prefix="homeostat-")
    settings = load_settings(environment, home=home, host=EVERYWHERE, serving_port=plan.port)
    if plan.folder is not None:
        serve_folder(plan.folder, Options(settings=settings))
        return
    targets = resolve(settings, plan.refs, follow=True) if plan.refs else []
    options = Options(settings=settings, refs=tuple(target.ref for target in targets))
    run_worker(options, partial(load_from_registry, settings))


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    # The first process of a container is not ended by signals that it does not handle; until the worker does, we are.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if list(arguments) not in ([], ["serve"]):
            raise Invalid(
                f"a container of this image cannot {arguments[0]!r:.40}",
                field="command",
                next_step="run it with: serve",
            )
        serve(os.environ)
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return exit_code(error)
    return 0


def _port(environment: Mapping[str, str]) -> int:
    for name in ("SAGEMAKER_BIND_TO_PORT", "PORT"):
        text = environment.get(name, "")
        if not text:
            continue
        if not text.isdecimal() or not 0 < int(text) < 65_536:
            raise Invalid(f"{name} is {text!r:.40}, not a port", field=name, next_step="give a number below 65536")
        return int(text)
    return PORT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
