"""The report of an import: what was carried over, what was there already, and what could not be carried over."""

import msgspec

from homeostat.compat.importers.records import Loss


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """One run after its import."""

    label: str
    run_id: str
    project: str
    is_new: bool
    points: int
    """Points that were added; those that were there already are not counted."""
    files: int


class Report(msgspec.Struct, kw_only=True):
    """What an import did. `lost` names everything that was left behind, with the reason."""

    source: str
    runs: int = 0
    new_runs: int = 0
    points: int = 0
    files: int = 0
    logged_models: int = 0
    new_logged_models: int = 0
    models: int = 0
    """Registered models."""
    new_models: int = 0
    new_versions: int = 0
    carried: list[Carried] = []
    lost: list[Loss] = []

    @property
    def added(self) -> int:
        """How much is there now that was not there before; 0 when everything was."""
        return self.new_runs + self.points + self.files + self.new_logged_models + self.new_models + self.new_versions
