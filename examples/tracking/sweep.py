"""A sweep: a parent run, and a child for each setting; `hs.log` finds the run by itself."""

import homeostat as hs


@hs.run(name="trial")
def trial(lr: float) -> float:
    """One run of the sweep."""
    loss = 1.0
    for _ in range(50):
        loss *= 1 - lr
        hs.log(loss=loss)
    run = hs.current_run()
    assert run is not None
    run.params(lr=lr)
    return loss


with hs.run("examples", name="sweep") as parent:
    losses = {lr: trial(lr) for lr in (0.01, 0.03, 0.1)}
    best = min(losses, key=losses.__getitem__)
    parent.params(best_lr=best)
    parent.log(best_loss=losses[best])

print(f"best learning rate: {best}")
