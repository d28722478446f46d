"""A first run: parameters, metrics by step, a file. Then: `homeostat run ls`."""

import math

import homeostat as hs

with hs.run("examples", name="first", params={"lr": 0.1, "epochs": 20}, tags={"kind": "example"}) as run:
    for epoch in range(20):
        run.log(loss=math.exp(-0.1 * epoch), accuracy=1 - math.exp(-0.2 * epoch))
    run.note("The loss falls as it should.")
    run.artifact("model.txt", b"weights")

print(f"homeostat run show {run.id}")
