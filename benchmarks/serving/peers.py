"""The peers' servers, each with both models, pinned to the server's core, with its documented settings for one worker.

Access logs are off where there is a switch; metrics are as they come.
"""

import json
import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.environment import mlflow_python, peer_python
from benchmarks.processes import Server, free_port
from benchmarks.serving.load import SERVER_CORE
from benchmarks.serving.models import NAMES, pickled

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
HERE = Path(__file__).parent
SAVE = """
import sys, joblib, mlflow.sklearn
model = joblib.load(sys.argv[1])
mlflow.sklearn.save_model(model, sys.argv[2], pyfunc_predict_fn="predict_proba", serialization_format="cloudpickle")
"""


def start_bentoml(folder: Path) -> Server:
    """`bentoml serve` of one service with one worker."""
    port = free_port()
    for name in NAMES:
        pickled(name, folder)
    command = [str(_python("bentoml").with_name("bentoml")), "serve", "bento_service:Bench", "--working-dir", str(HERE)]
    return Server(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        port=port,
        folder=folder,
        ready="/readyz",
        core=SERVER_CORE,
        environment=ONE_THREAD
        | {"BENCH_MODELS": str(folder), "BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"},
    )


def start_mlserver(folder: Path) -> Server:
    """`mlserver start` without worker processes of its own, which would only add a hop on one core."""
    port = free_port()
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1"}
    (folder / "settings.json").write_text(json.dumps(settings | {"parallel_workers": 0, "debug": False}))
    for name in NAMES:
        place = folder / name
        place.mkdir(exist_ok=True)
        pickled(name, place)
        model = {
            "name": name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": f"./{name}.joblib", "extra": {"predict_fn": "predict_proba"}},
        }
        (place / "model-settings.json").write_text(json.dumps(model))
    command = [str(_python("mlserver").with_name("mlserver")), "start", str(folder)]
    return Server(command, port=port, folder=folder, ready="/v2/health/ready", core=SERVER_CORE, environment=ONE_THREAD)


def grpc_port(mlserver: Server) -> int:
    """Where a running MLServer answers gRPC: it has a port of its own for it."""
    return int(json.loads((mlserver.folder / "settings.json").read_text())["grpc_port"])


def start_mlflow(folder: Path, name: str) -> Server:
    """`mlflow models serve` of one model, which is all that one such process can do."""
    port, python = free_port(), mlflow_python()
    saved = folder / name
    if not saved.exists():
        command = [str(python), "-W", "ignore", "-c", SAVE, str(pickled(name, folder)), str(saved)]
        subprocess.run(command, check=True, env=os.environ | {"MLFLOW_LOGGING_LEVEL": "ERROR"})
    command = [str(python.with_name("mlflow")), "models", "serve", "--model-uri", str(saved), "--env-manager", "local"]
    return Server(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        port=port,
        folder=folder,
        ready="/ping",
        core=SERVER_CORE,
        # It starts `uvicorn` by name.
        environment=ONE_THREAD | {"PATH": f"{python.parent}:{os.environ['PATH']}"},
    )


STARTS: dict[str, Callable[[Path], Server]] = {"BentoML": start_bentoml, "MLServer": start_mlserver}


def _python(name: str) -> Path:
    """The peer reads our pickles, so it gets the scikit-learn that wrote them."""
    return peer_python(name, *(f"{library}=={version(library)}" for library in ("scikit-learn", "numpy")))
