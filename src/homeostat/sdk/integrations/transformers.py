"""Hugging Face: `Trainer(..., callbacks=[hs.transformers_callback()])`."""

from importlib import import_module
from typing import Any

from homeostat.ground.errors import MissingExtra
from homeostat.sdk.integrations.which_run import Hooked, log_new_params, numbers_of
from homeostat.tracking.client import ActiveRun


def transformers_callback(run: ActiveRun | None = None, *, project: str = "") -> Any:
    """A callback that logs what the trainer logs, at its global step; begins a run if there is none."""
    try:
        transformers = import_module("transformers")
    except ModuleNotFoundError as error:
        raise MissingExtra("transformers is not installed", next_step="pip install transformers") from error
    hooked = Hooked(run, project=project)

    class RunCallback(transformers.TrainerCallback):  # type: ignore[misc, name-defined]  # only known at run time
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            del control
            if state.is_world_process_zero:
                log_new_params(hooked.run, args.to_sanitized_dict())
                if model is not None and hasattr(model, "config"):
                    log_new_params(hooked.run, model.config.to_dict(), prefix="model/")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            del args, control
            if state.is_world_process_zero and logs:
                hooked.run.log_metrics(numbers_of(logs), step=state.global_step)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            del args, control
            if state.is_world_process_zero:
                hooked.end()

    return RunCallback()
