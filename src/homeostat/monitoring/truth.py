"""Reading what was true: numbers, true and false, and the names of classes, by what a model predicts."""

import math
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid

_WORDS = {"true": 1.0, "false": 0.0}
_MEND = "send true or false (or 1 or 0)"


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What labels of a model may say. A class counts as its place among the classes."""

    task: str = ""
    """'binary', 'multiclass', 'regression', or empty when nobody knows."""
    classes: tuple[str, ...] = ()

    def read(self, value: Any) -> float:
        """The number that a label is kept as.

        >>> Truth(task="binary").read(True), Truth(task="multiclass", classes=("cat", "dog")).read("dog")
        (1.0, 1.0)

        Raises:
            Invalid: for anything that such a model cannot have been asked about.
        """
        if value is None or value == "":
            raise _wrong("missing", "send what was true, or leave the label out")
        if self.classes and (place := self._place(value)) is not None:
            return float(place)
        if self.task == "multiclass" or (self.task == "binary" and self.classes and all(map(_is_number, self.classes))):
            raise _wrong(f"{value!r:.60}, which is no class of the model", self._choices())
        if self.task == "binary":
            return self._binary(value)
        return self._number(value)

    def _place(self, value: Any) -> int | None:
        """Where a class stands; 3, 3.0 and '3' are the same name, and so are true and 'True'."""
        names = {str(value)}
        if isinstance(value, float) and value.is_integer():
            names.add(str(int(value)))
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _WORDS):
            names |= {str(value).lower(), str(value).capitalize()}
            if set(self.classes) == {"0", "1"}:  # what most libraries make of false and true
                names.add(str(int(_WORDS[str(value).lower()])))
        return next((place for place, name in enumerate(self.classes) if name in names), None)

    def _binary(self, value: Any) -> float:
        number = _WORDS.get(value.lower()) if isinstance(value, str) else value
        if number is None:
            number = _parsed(value)
        if number not in (0, 1):
            said = "which is no class of the model" if self.classes else "and the model tells true from false"
            raise _wrong(f"{value!r:.60}, {said}", self._choices())
        return float(number)

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _WORDS):
            if self.task == "regression":
                raise _wrong(f"{value!r:.60}, and the model predicts a number", "send a finite number")
            return float(value) if isinstance(value, bool) else _WORDS[value.lower()]
        number = _parsed(value) if isinstance(value, str) else value
        if not isinstance(number, int | float):
            raise _wrong(f"{value!r:.60}, which is no number", "send a finite number")
        try:
            finite = math.isfinite(number)
        except OverflowError:  # an int beyond every float
            finite = False
        if not finite:
            raise _wrong(str(value)[:60], "send a finite number")
        return float(number)

    def _choices(self) -> str:
        if not self.classes:
            return _MEND
        more = ", ..." if len(self.classes) > 20 else ""
        return "send the name of a class: " + ", ".join(self.classes[:20]) + more


def _is_number(text: str) -> bool:
    return _parsed(text) is not None


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _wrong(what: str, next_step: str) -> Invalid:
    return Invalid(f"the value is {what}", field="value", next_step=next_step)
