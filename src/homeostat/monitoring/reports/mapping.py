"""Older ways to say what the columns are: `ColumnMapping`, and `Dataset.from_pandas(frame, data_definition=...)`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeostat.monitoring.reports.data import DataDefinition, Frame, as_frame


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

    prediction, embeddings = get("prediction"), get("embeddings")
    return DataDefinition(
        numerical_columns=names("numerical_features"),
        categorical_columns=names("categorical_features"),
        text_columns=names("text_features"),
        datetime_columns=names("datetime_features"),
        id_column=get("id"),
        timestamp=get("datetime"),
        target=get("target"),
        prediction=prediction if isinstance(prediction, str) else None,
        task=get("task"),
        embeddings={name: tuple(columns) for name, columns in embeddings.items()} if embeddings else None,
    )


class Dataset:
    """A frame with what its columns are."""

    def __init__(self, frame: Frame) -> None:
        self.homeostat_frame = frame

    @classmethod
    def from_pandas(cls, data: Any, data_definition: DataDefinition | None = None) -> "Dataset":
        """A dataset of any frame: pandas, Polars, Arrow."""
        return cls(as_frame(data, name="data", definition=data_definition))

    def as_dataframe(self) -> Any:
        """The columns, as pandas where it is installed, else Polars."""
        frame = self.homeostat_frame.frame
        try:
            import pandas as pd
        except ImportError:
            return frame
        return pd.DataFrame({series.name: series.to_numpy() for series in frame.get_columns()})
