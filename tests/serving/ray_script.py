"""Runs the Ray Serve example in a cluster of one core on this machine: `python ray_script.py HOME PORT TEMPORARY`.

Each line on standard input is a path and a body to POST to it, as JSON; each answer is a line. It ends with its input.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_serve" / "serve_model.py"


def example() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("serve_model", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tell(**facts: Any) -> None:
    """A line for the test."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(home: str, port: int, temporary: str) -> None:
    """Serve, pass questions on, stop."""
    ray.init(
        num_cpus=1,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=temporary,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(example().build({"model": "models:/late@champion", "home": home}), name="late", route_prefix="/")
    tell(ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = httpx.post(f"http://127.0.0.1:{port}{asked['path']}", json=asked["body"], timeout=60)
        tell(status=answer.status_code, body=answer.json())
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
