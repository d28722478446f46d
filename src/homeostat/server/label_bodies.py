"""What comes with labels: the JSON body of `POST /labels`, and the fields of a row in whatever form it is sent."""

import re
from typing import Any

import msgspec

from homeostat.ground.errors import Invalid


class LabelRow(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was true, for one request or for one entity."""

    request_id: str | None = None
    keys: dict[str, Any] | None = None
    """Instead of a request id: request columns and their values."""
    time: str | int | None = None
    """With keys: the event time that is meant; without it, every request with these keys is."""
    value: float | int | bool | str | None = None
    at: str | int | None = None
    """When it became known (ISO text or microseconds UTC); now, when nothing is said."""


class LabelsBody(LabelRow, kw_only=True, forbid_unknown_fields=True):
    """Labels of one model, or, by the fields of a row, a single one."""

    model: str
    labels: list[LabelRow] | msgspec.UnsetType = msgspec.UNSET
    within: str | int | None = None
    """How long before its `time` a prediction may have been made that a label by keys is for."""

    @property
    def rows(self) -> list[LabelRow]:
        """All of its labels."""
        if self.labels is not msgspec.UNSET:
            return self.labels
        return [LabelRow(request_id=self.request_id, keys=self.keys, time=self.time, value=self.value, at=self.at)]


_decoder = msgspec.json.Decoder(LabelsBody)


def read_labels(body: bytes) -> LabelsBody:
    """The JSON body of a request.

    Raises:
        Invalid: naming the field, and the row by its place.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`") or (re.search(r"field `(\w+)`", text) or ["", ""])[1]
        raise Invalid(f"{field}: {text}" if path else text, field=field, next_step="see docs/labels.md") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            f"the body is no JSON: {error}",
            field="body",
            next_step="send JSON, or name the form of a file in Content-Type",
        ) from error
