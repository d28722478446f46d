"""The data plane's own paths: Open Inference v2, MLflow's scoring server, SageMaker's two."""

from typing import NamedTuple

WORKER_KEY = "x-homeostat-worker-key"
"""Header with which the control plane shows who it is, when it alone may call the worker."""


class Target(NamedTuple):
    """What a path asks for."""

    kind: str
    method: str
    endpoint: str = ""
    version: str = ""


_FIXED = {
    "/v2": Target("server", "GET"),
    "/v2/health/live": Target("live", "GET"),
    "/v2/health/ready": Target("ready", "GET"),
    "/v2/repository/index": Target("index", "POST"),
    "/invocations": Target("invocations", "POST"),
    "/ping": Target("ping", "GET"),
    "/health": Target("ping", "GET"),
    "/version": Target("version", "GET"),
    "/metrics": Target("metrics", "GET"),
}
_LAST = {"": ("model", "GET"), "ready": ("model_ready", "GET"), "infer": ("infer", "POST")}


def find_target(path: str) -> Target | None:
    """What the path asks for, or None.

    >>> find_target("/v2/models/late-arrival/versions/3/infer")
    Target(kind='infer', method='POST', endpoint='late-arrival', version='3')
    >>> find_target("/v2/models/late-arrival/versions") is None
    True
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    match path.split("/"):
        case ["", "v2", "models", name, *rest] if name:
            return _model_target(name, rest)
        case ["", "endpoints", name, "invocations"] if name:
            return Target("invocations", "POST", name)
    return None


def _model_target(name: str, rest: list[str]) -> Target | None:
    version = ""
    if rest[:1] == ["versions"]:
        if len(rest) < 2 or not rest[1]:
            return None
        version, rest = rest[1], rest[2:]
    last = rest[0] if rest else ""
    if len(rest) > 1 or (rest and not last) or last not in _LAST:
        return None
    kind, method = _LAST[last]
    return Target(kind, method, name, version)
