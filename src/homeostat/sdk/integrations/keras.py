"""Keras: `model.fit(..., callbacks=[hs.keras_callback()])`."""

from importlib import import_module
from typing import Any

from homeostat.ground.errors import MissingExtra
from homeostat.sdk.integrations.which_run import Hooked, log_new_params, numbers_of
from homeostat.tracking.client import ActiveRun


def keras_callback(run: ActiveRun | None = None, *, project: str = "", every_batches: int = 0) -> Any:
    """A callback that logs each epoch, and every so many batches as `batch/...`; begins a run if there is none."""
    try:
        keras = import_module("keras")
    except ModuleNotFoundError as error:
        raise MissingExtra("Keras is not installed", next_step="pip install keras") from error
    hooked = Hooked(run, project=project)

    class RunCallback(keras.callbacks.Callback):  # type: ignore[misc, name-defined]  # only known at run time
        batches = 0

        def on_train_begin(self, logs: Any = None) -> None:
            del logs
            optimizer = self.model.optimizer.get_config() if getattr(self.model, "optimizer", None) else {}
            log_new_params(hooked.run, {"weights": self.model.count_params(), **(self.params or {})})
            log_new_params(hooked.run, optimizer, prefix="optimizer/")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            hooked.run.log_metrics(numbers_of(logs or {}), step=epoch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch
            self.batches += 1
            if every_batches and self.batches % every_batches == 0:
                values = {f"batch/{key}": value for key, value in numbers_of(logs or {}).items()}
                hooked.run.log_metrics(values, step=self.batches)

        def on_train_end(self, logs: Any = None) -> None:
            del logs
            hooked.end()

    return RunCallback()
