"""Writes the lock files: `.venv/bin/python requirements/lock.py` (`--upgrade` takes newer versions).

A lock holds names, versions and hashes only: no URL, no host, no path, so any index or mirror may serve it.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
LOCKS = {
    "bootstrap.lock": ["--group", "pyproject.toml:bootstrap"],
    "dev.lock": ["pyproject.toml", "--all-extras", "--group", "pyproject.toml:dev"],
    "clients.lock": ["--group", "pyproject.toml:clients"],
    "serving-clients.lock": ["--group", "pyproject.toml:serving-clients"],
}
COMPILE = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
PLAIN = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]


def main() -> None:
    """Compile every lock from `pyproject.toml`."""
    tools = Path(sys.executable).parent
    for name, sources in LOCKS.items():
        lock = HERE / name
        command = [*COMPILE, *PLAIN, *sources, "--output-file", str(lock), *sys.argv[1:]]
        subprocess.run([str(tools / command[0]), *command[1:]], cwd=ROOT, check=True)
        refuse_strangers(lock)
        sys.stdout.write(f"{lock.relative_to(ROOT)} written\n")


def refuse_strangers(lock: Path) -> None:
    """A lock that names a place, or our own name (another package has it on the public index), is not usable."""
    if found := re.search(r"^homeostat\b.*|.*(?:://|file:).*", lock.read_text(), re.MULTILINE):
        sys.exit(f"{lock.name} holds {found[0]!r}")


if __name__ == "__main__":
    main()
