"""What a training function gets: the training set and the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from homeostat.ground.errors import Invalid
from homeostat.ground.records import FeatureColumn


class TrainingSet:
    """The rows to learn from, as the model will see them in service.

    X: float64, shape (rows, columns); NaN is missing, categories are codes.
    y: float64, shape (rows,); 0.0 and 1.0 for a binary label.
    columns: their names; categorical: the indices of those that are categories.
    frame: the same rows before coding, a Polars frame with feature columns of their own types.
    """

    def __init__(
        self, X: npt.NDArray[np.float64], y: npt.NDArray[np.float64], columns: Sequence[FeatureColumn], frame: Any
    ) -> None:
        self.X = X
        self.y = y
        self.columns = [column.name for column in columns]
        self.categorical = [index for index, column in enumerate(columns) if column.kind == "category"]
        self.frame = frame

    def __len__(self) -> int:
        return len(self.y)


class TrainingRun:
    """The run a training function writes to. What it logged is on the run even when the function fails later."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.logged_params: dict[str, str] = {}
        self.logged_metrics: list[tuple[str, float, int]] = []
        self.artifacts: dict[str, bytes] = {}
        self._step = 0

    def log(self, *, step: int | None = None, **values: float) -> None:
        """Log metrics; without a step they are numbered in order.

        Raises:
            Invalid: naming the value that is no number.
        """
        number = self._step if step is None else step
        for key, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise Invalid(
                    f"metric {key!r} is {type(value).__name__}, not a number",
                    field=key,
                    next_step="log text with run.log_params(...)",
                )
            self.logged_metrics.append((key, float(value), number))
        self._step = number + 1

    def log_params(self, **values: Any) -> None:
        """Log parameters as text."""
        self.logged_params |= {key: str(value) for key, value in values.items()}

    def artifact(self, name: str, content: bytes | Path) -> None:
        """Keep a file with the run."""
        self.artifacts[name] = content.read_bytes() if isinstance(content, Path) else content
