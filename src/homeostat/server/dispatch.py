"""Which application answers: MLflow's for MLflow's paths, and whatever is behind it for the rest."""

from typing import Any

from homeostat.compat.mlflow.app import MlflowApp, is_ours


class Dispatch:
    """An ASGI application in front of two."""

    def __init__(self, mlflow: MlflowApp, rest: Any) -> None:
        self._mlflow = mlflow
        self._rest = rest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        chosen = self._mlflow if scope["type"] == "http" and is_ours(scope["path"]) else self._rest
        await chosen(scope, receive, send)
