"""What made a result: the code (git commit and uncommitted patch) and the environment. Never secrets."""

import contextlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

PATCH_LIMIT = 1_000_000
"""Bytes of an uncommitted patch that are kept."""
UNTRACKED_LIMIT = 200
"""Names of untracked files that are kept."""
TIMEOUT = 10.0
"""Seconds a git command may take."""

# A repository's own configuration must not run programs: no hooks, no file monitor, no pager.
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "--no-pager")
_ENVIRON = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# Set inside a git hook, they would point every command at the hook's repository.
_MISLEADING = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")
# `.homeostat` is our own state, not the user's code.
_UNTRACKED = ("ls-files", "--others", "--exclude-standard", "--exclude=.homeostat", "--full-name", "-z", ":/")


class _GitFailed(Exception):
    """A git command that gave no answer, with the reason."""


def code_snapshot(folder: Path, *, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Commit, branch, and what is not committed, of the repository around `folder`.

    Gives `{commit, branch, dirty, patch, patch_cut, untracked}`: `patch` is `git diff HEAD` (its first megabyte, with
    `patch_cut` true when there was more), `untracked` are names, not contents. Without git, outside a repository or
    before the first commit: `{"commit": None, "reason": why}`. Remotes are left out: their URLs may hold tokens.
    """
    try:
        commit, _ = _git(folder, "rev-parse", "--verify", "HEAD", timeout=timeout)
        branch, _ = _git(folder, "rev-parse", "--abbrev-ref", "HEAD", timeout=timeout)
        patch, cut = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", timeout=timeout)
        names, _ = _git(folder, *_UNTRACKED, timeout=timeout)
    except _GitFailed as error:
        return {"commit": None, "reason": str(error)}
    untracked = [name for name in names.split("\x00") if name]
    return {
        "commit": commit.strip(),
        "branch": branch.strip(),
        "dirty": bool(patch or untracked),
        "patch": patch.replace("\x00", "\ufffd") + ("\n[cut here: the patch is over 1 MB]\n" if cut else ""),
        "patch_cut": cut,
        "untracked": untracked[:UNTRACKED_LIMIT],
    }


def environment_snapshot() -> dict[str, Any]:
    """Python, platform, CPU count and installed packages by version. No environment variables: they hold secrets."""
    found = ((item.name, item.version) for item in importlib.metadata.distributions() if item.name)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": dict(sorted(found, key=lambda pair: pair[0].lower())),
    }


def _git(folder: Path, *arguments: str, timeout: float) -> tuple[str, bool]:
    """The first megabyte a git command prints, and whether there was more."""
    command = ["git", *_SAFE, "-C", str(folder), *arguments]
    environ = {key: value for key, value in os.environ.items() if key not in _MISLEADING} | _ENVIRON
    late = threading.Event()
    with tempfile.TemporaryFile() as complaints:  # a file: a full pipe would stop git while we read the other one
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            raise _GitFailed(f"git cannot be run: {error.strerror}") from error
        watchdog = threading.Timer(timeout, _stop, (process, late))
        watchdog.start()
        try:
            data = _read(process)
        finally:
            watchdog.cancel()
        complaints.seek(0)
        complaint = complaints.read(2_000).decode("utf-8", "replace")
    if late.is_set():
        raise _GitFailed(f"git {arguments[0]} took longer than {timeout:g} s")
    cut = len(data) > PATCH_LIMIT
    if process.returncode and not cut:
        raise _GitFailed(_reason(complaint))
    return data[:PATCH_LIMIT].decode("utf-8", "replace"), cut


def _read(process: subprocess.Popen[bytes]) -> bytes:
    with process:
        assert process.stdout is not None  # it is a pipe
        data = process.stdout.read(PATCH_LIMIT + 1)
        if len(data) > PATCH_LIMIT:
            _kill(process)
    return data


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: a filter it started goes with it


def _reason(complaint: str) -> str:
    if "not a git repository" in complaint:
        return "not inside a git repository"
    if "Needed a single revision" in complaint:
        return "the repository has no commit yet"
    lines = complaint.strip().splitlines()
    return lines[0] if lines else "git failed without a message"
