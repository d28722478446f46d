"""Labels and predictions from the client, embedded and over HTTP, and from the command line."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from labelled_home import LabelledHome
from running_server import serve

import homeostat as hs
from homeostat.cli.main import cli
from homeostat.ground.clock import HOUR, to_datetime
from homeostat.ground.errors import Invalid, NotFound
from homeostat.sdk.client import Client


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LabelledHome]:
    with closing(LabelledHome(tmp_path / "home")) as home:
        yield home


@pytest.fixture(params=["embedded", "remote"])
def client(request: pytest.FixtureRequest, home: LabelledHome) -> Iterator[Client]:
    if request.param == "embedded":
        with closing(hs.connect(home.settings.home)) as client:
            yield client
    else:
        with serve(home.settings) as server, closing(hs.connect(url=server.url)) as client:
            yield client


def test_single_labels_batches_and_datetimes_are_sent_by_both_clients(home: LabelledHome, client: Client) -> None:
    at = home.answer(["a", "b"])
    home.look()
    assert client.label("parcel", request_id="a", value="late")["accepted"] == 1
    rows = [{"request_id": "b", "value": np.float64(1), "at": datetime(2024, 5, 1, tzinfo=UTC)}]
    assert client.label("parcel", rows) == {"accepted": 1, "duplicates": 0}
    assert client.label("parcel", keys={"shop": np.int64(7)}, time=to_datetime(at), value=True)["accepted"] == 1
    home.look()
    assert [one["value"] for one in client.labels("parcel", "b")] == [1.0, 1.0]
    shown = client.prediction("a")
    assert shown["answers"][0]["score"] == 0.25 and len(shown["labels"]) == 2
    told = client.label("parcel", [{"request_id": "c", "value": "never"}], partial=True)
    assert told["refused"] == 1


def test_both_clients_say_what_is_wrong(client: Client) -> None:
    with pytest.raises(Invalid, match="either rows of labels or the fields of one"):
        client.label("parcel")
    with pytest.raises(Invalid, match="late, on time"):
        client.label("parcel", request_id="a", value="early")
    with pytest.raises(NotFound, match="nobody"):
        client.label("nobody", request_id="a", value=1)
    with pytest.raises(NotFound, match="never"):
        client.prediction("never")
    with pytest.raises(NotFound, match="nobody"):
        client.predictions("nobody")


@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl", ".csv", ".parquet", ".arrow", ".arrows"])
def test_files_are_sent_with_progress(tmp_path: Path, client: Client, suffix: str) -> None:
    table = pl.DataFrame({"request_id": [f"r{place}" for place in range(100)], "value": ["late"] * 100})
    path = tmp_path / f"labels{suffix}"
    write: dict[str, Callable[[Path], Any]] = {
        ".ndjson": table.write_ndjson,
        ".jsonl": table.write_ndjson,
        ".csv": table.write_csv,
        ".parquet": table.write_parquet,
        ".arrow": table.write_ipc,
        ".arrows": table.write_ipc_stream,
    }
    write[suffix](path)
    steps: list[tuple[int, int]] = []
    result = client.label_file("parcel", path, progress=lambda sent, total: steps.append((sent, total)))
    assert result == {"accepted": 100, "duplicates": 0, "waiting": 100}
    assert steps[-1] == (path.stat().st_size, path.stat().st_size)


def test_a_file_that_is_not_there_or_does_not_say_what_it_is_is_refused(tmp_path: Path, client: Client) -> None:
    (tmp_path / "labels.xlsx").touch()
    with pytest.raises(Invalid, match=r"\.csv"):
        client.label_file("parcel", tmp_path / "labels.xlsx")
    with pytest.raises(NotFound, match="there is no file"):
        client.label_file("parcel", tmp_path / "labels.csv")


def test_a_stretch_of_the_log_is_a_frame(home: LabelledHome, client: Client) -> None:
    start = home.now - 3 * HOUR
    for hour in range(3):
        home.answer([f"r{hour}"], at=start + hour * HOUR)
        if hour == 1:
            home.seal()
    frame = client.predictions("parcel", to_datetime(start), start + 2 * HOUR)
    assert frame["request_id"].to_list() == ["r0", "r1"]
    assert frame["at"].to_list()[0] == to_datetime(start)
    assert len(client.predictions("parcel")) == 3
    assert len(client.predictions("parcel", end="2001-01-01")) == 0


# The command line ----------------------------------------------------------------------------------------------------


def homeostat(home: LabelledHome, *arguments: str, expect: int = 0) -> str:
    result = CliRunner().invoke(cli, [*arguments, "--home", home.settings.home])
    assert result.exit_code == expect, result.output
    return str(result.output)


def test_labels_are_sent_and_seen_from_the_command_line(home: LabelledHome, tmp_path: Path) -> None:
    home.answer(["a"])
    home.look()
    assert "accepted    1" in homeostat(home, "label", "parcel", "--request-id", "a", "--value", "late")
    keyed = homeostat(home, "label", "parcel", "--key", "shop=7", "--key", "item=tea", "--value", "true", "--json")
    assert json.loads(keyed)["accepted"] == 1
    path = tmp_path / "labels.csv"
    path.write_text("request_id,value\nb,late\nc,early\n")
    told = homeostat(home, "label", "parcel", str(path), "--partial", expect=1)
    assert "line 3" in told and "refused     1" in told
    home.look()
    shown = homeostat(home, "prediction", "show", "a")
    assert "score       0.25" in shown and "believed" in shown
    assert len(json.loads(homeostat(home, "prediction", "show", "a", "--json"))["labels"]) == 2
    target = tmp_path / "log.parquet"
    assert homeostat(home, "prediction", "export", "parcel", str(target)).startswith("1 rows")
    assert pl.read_parquet(target)["request_id"].to_list() == ["a"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["parcel"],
        ["parcel", "--value", "1"],
        ["parcel", "--value", "1", "--request-id", "a", "--key", "shop=7"],
        ["parcel", "file.csv", "--value", "1"],
        ["parcel", "--value", "1", "--key", "shop"],
    ],
)
def test_a_label_command_that_says_too_little_or_too_much_is_told_so(home: LabelledHome, arguments: list[str]) -> None:
    assert "Error" in homeostat(home, "label", *arguments, expect=2)
