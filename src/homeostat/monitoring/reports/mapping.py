"""Older ways to say what the columns are: `ColumnMapping`, and `Dataset.from_pandas(frame, data_definition=...)`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.monitoring.reports.data import (
    BinaryClassification,
    DataDefinition,
    Frame,
    MulticlassClassification,
    Regression,
    as_frame,
)


class ColumnMapping(msgspec.Struct, kw_only=True):
    """Which columns are what; names that a frame does not have are no error."""

    target: str | None = "target"
    prediction: str | Sequence[str] | None = "prediction"
    datetime: str | None = "datetime"
    id: str | None = None
    numerical_features: Sequence[str] | None = None
    categorical_features: Sequence[str] | None = None
    datetime_features: Sequence[str] | None = None
    text_features: Sequence[str] | None = None
    target_names: Any = None
    task: str | None = None
    pos_label: Any = 1
    embeddings: dict[str, Sequence[str]] | None = None
    user_id: str | None = "user_id"
    item_id: str | None = "item_id"


def definition_of(mapping: Any) -> DataDefinition:
    """What a column mapping (ours, or anything with its attributes) says, as a `DataDefinition`."""
    if isinstance(mapping, DataDefinition):
        return mapping

    def get(name: str) -> Any:
        return getattr(mapping, name, None)

    def names(name: str) -> tuple[str, ...] | None:
        return None if get(name) is None else tuple(get(name))

    target, prediction, task = get("target"), get("prediction"), get("task")
    classification: tuple[Any, ...] | None = None
    regression: tuple[Regression, ...] | None = None
    if task == "regression" and isinstance(prediction, str):
        regression = (Regression(target=target, prediction=prediction),)
    elif task == "classification":
        classification = (_classification(target, prediction, get("pos_label")),)
    embeddings = get("embeddings")
    return DataDefinition(
        numerical_columns=names("numerical_features"),
        categorical_columns=names("categorical_features"),
        text_columns=names("text_features"),
        datetime_columns=names("datetime_features"),
        id_column=get("id"),
        timestamp=get("datetime"),
        target=target,
        prediction=prediction if isinstance(prediction, str) else None,
        classification=classification,
        regression=regression,
        embeddings={name: tuple(columns) for name, columns in embeddings.items()} if embeddings else None,
    )


def _classification(target: str, prediction: Any, pos_label: Any) -> Any:
    if isinstance(prediction, str) or prediction is None:
        return BinaryClassification(target=target, prediction_labels=prediction, pos_label=pos_label)
    if len(prediction) == 1:
        return BinaryClassification(target=target, prediction_probas=prediction[0], pos_label=pos_label)
    return MulticlassClassification(target=target, prediction_probas=tuple(prediction))


class Dataset:
    """A frame with what its columns are, and columns that descriptors add."""

    def __init__(self, frame: Frame) -> None:
        self.homeostat_frame = frame

    @classmethod
    def from_pandas(
        cls, data: Any, data_definition: DataDefinition | None = None, descriptors: Sequence[Any] = ()
    ) -> "Dataset":
        """A dataset of any frame (pandas, Polars, Arrow); `descriptors` add columns computed from texts."""
        frame = as_frame(data, name="data", definition=data_definition)
        for descriptor in descriptors:
            if not hasattr(descriptor, "extend"):
                raise Invalid(
                    f"{descriptor!r:.80} is no descriptor",
                    field="descriptors",
                    next_step="give instances, such as TextLength('column')",
                )
            frame = descriptor.extend(frame)
        return cls(frame)

    from_any = from_pandas

    def as_dataframe(self) -> Any:
        """The columns, as pandas where it is installed, else Polars."""
        frame = self.homeostat_frame.frame
        try:
            import pandas as pd
        except ImportError:
            return frame
        return pd.DataFrame({series.name: series.to_numpy() for series in frame.get_columns()})
