"""References to model versions: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or short `NAME@4`, `NAME@champion`."""

import re

from homeostat.ground.errors import Invalid

_NAME = r"[^\s/:@](?:[^/:@\x00-\x1f]*[^\s/:@])?"  # names that MLflow's clients gave have spaces
_REF = re.compile(rf"(?:models:/)?(?P<name>{_NAME})(?:(?P<sep>[@/])(?P<what>[A-Za-z0-9_.-]+))?")


def parse_model_ref(text: str) -> tuple[str, int | str]:
    """The model's name and either a version number or an alias (`champion` when nothing is said).

    >>> parse_model_ref("models:/late-arrival@champion"), parse_model_ref("late-arrival@4")
    (('late-arrival', 'champion'), ('late-arrival', 4))
    """
    match = _REF.fullmatch(text)
    if match is None:
        raise Invalid(
            f"{text!r} is not a model reference",
            field="model",
            next_step="write models:/NAME@ALIAS, models:/NAME/VERSION or NAME@4",
        )
    what = match["what"]
    if what is None:
        return match["name"], "champion"
    return match["name"], int(what) if what.isdecimal() else what
