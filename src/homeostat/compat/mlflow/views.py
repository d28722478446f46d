"""MLflow's view types: which side of the trash is meant."""

from homeostat.ground.errors import Invalid
from homeostat.tracking.types import View

_WORDS: dict[str, View] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}


def view_of(word: str | int, field: str) -> View:
    """Our view for MLflow's word, or number from 1.

    Raises:
        Invalid: listing the words.
    """
    text = str(word)
    if text in ("1", "2", "3"):
        return list(_WORDS.values())[int(text) - 1]
    if text in _WORDS:
        return _WORDS[text]
    raise Invalid(
        f"Invalid value {text!r:.80} for parameter '{field}' supplied",
        field=field,
        next_step=f"use {', '.join(_WORDS)}",
    )
