"""Lightning: `Trainer(logger=hs.lightning_logger())`."""

from argparse import Namespace
from importlib import import_module
from types import ModuleType
from typing import Any

from homeostat.ground.errors import MissingExtra
from homeostat.sdk.integrations.which_run import Hooked, log_new_params, numbers_of
from homeostat.tracking.client import ActiveRun


def lightning_logger(run: ActiveRun | None = None, *, project: str = "") -> Any:
    """A logger for `lightning.pytorch` or `pytorch_lightning`; logs to `run`, the current one, or one of its own."""
    loggers = _loggers()
    hooked = Hooked(run, project=project)

    class RunLogger(loggers.Logger):  # type: ignore[misc, name-defined]  # only known at run time
        @property
        def name(self) -> str:
            return hooked.run.project

        @property
        def version(self) -> str:
            return hooked.run.id

        @property
        def experiment(self) -> ActiveRun:
            return hooked.run

        def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
            values = vars(params) if isinstance(params, Namespace) else dict(params or {})
            log_new_params(hooked.run, values)

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            hooked.run.log_metrics(numbers_of(metrics), step=step)

        def finalize(self, status: str) -> None:
            hooked.end(failed=status == "failed")

    return RunLogger()


def _loggers() -> ModuleType:
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return import_module(f"{package}.loggers")
        except ModuleNotFoundError:
            continue
    raise MissingExtra("Lightning is not installed", next_step="pip install lightning")
