"""From training to serving: a version is signed by the loop, and a tampered one is refused by the name of its file."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shop import START, command, write_project

from homeostat.ground.settings import Settings
from homeostat.registry.types import ModelVersion
from homeostat.registry.versions import get_version
from homeostat.store.database import open_database

pytestmark = pytest.mark.slow


def trained(home: Path, declared: Path) -> ModelVersion:
    command(home, "apply", str(declared))
    command(home, "train", "late-order")
    database = open_database(Settings(home=str(home)).database_url)
    with database.read() as conn:
        version = get_version(conn, "late-order", 1)
    database.close()
    return version


def serve(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ("-m", "homeostat.cli.entry", "serve", "late-order@1", "--home", str(home), "--port", "0")
    given = os.environ | {"HOMEOSTAT_CLOCK": START.isoformat()} | environment
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, env=given, check=False)


def test_a_trained_version_is_signed_and_a_tampered_one_is_not_served(tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = trained(home, write_project(tmp_path / "project"))
    assert version.signed is not None
    said: Any = command(home, "model", "verify", "late-order@1")
    assert said["signed"] and said["files"] == ["model.skops"]
    (tmp_path / "none").mkdir()
    (trusted := home / "keys" / "trusted").rename(tmp_path / "aside")
    refused = serve(home)
    assert refused.returncode != 0 and said["key_id"] in refused.stderr and "not trusted" in refused.stderr
    (tmp_path / "aside").rename(trusted)
    digest = version.package.manifest["model.skops"].digest
    blob = home / "blobs" / digest[:2] / digest[2:]
    blob.write_bytes(blob.read_bytes() + b" ")
    refused = serve(home)
    assert refused.returncode != 0 and "model.skops of late-order@1 was changed" in refused.stderr


def test_a_pickle_with_a_reason_goes_through_training_with_its_permission_signed(tmp_path: Path) -> None:
    home, declared = tmp_path / "home", write_project(tmp_path / "project")
    text = declared.read_text().replace("    return make_pipeline(", "    model = make_pipeline(")
    declared.write_text(text.rstrip() + '\n    return hs.allow_pickle(model, reason="no safe format holds it")\n')
    version = trained(home, declared)
    assert version.package.flavor == "pickle"
    said: Any = command(home, "model", "verify", "late-order@1")
    assert said["pickle"]["reason"] == "no safe format holds it" and said["pickle"]["by"]
