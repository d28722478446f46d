"""Files to the server and back: small, empty, large, in parts, odd names, figures, tables, images."""
# ruff: noqa: ANN001, ANN201, T201  a user's script, which is no test of ours

import hashlib
import os
import tempfile
from pathlib import Path

import matplotlib as mpl
import mlflow
import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient

mpl.use("agg")
import matplotlib.pyplot as plt

mlflow.set_experiment("files")
client = MlflowClient()
folder = Path(tempfile.mkdtemp())


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fetched(run_id, path):
    return mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=tempfile.mkdtemp())


with mlflow.start_run() as run:
    run_id = run.info.run_id
    for name, content in {
        "empty.bin": b"",
        "one.bin": b"1",
        "large.bin": os.urandom((5 << 20) + 17),
        "100%.txt": b"percent",
        "plus+and&question=.txt": b"plus",
        "日本語.txt": b"name",
        "a'quote.txt": b"quote",
    }.items():
        path = folder / name
        path.write_bytes(content)
        mlflow.log_artifact(str(path), "odd")
        assert digest(fetched(run_id, f"odd/{name}")) == digest(path), name

    # The same name again replaces.
    (folder / "one.bin").write_bytes(b"2")
    mlflow.log_artifact(str(folder / "one.bin"), "odd")
    assert Path(fetched(run_id, "odd/one.bin")).read_bytes() == b"2"

    # In parts, as clients do when they are told to.
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "1"
    os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(1 << 20)
    mlflow.log_artifact(str(folder / "large.bin"), "parts")
    assert digest(fetched(run_id, "parts/large.bin")) == digest(folder / "large.bin")
    del os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"]

    # Downloads in parts fall back to one.
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
    assert digest(fetched(run_id, "parts/large.bin")) == digest(folder / "large.bin")
    del os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"]

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    mlflow.log_figure(figure, "plots/line.png")
    assert Path(fetched(run_id, "plots/line.png")).read_bytes().startswith(b"\x89PNG")
    mlflow.log_image(np.zeros((8, 8, 3), np.uint8), "images/black.png")
    mlflow.log_image(np.zeros((8, 8, 3), np.uint8), key="steps", step=3)
    mlflow.log_table(pd.DataFrame({"a": [1, 2]}), "tables/t.json")
    mlflow.log_table(pd.DataFrame({"a": [3]}), "tables/t.json")
    assert mlflow.load_table("tables/t.json", run_ids=[run_id])["a"].tolist() == [1, 2, 3]
    assert mlflow.artifacts.load_image(f"runs:/{run_id}/images/black.png").size == (8, 8)

assert [item.path for item in client.list_artifacts(run_id)] == ["images", "odd", "parts", "plots", "tables"]
listed = {item.path: item.file_size for item in client.list_artifacts(run_id, "odd")}
assert listed["odd/large.bin"] == (5 << 20) + 17
assert listed["odd/empty.bin"] in (0, None)
assert client.list_artifacts(run_id, "odd/one.bin") == []

whole = Path(fetched(run_id, "odd"))
assert sorted(item.name for item in whole.iterdir()) == sorted(
    ["100%.txt", "empty.bin", "one.bin", "large.bin", "plus+and&question=.txt", "日本語.txt", "a'quote.txt"]
)
print("ok")
