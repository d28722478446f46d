"""What is said of one live window: the report, and each column in it."""

import msgspec


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a report."""

    name: str
    status: str
    """'ok', 'drift' or 'insufficient'."""
    p: float | None
    """Family-wise: the chance that ANY column would look this different without drift. None when insufficient."""
    effect: float | None
    """How far from what it is compared with, 0 to 1: Kolmogorov-Smirnov D over the bins of numbers, total variation of
    categories, or the difference of the shares of missing rows where that is larger."""
    js: float | None
    """Jensen-Shannon distance from the training rows (natural logarithm), 0 to 0.83. None when a side is empty."""

    @property
    def drifted(self) -> bool:
        """Significant, and at least the floor."""
        return self.status == "drift"


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one window."""

    status: str
    """'ok', 'drift' or 'insufficient'."""
    rows: int
    columns: tuple[ColumnDrift, ...]
    """Empty when there are too few rows to say anything."""
    alpha: float
    floor: float
    basis: str = "reference"
    """What the window was compared with: 'reference' (the training rows), 'both' (these and a few past windows),
    'past' (past windows), or with a season the past windows of the same 'hour_of_week', 'day_of_week', 'day_kind'
    (working day or weekend, at the same hour when hours are compared), 'week_of_year', 'around_week_of_year', or those
    of 'whole_cycles'."""
    windows: int = 0
    """How many past windows."""
    reason: str = ""
    """Why it is insufficient."""

    def drifted(self) -> list[str]:
        """Names of the columns that have."""
        return [column.name for column in self.columns if column.drifted]
