"""PyTorch: `hs.watch_torch(model, optimizer)` logs the norms of gradients and weights, and the learning rate."""

from typing import Any

from homeostat.sdk.integrations.which_run import run_to_log_to
from homeostat.tracking.client import ActiveRun


def watch_torch(model: Any, optimizer: Any, *, run: ActiveRun | None = None, every: int = 100) -> Any:
    """Log to the run after every so many steps of the optimizer; returns a handle whose `remove()` ends it.

    Norms wait for the device, so not every step is looked at.
    """
    steps = 0

    def look(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps % every:
            return
        weights = [parameter.detach() for parameter in model.parameters()]
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        values = {"weights/norm": _norm(weights), "gradients/norm": _norm(gradients)}
        values |= {f"learning_rate/{index}": group["lr"] for index, group in enumerate(optimizer.param_groups)}
        run_to_log_to(run, hook="watch_torch").log_metrics(values, step=steps)

    return optimizer.register_step_post_hook(look)


def _norm(tensors: list[Any]) -> float:
    return float(sum(float(tensor.float().pow(2).sum()) for tensor in tensors) ** 0.5)
