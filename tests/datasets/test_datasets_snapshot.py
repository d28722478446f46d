"""Code and environment snapshots, on real git repositories."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from homeostat.datasets.snapshot import PATCH_LIMIT, code_snapshot, environment_snapshot


def git(folder: Path, *arguments: str) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=clean | names)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-b", "main")
    (folder / "train.py").write_text("a = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_repository_is_its_commit(repository: Path) -> None:
    found = code_snapshot(repository)
    assert len(found["commit"]) == 40
    assert (found["branch"], found["dirty"], found["patch"], found["untracked"]) == ("main", False, "", [])


def test_uncommitted_changes_are_the_patch_and_new_files_are_names(repository: Path) -> None:
    (repository / "train.py").write_text("a = 2\n")
    (repository / "nötiz.txt").write_text("secret contents")
    (repository / ".homeostat").mkdir()
    (repository / ".homeostat" / "catalogue.db").write_text("")
    found = code_snapshot(repository)
    assert found["dirty"] and "-a = 1\n+a = 2" in found["patch"]
    assert found["untracked"] == ["nötiz.txt"]
    assert "secret contents" not in msgspec.json.encode(found).decode()


def test_from_a_subfolder_the_whole_repository_is_seen(repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "new.py").write_text("")
    assert code_snapshot(repository / "sub")["untracked"] == ["new.py"]


def test_a_huge_patch_is_cut_and_says_so(repository: Path) -> None:
    (repository / "train.py").write_text("x = 1234567\n" * 300_000)
    found = code_snapshot(repository)
    assert found["patch_cut"] and found["patch"].endswith("over 1 MB]\n")
    assert len(found["patch"]) < PATCH_LIMIT + 100


def test_a_repository_cannot_make_the_snapshot_run_a_program(repository: Path) -> None:
    mark = repository.parent / "ran"
    program = repository.parent / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "core.pager"):
        git(repository, "config", key, str(program))
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    git(repository, "config", "diff.evil.textconv", str(program))
    git(repository, "config", "diff.evil.command", str(program))
    (repository / "train.py").write_text("a = 3\n")
    mark.unlink(missing_ok=True)
    assert "+a = 3" in code_snapshot(repository)["patch"]
    assert not mark.exists()


def test_outside_a_repository_and_before_a_commit_there_is_a_reason(tmp_path: Path) -> None:
    plain, fresh = tmp_path / "plain", tmp_path / "fresh"
    plain.mkdir()
    fresh.mkdir()
    git(fresh, "init")
    assert code_snapshot(plain) == {"commit": None, "reason": "not inside a git repository"}
    assert code_snapshot(fresh) == {"commit": None, "reason": "the repository has no commit yet"}
    assert code_snapshot(tmp_path / "missing")["commit"] is None


def test_without_git_there_is_a_reason(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from homeostat.datasets.snapshot import code_snapshot as s;"
    done = subprocess.run(
        [sys.executable, "-c", f"{program} print(s(Path('.')))"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "git cannot be run" in done.stdout


def test_git_that_hangs_is_stopped(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.py filter=slow\n")
    wait = f"'{sys.executable}' -c 'import time; time.sleep(60)'"
    git(repository, "config", "filter.slow.clean", wait)
    (repository / "train.py").write_text("a = 4\n")
    assert "took longer than" in code_snapshot(repository, timeout=0.5)["reason"]


def test_the_environment_names_packages_and_keeps_no_variables() -> None:
    os.environ["HOMEOSTAT_TEST_TOKEN"] = "s3cr3t-value"  # noqa: S105  made up here
    try:
        found = environment_snapshot()
    finally:
        del os.environ["HOMEOSTAT_TEST_TOKEN"]
    assert found["python"].startswith("3.") and "msgspec" in found["packages"]
    assert "s3cr3t-value" not in msgspec.json.encode(found).decode()
