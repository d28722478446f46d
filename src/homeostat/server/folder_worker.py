"""A serving worker for an exported folder: `python -m homeostat.server.folder_worker DIR --home ... --port 0`.

It needs no catalogue; the home holds its prediction log alone. All else is as with `homeostat.server.worker`.
"""

import os

if __name__ == "__main__":  # before NumPy is loaded: on tiny batches a thread pool costs more than the work
    for _library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from homeostat.ground.errors import HomeostatError, exit_code
from homeostat.server.exported import load_exported, open_exported
from homeostat.server.worker import Options, read_options, run_worker


def serve_folder(folder: Path, options: Options) -> None:
    """Serve an exported folder until SIGTERM, SIGINT or, with `parent_watch`, the end of standard input.

    Raises:
        HomeostatError: when the folder is not what was signed, or the port cannot be had.
    """
    exported = open_exported(folder, options.settings)
    version = exported.version
    chosen = msgspec.structs.replace(options, model=version.model, version=version.version)
    run_worker(chosen, lambda *_: load_exported(exported))


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    try:
        serve_folder(Path(arguments[0]), read_options(arguments[1:]))
    except HomeostatError as error:
        sys.stderr.write(f"homeostat worker {os.getpid()}: {error}\n")
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
