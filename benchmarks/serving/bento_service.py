"""Both models behind BentoML's documented API, run by its own Python: `bentoml serve bento_service:Bench`."""

import os
from pathlib import Path

import bentoml
import joblib
import numpy as np

FOLDER = Path(os.environ["BENCH_MODELS"])


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Bench:
    """One API a model, and one of each that gathers requests into batches."""

    def __init__(self) -> None:
        self.models = {name: joblib.load(FOLDER / f"{name}.joblib") for name in ("logreg", "hgb")}

    @bentoml.api
    def logreg(self, inputs: np.ndarray) -> np.ndarray:
        """Probability of class 1."""
        return self.models["logreg"].predict_proba(inputs)[:, 1]

    @bentoml.api
    def hgb(self, inputs: np.ndarray) -> np.ndarray:
        """Probability of class 1."""
        return self.models["hgb"].predict_proba(inputs)[:, 1]

    @bentoml.api(batchable=True, max_batch_size=1024)
    def logreg_batching(self, inputs: np.ndarray) -> np.ndarray:
        """The same, in batches."""
        return self.models["logreg"].predict_proba(inputs)[:, 1]

    @bentoml.api(batchable=True, max_batch_size=1024)
    def hgb_batching(self, inputs: np.ndarray) -> np.ndarray:
        """The same, in batches."""
        return self.models["hgb"].predict_proba(inputs)[:, 1]
