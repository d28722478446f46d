"""Weak segments of a model in service: found in its log, told by command, and guarded where a rule says so."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from watched_home import SHOPS, WatchedHome

from homeostat.cli.main import cli
from homeostat.ground.errors import Invalid
from homeostat.monitoring.types import no_weak_segment
from homeostat.sdk.connect import connect
from homeostat.server.accuracy_routes import read_body


@pytest.fixture
def home(tmp_path: Path) -> Iterator[WatchedHome]:
    home = WatchedHome(tmp_path, no_weak_segment())
    yield home
    home.close()


def answer_days(home: WatchedHome, days: range, *, is_broken: bool) -> None:
    """Honest answers; where it is broken, what comes of the shop in the west has nothing to do with them."""
    for day in days:
        vectors = home.vectors(200)
        p = home.rng.uniform(0.05, 0.5, 200)
        truth = np.where(is_broken & (vectors[:, 1] == SHOPS.index("west")), 0.8, p)
        ids = home.answer(day, vectors, p.tolist())
        home.label(ids, home.rng.uniform(size=200) < truth, day + 1)


def test_a_broken_shop_is_alarmed_and_the_alarm_closes_when_it_is_mended(home: WatchedHome) -> None:
    answer_days(home, range(20), is_broken=True)
    home.move(21)
    (alarm,) = home.alarms("segment")
    assert (alarm["subject"], alarm["severity"], alarm["state"]) == ("shop = west", "warn", "open")
    assert alarm["evidence"]["effect"] > 0.2 and alarm["evidence"]["p"] < 0.05
    home.move(21.5)  # the rules are looked at once a day
    answer_days(home, range(50, 70), is_broken=False)
    home.move(71)
    assert home.alarms("segment")[0]["state"] == "closed"


def test_honest_answers_alarm_nobody_and_few_of_them_close_nothing(home: WatchedHome) -> None:
    answer_days(home, range(3), is_broken=True)
    home.move(4)
    assert home.alarms("segment") == []
    answer_days(home, range(40, 60), is_broken=False)
    home.move(61)
    assert home.alarms("segment") == []


def test_the_command_and_python_name_the_segment(home: WatchedHome) -> None:
    answer_days(home, range(20), is_broken=True)
    home.move(21)
    folder = str(home.settings.home_path)
    done = CliRunner().invoke(cli, ["model", "segments", "parcel", "--home", folder])
    assert done.exit_code == 0 and "shop = west" in done.output, done.output
    plain = CliRunner().invoke(cli, ["model", "segments", "parcel", "--column", "weight", "--json", "--home", folder])
    assert msgspec.json.decode(plain.output)["segments"] == []
    client = connect(home.settings.home_path)
    assert client.segments("parcel", end="2024-01-03T00:00:00Z")["status"] == "insufficient"
    with pytest.raises(Invalid, match="no column"):
        client.segments("parcel", columns=["colour"])
    client.close()


def test_bounds_of_a_search_are_checked_by_name() -> None:
    with pytest.raises(Invalid) as caught:
        read_body({"effect": -1.0})
    assert caught.value.field == "effect"
    with pytest.raises(Invalid, match="min_rows"):
        no_weak_segment(min_rows=3)
