"""A break in what is sent pages somebody and keeps the model from learning it, until it is over or acknowledged."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from watched_home import WatchedHome

from homeostat.cli.main import cli
from homeostat.loop.watch import BLOCKED
from homeostat.monitoring.types import quality
from homeostat.server.alarms import AckBody


@pytest.fixture
def home(tmp_path: Path) -> Iterator[WatchedHome]:
    home = WatchedHome(tmp_path)
    yield home
    home.close()


def events(home: WatchedHome, kind: str) -> list[str]:
    return [event["reason"] for event in home.service.why("parcel")["events"] if event["kind"] == kind]


def break_it(home: WatchedHome, day: int) -> None:
    vectors = home.vectors(800)
    vectors[::3, 0] = np.nan
    home.answer(day, vectors)


def test_a_break_pages_and_blocks_retraining_and_why_says_so(home: WatchedHome) -> None:
    home.answer(0, home.vectors(800))
    break_it(home, 1)
    home.move(2)
    (alarm,) = home.alarms("quality")
    assert (alarm["subject"], alarm["severity"], alarm["state"]) == ("weight", "page", "open")
    assert home.service.why("parcel")["cycles"] == []
    (reason,) = events(home, BLOCKED)
    assert reason.startswith(
        "retraining is blocked: weight: 33.4% of the rows have no value, 0.0% of the training rows"
    )
    assert home.service.why("parcel")["blocked"] == reason
    said = CliRunner().invoke(cli, ["why", "parcel", "--home", str(home.settings.home_path)])
    assert "retraining is blocked: weight" in said.output and BLOCKED in said.output


def test_retraining_goes_on_when_the_break_is_over(home: WatchedHome) -> None:
    break_it(home, 1)
    home.move(2)
    assert home.service.why("parcel")["cycles"] == []
    home.answer(2, home.vectors(800))
    home.move(3)
    assert [one["state"] for one in home.alarms("quality")] == ["closed"]
    assert home.service.why("parcel")["blocked"] == ""
    assert len(home.service.why("parcel")["cycles"]) == 1


def test_retraining_goes_on_when_somebody_has_acknowledged_the_break(home: WatchedHome) -> None:
    break_it(home, 1)
    home.move(2)
    home.service.alarms.acknowledge(home.alarms("quality")[0]["id"], AckBody(comment="a known gap"))
    break_it(home, 2)
    home.move(3)
    assert [one["state"] for one in home.alarms("quality")] == ["acknowledged"]
    assert len(home.service.why("parcel")["cycles"]) == 1


def test_the_block_is_recorded_once_while_it_lasts(home: WatchedHome) -> None:
    for day in range(1, 4):
        break_it(home, day)
        home.move(day + 1)
    assert len(events(home, BLOCKED)) == 1 and len(home.alarms("quality")) == 1
    assert home.alarms("quality")[0]["count"] == 3


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_stuck_sensor_is_found_in_the_rows_of_the_log(home: WatchedHome, *, is_sealed: bool) -> None:
    for day in range(6):
        vectors = home.vectors(800)
        if day == 5:
            vectors[:, 0] = 9.25
        home.answer(day, vectors)
        if is_sealed:
            home.seal()
        home.move(day + 1)
    (alarm,) = home.alarms("quality")
    assert alarm["evidence"]["stuck"]["value"] == 9.25
    home.move(6.1)  # an hour later no rows are looked at, and it is not over for that
    assert home.alarms("quality")[0]["state"] == "open"


def test_refused_requests_are_a_break_that_names_the_column(home: WatchedHome) -> None:
    home.answer(1, home.vectors(300))
    home.refuse(1.9, 300, "input column 'shop' is missing; send it (string), with null where it is not known")
    home.move(2)
    (alarm,) = home.alarms("quality")
    assert alarm["subject"] == "_requests"
    assert alarm["evidence"]["schema"]["columns"] == {"shop": 200}
    assert "about shop" in home.service.why("parcel")["blocked"]


def test_few_rows_are_insufficient_and_close_nothing(home: WatchedHome) -> None:
    break_it(home, 1)
    home.move(2)
    home.move(5)  # nothing was asked since
    assert home.alarms("quality")[0]["state"] == "open"


def test_a_model_may_do_without(tmp_path: Path) -> None:
    home = WatchedHome(tmp_path, quality(checks=()))
    break_it(home, 1)
    home.move(2)
    assert home.alarms("quality") == [] and len(home.service.why("parcel")["cycles"]) == 1
    home.close()


def test_a_break_may_page_without_blocking(tmp_path: Path) -> None:
    home = WatchedHome(tmp_path, quality(blocks=False))
    break_it(home, 1)
    home.move(2)
    assert len(home.alarms("quality")) == 1 and len(home.service.why("parcel")["cycles"]) == 1
    home.close()
