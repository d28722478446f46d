"""Tables, images, figures, sound and histograms: each is a file that other tools open."""

import matplotlib.figure
import numpy as np

import homeostat as hs

rng = np.random.default_rng(0)

with hs.run("examples", name="media") as run:
    run.text("prompt", "Describe the picture in one sentence.")
    run.table("predictions", [{"id": 1, "truth": "cat", "guess": "cat"}, {"id": 2, "truth": "dog", "guess": "cat"}])
    for step in range(3):
        run.image("samples", rng.random((32, 32, 3)), step=step)
        run.histogram("weights", rng.normal(0, 1 + step, 10_000), step=step)
    figure = matplotlib.figure.Figure()
    figure.subplots().plot(rng.random(20).cumsum())
    run.figure("curve", figure)
    run.audio("tone", np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000), rate=16_000)

print(f"homeostat run show {run.id}")
