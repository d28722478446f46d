"""The verbs of labels, over a home: take them in, whatever form they have, and show what was ever said of a request."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.access import LOCAL, Identity
from homeostat.ground.clock import Clock, DrivenClock, SystemClock, parse_duration, to_iso
from homeostat.ground.errors import Invalid, NotFound, TooLarge
from homeostat.ground.records import Label
from homeostat.ground.settings import Settings
from homeostat.loop.labelling import Labelled, labelled_model
from homeostat.monitoring.keyed import FOREVER, KeyLabel, believed_key_values, record_key_labels
from homeostat.monitoring.keys import open_key_set
from homeostat.monitoring.labels import (
    LabelRecord,
    LabelResult,
    believed_values,
    label_history,
    record_labels,
)
from homeostat.server.label_bodies import LabelsBody
from homeostat.server.label_files import FileRow, Rows, open_rows
from homeostat.server.label_reader import LabelReader, ReadLabel
from homeostat.store.database import Database

AT_ONCE = 5_000
"""Labels of one statement, and of one transaction when a file may be taken in by parts."""
MOST_ROWS = 500_000
"""Labels of one transaction: nobody else writes while it lasts, some ten seconds."""
MOST_REFUSALS = 100
"""Refused rows that are told one by one."""

Plain = dict[str, Any]


class Labels:
    """Every method is one verb and returns plain data; whoever asks reaches the projects of their identity only."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._window = parse_duration(settings.label_window)

    def take(self, body: LabelsBody, *, partial: bool = False, who: Identity = LOCAL) -> Plain:
        """Take in labels; all of them or none, unless `partial`: then what is wrong is left out and told."""
        who.require_project(body.model)
        single = body.labels is msgspec.UNSET
        places = ["label"] if single else [f"labels[{place}]" for place in range(len(body.rows))]
        rows = [FileRow(place, row) for place, row in zip(places, body.rows, strict=True)]
        result = self._take(body.model, lambda: iter(rows), within=body.within, partial=partial, who=who)
        if all(row.keys is None for row in body.rows):
            # The loop takes a prediction in some seconds after it: of a request just answered this would say nothing.
            result.pop("waiting", None)
        return result

    def take_file(
        self,
        model: str,
        path: Path,
        kind: str,
        *,
        within: str | int | None = None,
        partial: bool = False,
        who: Identity = LOCAL,
    ) -> Plain:
        """`take`, from a file: it is read twice, so that nothing of it is kept when a row is wrong."""
        who.require_project(model)
        with open_rows(path, kind) as rows:
            return self._take(model, rows, within=within, partial=partial, who=who)

    def history(self, model: str, request_id: str) -> list[Plain]:
        """Every label of a request, the believed one last.

        Raises:
            NotFound: when nobody has said anything of it.
        """
        with self._database.read() as conn:
            found = label_history(conn, model, request_id)
        if not found:
            raise NotFound(
                f"{model!r} has no label of request {request_id!r:.140}",
                field="request_id",
                next_step="see what was asked: homeostat prediction show ID",
            )
        return [label_view(one) for one in found]

    def _take(
        self,
        model: str,
        rows: Rows,
        *,
        within: str | int | None,
        partial: bool,
        who: Identity,
    ) -> Plain:
        with self._database.read() as conn:
            labelled = labelled_model(conn, model)
        reader = self._reader(labelled, within)
        if partial:
            return self._keep_what_is_right(model, reader, rows(), who.name)
        count = 0
        for count, (place, row) in enumerate(rows(), 1):
            _read(reader, place, row)
            if count > MOST_ROWS:
                raise TooLarge(
                    f"there are more than {MOST_ROWS} labels",
                    field="body",
                    next_step="send them in parts, or with ?partial=true, which keeps them part by part",
                )
        total = LabelResult(accepted=0, duplicates=0)
        if count:
            with self._database.write() as conn:
                for some in _portions(_read(reader, place, row) for place, row in rows()):
                    total += keep(conn, model, some, actor=who.name)
        return msgspec.to_builtins(total)  # type: ignore[no-any-return]

    def _keep_what_is_right(self, model: str, reader: LabelReader, rows: Iterator[FileRow], actor: str) -> Plain:
        total, refused = LabelResult(accepted=0, duplicates=0), 0
        errors: list[Plain] = []
        while some := list(islice(rows, AT_ONCE)):
            kept: list[ReadLabel] = []
            for place, row in some:
                try:
                    kept.append(_read(reader, place, row))
                except Invalid as error:
                    refused += 1
                    if len(errors) < MOST_REFUSALS:
                        errors.append({"row": place, "field": error.field, "error": str(error)})
            if kept:
                with self._database.write() as conn:
                    total += keep(conn, model, kept, actor=actor)
        return msgspec.to_builtins(total) | {"refused": refused, "errors": errors}  # type: ignore[no-any-return]

    def _reader(self, labelled: Labelled, within: str | int | None) -> LabelReader:
        window = self._window if within is None else parse_duration(within, field="within")
        is_driven = isinstance(self._clock, DrivenClock)
        return LabelReader(labelled, now=self._clock.now(), window=window, is_driven=is_driven)


def keep(conn: Connection, model: str, sent: Sequence[ReadLabel], *, actor: str) -> LabelResult:
    """Keep labels. One whose sender did not say when it became known is new only when it says something new."""
    by_id, by_key = _split(conn, model, sent)
    recorded = SystemClock().now()
    result = LabelResult(accepted=0, duplicates=len(sent) - len(by_id) - len(by_key))
    if by_id:
        result += record_labels(conn, model, by_id, recorded=recorded, actor=actor)
    if by_key:
        result += record_key_labels(conn, model, by_key, recorded=recorded, actor=actor)
    return result


def _split(conn: Connection, model: str, sent: Sequence[ReadLabel]) -> tuple[list[Label], list[KeyLabel]]:
    for names in {one.key_set.names: one.key_set for one in sent if one.key_set is not None}.values():
        open_key_set(conn, model, names.columns)
    by_id = [(one.label, one.is_dated) for one in sent if isinstance(one.label, Label)]
    by_key = [(one.label, one.is_dated) for one in sent if isinstance(one.label, KeyLabel)]
    believed = believed_values(conn, model, [label.request_id for label, is_dated in by_id if not is_dated])
    believed_keys = believed_key_values(conn, model, [label for label, is_dated in by_key if not is_dated])
    return (
        _news(by_id, lambda label: label.request_id, believed),
        _news(by_key, lambda label: (label.key, label.time), believed_keys),
    )


def _news(sent: Iterable[tuple[Any, bool]], subject: Callable[[Any], Any], known: Mapping[Any, float]) -> list[Any]:
    """Dated labels, and undated ones that say otherwise than what is believed, or than their neighbours."""
    said: dict[Any, set[float]] = {}
    for label, _is_dated in sent:
        said.setdefault(subject(label), set()).add(label.value)
    return [
        label
        for label, is_dated in sent
        if is_dated or len(said[subject(label)]) > 1 or known.get(subject(label)) != label.value
    ]


def _read(reader: LabelReader, place: str, row: Any) -> ReadLabel:
    try:
        if isinstance(row, Invalid):
            raise row
        return reader.read(row)
    except Invalid as error:
        where = f"{place}.{error.field}" if place.startswith("labels[") else error.field
        raise Invalid(f"{place}: {error.message}", field=where, next_step=error.next_step) from error


def _portions(labels: Iterator[ReadLabel]) -> Iterator[list[ReadLabel]]:
    while some := list(islice(labels, AT_ONCE)):
        yield some


def label_view(label: LabelRecord) -> Plain:
    """A kept label as people read it."""
    view: Plain = {"value": label.value, "at": to_iso(label.at), "recorded": to_iso(label.recorded)}
    view |= {"actor": label.actor, "believed": label.believed, "waiting": label.waiting}
    if label.keys is not None:
        view |= {"keys": label.keys, "time": None if label.time in (None, FOREVER) else to_iso(label.time)}
    return view
