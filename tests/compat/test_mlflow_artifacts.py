"""The artifacts proxy: paths that try to get out, large bodies, ranges, parts."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_helpers import API, INVALID, MISSING, Mlflow

PROXY = "/api/2.0/mlflow-artifacts"
FILES = f"{PROXY}/artifacts"

TRAVERSALS = [
    "../x",
    "a/../../x",
    "..",
    "a/./b",
    "a//b",
    "a\\b",
    "..\\x",
    "C:/x",
    "a\x00b",
    "a\nb",
    "/etc/passwd",
    "a#b",
    "file:///etc/passwd",
    "%2e%2e/x",
    "%252e%252e/x",
    "%25252e%25252e%25252fx",
    "..%2fx",
    "a%5cb",
    "a%00b",
    "~/x",
    "x" * 501,
]


def put(mlflow: Mlflow, path: str, content: bytes) -> None:
    response = mlflow.request("PUT", f"{FILES}/{path}", content=content)
    assert (response.status_code, response.content) == (200, b"{}"), response.text


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error_code"]


def test_a_file_goes_up_is_listed_and_comes_down(mlflow: Mlflow) -> None:
    run_id = mlflow.start()
    root = f"0/{run_id}/artifacts"
    put(mlflow, f"{root}/plots/roc.png", b"png")
    put(mlflow, f"{root}/MLmodel", b"model")
    put(mlflow, f"{root}/MLmodel", b"newer")
    listed = mlflow.get("/artifacts/list", run_id=run_id)
    assert listed["root_uri"] == f"mlflow-artifacts:/{root}"
    assert listed["files"] == [
        {"path": "MLmodel", "is_dir": False, "file_size": 5},
        {"path": "plots", "is_dir": True},
    ]
    assert mlflow.get("/artifacts/list", run_id=run_id, path="plots")["files"][0]["path"] == "plots/roc.png"
    # The proxy tells names relative to the folder that was asked for.
    proxied = mlflow.request("GET", FILES, params={"path": f"{root}/plots"}).json()
    assert proxied == {"files": [{"path": "roc.png", "is_dir": False, "file_size": 3}]}
    down = mlflow.request("GET", f"{FILES}/{root}/MLmodel")
    assert (down.content, down.headers["content-type"]) == (b"newer", "text/plain")
    page = mlflow.request("GET", "/get-artifact", params={"run_uuid": run_id, "path": "plots/roc.png"})
    assert (page.content, page.headers["content-type"]) == (b"png", "image/png")
    assert mlflow.request("DELETE", f"{FILES}/{root}/plots").status_code == 200
    assert code_of(mlflow.request("GET", f"{FILES}/{root}/plots/roc.png")) == MISSING
    put(mlflow, f"{root}/tree/leaf", b"leaf")
    assert "directory" in mlflow.request("GET", f"{FILES}/{root}/tree").json()["message"]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_paths_that_try_to_get_out_are_refused_everywhere(mlflow_sqlite: Mlflow, path: str, tmp_path: Path) -> None:
    run_id = mlflow_sqlite.start()
    before = {item for item in tmp_path.rglob("*") if "blobs" not in item.parts and "catalogue" not in item.name}
    # Sent as a query, where nothing normalises what is sent.
    for target in (f"0/{run_id}/artifacts/{path}", path, f"0/models/m-1/artifacts/{path}"):
        assert code_of(mlflow_sqlite.request("GET", FILES, params={"path": target})) == INVALID
    assert (
        code_of(mlflow_sqlite.request("GET", f"{API}/artifacts/list", params={"run_id": run_id, "path": path}))
        == INVALID
    )
    assert code_of(mlflow_sqlite.request("GET", "/get-artifact", params={"run_id": run_id, "path": path})) == INVALID
    upload = {"run_uuid": run_id, "path": path}
    ajax = "/ajax-api/2.0/mlflow/upload-artifact"
    assert code_of(mlflow_sqlite.request("POST", ajax, params=upload, content=b"x")) == INVALID
    # And as a path, encoded so that a server decodes it to just this.
    encoded = "".join(f"%{byte:02x}" for byte in path.encode())
    for method, content in (("PUT", b"x"), ("GET", b""), ("DELETE", b"")):
        url = f"http://127.0.0.1{FILES}/0/{run_id}/artifacts/{encoded}"
        assert code_of(mlflow_sqlite.request(method, url, content=content)) == INVALID
    after = {item for item in tmp_path.rglob("*") if "blobs" not in item.parts and "catalogue" not in item.name}
    assert before == after


def test_a_run_is_reached_by_its_own_experiment_only(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    other = mlflow_sqlite.post("/experiments/create", name="other")["experiment_id"]
    put(mlflow_sqlite, f"0/{run_id}/artifacts/x", b"x")
    assert code_of(mlflow_sqlite.request("GET", f"{FILES}/{other}/{run_id}/artifacts/x")) == MISSING
    assert code_of(mlflow_sqlite.request("PUT", f"{FILES}/0/{'f' * 32}/artifacts/x", content=b"x")) == MISSING


def test_models_traces_and_other_folders_have_owners_of_their_own(mlflow_sqlite: Mlflow) -> None:
    for folder in ("0/models/m-1234/artifacts", "0/traces/tr-1234/artifacts", "somewhere/else"):
        put(mlflow_sqlite, f"{folder}/a.txt", folder.encode())
        assert mlflow_sqlite.request("GET", f"{FILES}/{folder}/a.txt").text == folder
        names = mlflow_sqlite.request("GET", FILES, params={"path": folder}).json()["files"]
        assert [item["path"] for item in names] == ["a.txt"]
    assert mlflow_sqlite.request("GET", FILES, params={"path": "nowhere"}).json() == {}


def test_a_browser_saves_what_it_fetches_and_shows_none_of_it(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    name = 'ev"il; ünï.html'
    put(mlflow_sqlite, f"0/{run_id}/artifacts/{name}", b"<script>alert(1)</script>")
    answer = mlflow_sqlite.request("GET", f"{FILES}/0/{run_id}/artifacts/{name}")
    assert answer.headers["content-disposition"].startswith('attachment; filename="ev_il; u')
    assert "filename*=UTF-8''ev%22il" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-4", 206, slice(-4, None)),
        ("bytes=0-99999999", 206, slice(0, None)),
        ("bytes=2-1", 200, slice(0, None)),
        ("lines=1-2", 200, slice(0, None)),
        ("bytes=0-1,4-5", 200, slice(0, None)),
        ("bytes=99999999-", 416, slice(0, 0)),
    ],
)
def test_a_stretch_of_a_file_can_be_fetched(mlflow_sqlite: Mlflow, asked: str, status: int, part: slice) -> None:
    run_id = mlflow_sqlite.start()
    data = bytes(range(100))
    put(mlflow_sqlite, f"0/{run_id}/artifacts/x", data)
    answer = mlflow_sqlite.request("GET", f"{FILES}/0/{run_id}/artifacts/x", headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, data[part])
    head = mlflow_sqlite.request("HEAD", f"{FILES}/0/{run_id}/artifacts/x")
    assert (head.content, head.headers["content-length"]) == (b"", "100")


def test_a_large_file_passes_through_in_pieces(mlflow_sqlite: Mlflow, tmp_path: Path) -> None:
    run_id = mlflow_sqlite.start()
    data = os.urandom((3 << 20) + 11)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 70_001):
            yield data[start : start + 70_001]

    url = f"{FILES}/0/{run_id}/artifacts/big.bin"
    assert mlflow_sqlite.request("PUT", url, content=pieces()).status_code == 200
    down = mlflow_sqlite.request("GET", url)
    assert down.headers["content-length"] == str(len(data))
    assert hashlib.sha256(down.content).digest() == hashlib.sha256(data).digest()
    assert not list((tmp_path / "blobs").glob(".incoming*"))


def test_a_caller_that_hangs_up_leaves_nothing(mlflow_sqlite: Mlflow, tmp_path: Path) -> None:
    run_id = mlflow_sqlite.start()
    messages = [
        {"type": "http.request", "body": b"x" * (2 << 20), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path = f"{FILES}/0/{run_id}/artifacts/half.bin"
    scope = {"type": "http", "method": "PUT", "path": path, "headers": [], "query_string": b""}
    mlflow_sqlite.run_async(mlflow_sqlite.app(scope, receive, send))
    assert sent == []
    assert code_of(mlflow_sqlite.request("GET", path)) == MISSING
    assert [item for item in (tmp_path / "blobs").rglob("*") if item.is_file()] == []


def test_a_file_in_parts_becomes_one(mlflow: Mlflow) -> None:
    run_id = mlflow.start()
    folder = f"0/{run_id}/artifacts/models"
    parts = [os.urandom(1000), os.urandom(1000), b"end"]
    made = mlflow.request(
        "POST", f"{PROXY}/mpu/create/{folder}", json={"path": "/home/ann/big.bin", "num_parts": 3}
    ).json()
    etags = []
    for credential, part in zip(made["credentials"], parts, strict=True):
        answer = mlflow.request("PUT", credential["url"], content=part)
        etags.append({"part_number": credential["part_number"], "etag": answer.headers["etag"]})
    finish = {"path": "/home/ann/big.bin", "upload_id": made["upload_id"], "parts": etags[::-1]}
    assert mlflow.request("POST", f"{PROXY}/mpu/complete/{folder}", json=finish).json() == {}
    assert mlflow.request("GET", f"{FILES}/{folder}/big.bin").content == b"".join(parts)
    unsent = finish | {"parts": [{"part_number": 1, "etag": "0" * 64}]}
    assert code_of(mlflow.request("POST", f"{PROXY}/mpu/complete/{folder}", json=unsent)) == MISSING
    for bad in (
        {"parts": etags[1:]},
        {"parts": []},
        {"parts": [{"part_number": 1, "etag": "../../etc/passwd"}]},
        {"upload_id": "../x"},
        {"path": ".."},
        {"path": ""},
    ):
        assert code_of(mlflow.request("POST", f"{PROXY}/mpu/complete/{folder}", json=finish | bad)) == INVALID
    assert mlflow.request("POST", f"{PROXY}/mpu/abort/{folder}", json=finish).json() == {}
    many = {"path": "x", "num_parts": 10_001}
    assert code_of(mlflow.request("POST", f"{PROXY}/mpu/create/{folder}", json=many)) == INVALID


def test_the_page_uploads_small_files(mlflow_sqlite: Mlflow) -> None:
    run_id = mlflow_sqlite.start()
    url, query = "/ajax-api/2.0/mlflow/upload-artifact", {"run_uuid": run_id, "path": "notes/a.md"}
    assert mlflow_sqlite.request("POST", url, params=query, content=b"# a").status_code == 200
    assert mlflow_sqlite.get("/artifacts/list", run_id=run_id, path="notes")["files"][0]["path"] == "notes/a.md"
    assert code_of(mlflow_sqlite.request("POST", url, params=query, content=b"")) == INVALID
    assert code_of(mlflow_sqlite.request("POST", url, params=query, content=b"x" * ((10 << 20) + 1))) == INVALID
