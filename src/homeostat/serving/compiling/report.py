"""What compiling found, for people and for the catalogue."""

from typing import Literal

import msgspec

Status = Literal["chosen", "verified", "refused", "not tried"]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What the original and a candidate were both asked."""

    source: str
    """Where the reference rows come from: 'input example', 'training rows', 'reference bins' or 'generated'."""
    reference: int
    edges: int
    """Beside the model's own thresholds, or next to reference values where it has none."""
    missing: int
    """With values taken away."""
    extremes: int
    """Infinite, very large, unseen codes."""
    refused: int
    """Of all these, rows that the original raises on; a candidate has to, too."""

    @property
    def total(self) -> int:
        return self.reference + self.edges + self.missing + self.extremes


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to answer faster, and how it did."""

    name: str
    kind: str
    status: Status
    why: str = ""
    """Why it was refused or not tried."""
    rows: int = 0
    max_abs_diff: float | None = None
    differing: int | None = None
    """Rows off by more than the tolerance, or answered where the original raises."""
    rank_agreement: float | None = None
    one_row_us: float | None = None
    many_rows_us: float | None = None
    bytes: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Which scorer serves, and why."""

    kind: str
    """'linear', 'onnx', 'treelite' or 'native'."""
    why: str
    task: str = ""
    rows: Rows | None = None
    tolerance: float = 0.0
    native_one_row_us: float | None = None
    native_many_rows_us: float | None = None
    candidates: tuple[Candidate, ...] = ()
    seconds: float = 0.0

    def line(self) -> str:
        """One line for a person."""
        chosen = next((one for one in self.candidates if one.status == "chosen"), None)
        if chosen is None or not chosen.one_row_us or not self.native_one_row_us:
            return f"native serves: {self.why}"
        ratio = self.native_one_row_us / chosen.one_row_us
        return f"{self.kind} serves ({chosen.name}): one row {chosen.one_row_us:.1f} us, {ratio:.0f}x the original"
