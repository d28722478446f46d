"""The container's entry point: what it decides to serve, SageMaker's contract, and that the Dockerfile runs it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from exporting import BODY, ROWS, Process, export, fitted, free_port, make_home, wanted

from homeostat.ground.errors import Invalid
from homeostat.server.container import plan_of
from homeostat.serving.log import is_finished, wal_files

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "container" / "Dockerfile"


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model: Any) -> Path:
    return make_home(tmp_path_factory.mktemp("exporting") / "home", model)


@pytest.fixture(scope="module")
def exported(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`late@1` as a folder."""
    folder = tmp_path_factory.mktemp("exported") / "late"
    export(home, "late", folder)
    return folder


def test_a_container_serves_what_is_mounted_unless_it_is_told_otherwise(exported: Path, tmp_path: Path) -> None:
    nothing, mounted = tmp_path / "nothing", exported
    assert plan_of({}, [nothing, mounted]) == (mounted, (), 8080)
    assert plan_of({"MODEL": str(mounted), "PORT": "9000"}, [nothing]) == (mounted, (), 9000)
    both = {"MODEL": "models:/late@champion, early@2", "PORT": "9000", "SAGEMAKER_BIND_TO_PORT": "9001"}
    assert plan_of(both, [mounted]) == (None, ("models:/late@champion", "early@2"), 9001)
    assert plan_of({"HOMEOSTAT_DATABASE": "postgresql://there"}, [nothing]) == (None, (), 8080)


@pytest.mark.parametrize(
    ("environment", "field"),
    [({}, "MODEL"), ({"PORT": "http"}, "PORT"), ({"SAGEMAKER_BIND_TO_PORT": "0"}, "SAGEMAKER")],
)
def test_a_container_that_cannot_tell_what_to_do_names_the_variable(
    environment: dict[str, str], field: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid) as caught:
        plan_of(environment, [tmp_path])
    assert caught.value.field.startswith(field)


def test_the_dockerfile_runs_the_entry_point_itself_and_copies_what_is_there() -> None:
    lines = [line.split(maxsplit=1) for line in DOCKERFILE.read_text().splitlines() if line and line[0].isupper()]
    said = {word: rest for word, rest in lines if word in {"ENTRYPOINT", "CMD", "EXPOSE"}}
    assert json.loads(said["ENTRYPOINT"]) == ["python", "-m", "homeostat.server.container"]
    assert (json.loads(said["CMD"]), said["EXPOSE"]) == (["serve"], "8080")
    copied = [rest.split()[:-1] for word, rest in lines if word == "COPY" and not rest.startswith("--")]
    missing = [path for paths in copied for path in paths if not (DOCKERFILE.parents[2] / path).exists()]
    assert copied and missing == []


@pytest.fixture
def container(exported: Path, tmp_path: Path) -> Iterator[Process]:
    """The entry point as SageMaker runs it, on a folder that stands for /opt/ml/model."""
    port = free_port()
    settings = {"MODEL": str(exported), "SAGEMAKER_BIND_TO_PORT": str(port), "HOMEOSTAT_HOME": str(tmp_path / "volume")}
    process = Process(["homeostat.server.container", "serve"], port, **settings)
    yield process
    with suppress(ProcessLookupError):
        process.end()


@pytest.mark.slow
def test_the_container_keeps_sagemakers_contract_and_drains(container: Process, model: Any, tmp_path: Path) -> None:
    csv = "x0,x1,x2,x3\n" + "\n".join(",".join(map(repr, row)) for row in ROWS[:2].tolist())
    assert container.post("/v2/models/late/infer", BODY).status_code == 200
    ping = httpx.get(f"http://127.0.0.1:{container.port}/ping")
    headers = {"content-type": "text/csv", "accept": "application/json", "x-amzn-sagemaker-inference-id": "i-1"}
    said = httpx.post(f"http://127.0.0.1:{container.port}/invocations", content=csv, headers=headers)
    assert (ping.status_code, said.status_code) == (200, 200), said.text
    assert said.json()["predictions"] == pytest.approx(wanted(model))
    begun = time.monotonic()
    assert container.end() == 0
    assert time.monotonic() - begun < 30
    (log,) = wal_files(tmp_path / "volume" / "predictions")
    assert is_finished(log)


@pytest.mark.slow
def test_the_container_serves_what_the_catalogue_says_a_reference_means(home: Path, tmp_path: Path, model: Any) -> None:
    port = free_port()
    settings = {
        "MODEL": "models:/late@champion",
        "PORT": str(port),
        "HOMEOSTAT_DATABASE": f"sqlite:///{home / 'catalogue.db'}",
        "HOMEOSTAT_BLOBS": str(home / "blobs"),
        "HOMEOSTAT_TRUSTED_KEYS": str(home / "keys" / "trusted"),
        "HOMEOSTAT_HOME": str(tmp_path / "volume"),
    }
    process = Process(["homeostat.server.container", "serve"], port, **settings)
    answer = process.post("/v2/models/late/infer", BODY)
    assert answer.json()["outputs"][0]["data"] == pytest.approx(wanted(model))
    assert process.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [(["train"], "train"), ([], "nothing to serve")])
def test_a_container_that_cannot_serve_ends_with_the_reason(words: list[str], code: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "homeostat.server.container", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert code in ended.stderr
