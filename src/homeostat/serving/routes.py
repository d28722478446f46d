"""The data plane's own paths: Open Inference v2, MLflow's scoring server, SageMaker's container, our own."""

from typing import NamedTuple

WORKER_KEY = "x-homeostat-worker-key"
"""Header with which the control plane shows who it is, when it alone may call the worker."""
TARGET_MODEL, TARGET_VARIANT = "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-variant"
"""Headers with which SageMaker names an endpoint, and a version or an arm of it."""


class Target(NamedTuple):
    """What a path asks for, and the methods it answers."""

    kind: str
    methods: tuple[str, ...]
    endpoint: str = ""
    version: str = ""


_GET, _POST = ("GET",), ("POST",)
_FIXED = {
    "/v2": Target("server", _GET),
    "/v2/health/live": Target("live", _GET),
    "/v2/health/ready": Target("ready", _GET),
    "/v2/repository/index": Target("index", _POST),
    "/invocations": Target("invocations", _POST),
    "/ping": Target("ping", _GET),
    "/health": Target("ping", _GET),
    "/version": Target("version", _GET),
    "/metrics": Target("metrics", _GET),
    "/models": Target("models", ("GET", "POST")),
}
_LAST = {"": ("model", _GET), "ready": ("model_ready", _GET), "infer": ("infer", _POST)}


def find_target(path: str) -> Target | None:
    """What the path asks for, or None.

    >>> find_target("/v2/models/late-arrival/versions/3/infer")
    Target(kind='infer', methods=('POST',), endpoint='late-arrival', version='3')
    >>> find_target("/v2/models/late-arrival/versions") is None
    True
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    match path.split("/"):
        case ["", "v2", "models", name, *rest] if name:
            return _model_target(name, rest)
        case ["", "v2", "repository", "models", name, "load" | "unload" as verb] if name:
            return Target(verb, _POST, name)
        case ["", "predict", name] if name:
            return Target("predict", _POST, name)
        case ["", "endpoints", name, "invocations"] if name:
            return Target("invocations", _POST, name)
        case ["", "models", name] if name:
            return Target("model_of_many", ("GET", "DELETE"), name)
        case ["", "models", name, "invoke"] if name:
            return Target("invocations", _POST, name)
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
    kind, methods = _LAST[last]
    return Target(kind, methods, name, version)
