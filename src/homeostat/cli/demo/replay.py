"""Driving a year of flights through the running server, in event time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from homeostat.cli.demo.http_client import JsonClient
from homeostat.cli.demo.year import Slice, Year
from homeostat.ground.clock import DAY, HOUR, to_iso
from homeostat.sdk.remote import Remote

MODEL = "late-arrival"
LOOK_EVERY = 12 * HOUR
"""Event time between two looks of the loop; a live server looks every ten seconds."""

_DATATYPES = {"number": "FP64", "string": "BYTES", "time": "INT64", "boolean": "BOOL"}


class Progress(msgspec.Struct):
    """What the terminal shows while the year runs."""

    now: int = 0
    predictions: int = 0
    labels: int = 0
    champion: int | None = None
    events: list[dict[str, Any]] = []


class Replay:
    """Sends each slice: what became known, what is asked, what turned out true; then lets the loop look."""

    def __init__(
        self, year: Year, control: Remote, serving_url: str, inputs: list[dict[str, Any]], *, bad_release_at: int
    ) -> None:
        self._year = year
        self._control = control
        self._api = JsonClient(control.url)
        self._serving = JsonClient(serving_url)
        self._datatypes = {column["name"]: _DATATYPES[column["dtype"]] for column in inputs}
        self._bad_release_at = bad_release_at
        self._seen_event = 0
        self.progress = Progress()

    def run(self, report: Callable[[Progress], None]) -> Progress:
        """The whole year; `report` is called after every look."""
        slices = self._year.slices()
        upcoming = next(slices, None)
        if upcoming is not None:
            self._know(upcoming)
        with ThreadPoolExecutor(1) as asker:
            while (slice_ := upcoming) is not None:
                # The worker answers while the server takes in labels and news: two processes, as in real life. News of
                # the next hours cannot leak: every row is answered as of its own time.
                asked = asker.submit(self._ask, slice_)
                self._tell(slice_)
                if (upcoming := next(slices, None)) is not None:
                    self._know(upcoming)
                asked.result()
                if slice_.end % LOOK_EVERY == 0 or slice_.end == self._year.end:
                    self._look(slice_.end)
                    report(self.progress)
        # The last flights land after midnight; nothing is asked any more.
        self._look(self._year.end + DAY)
        report(self.progress)
        return self.progress

    def _know(self, slice_: Slice) -> None:
        if slice_.weather:
            self._api.post("/api/sources/weather/rows", {"rows": slice_.weather})
        if slice_.landed:
            self._api.post("/api/sources/flights/rows", {"rows": slice_.landed})

    def _ask(self, slice_: Slice) -> None:
        columns = slice_.departing
        if not columns:
            return
        rows = len(columns["request_id"])
        datatypes = {"request_id": "BYTES", "request_time": "INT64"} | self._datatypes
        tensors = [
            {"name": name, "shape": [rows], "datatype": datatypes[name], "data": values}
            for name, values in columns.items()
        ]
        answer = self._serving.post(f"/v2/models/{MODEL}/infer", {"inputs": tensors})
        scores = next(output["data"] for output in answer["outputs"] if output["name"] == "score")
        self.progress.predictions += len(scores)

    def _tell(self, slice_: Slice) -> None:
        if slice_.labels:
            self._api.post("/api/labels", {"model": MODEL, "labels": slice_.labels})
            self.progress.labels += len(slice_.labels)

    def _look(self, now: int) -> None:
        self._control.move_clock(to_iso(now))
        self.progress.now = now
        events = self._control.events(after=self._seen_event)
        if events:
            self._seen_event = events[-1]["seq"]
        self.progress.events = [event for event in events if event["subject"] == MODEL]
        if now >= self._bad_release_at:
            self._release_badly(now)

    def _release_badly(self, now: int) -> None:
        """A colleague in a hurry: a model trained on shuffled labels, forced past the gate."""
        cycle = self._api.post(
            f"/api/models/{MODEL}/cycles",
            {
                "reason": "a bad release: trained on shuffled labels, forced past the gate",
                "actor": "demo",
                "params": {"shuffle_labels": True},
                "force": True,
            },
        )
        if cycle["is_new"]:  # otherwise a cycle is under way; the colleague tries again at the next look
            self._bad_release_at = 1 << 62
            self._control.move_clock(to_iso(now))
