"""What the page on models served elsewhere shows is so: its recipe reads a capture, its names are those of the code."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from homeostat.loop.intake_target import FIELDS
from homeostat.monitoring.alarms import SEVERITIES
from homeostat.monitoring.notify.wants import CHANGES, Wants
from homeostat.server.intake import MOST_ROWS
from homeostat.server.intake_bodies import MonitorBody, TableBody

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitor-anything.md").read_text()


def recipe(name: str) -> Callable[..., Iterator[dict[str, Any]]]:
    code = next(one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"def {name}(" in one)
    place: dict[str, Any] = {}
    exec(compile(code, name, "exec"), place)  # noqa: S102  our own page
    return place[name]  # type: ignore[no-any-return]


def test_the_recipe_reads_what_sagemaker_captures() -> None:
    capture = {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv",
                "mode": "INPUT",
                "data": "733,8\n94,21\n",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv",
                "mode": "OUTPUT",
                "data": "0.25,0.5",
                "encoding": "CSV",
            },
        },
        "eventMetadata": {"eventId": "e1", "inferenceTime": "2024-06-01T10:00:00Z"},
        "eventVersion": "0",
    }
    first, second = recipe("rows_of_capture")([json.dumps(capture)], ["distance_mi", "hour"])
    assert first == {
        "request_id": "e1-0",
        "time": "2024-06-01T10:00:00Z",
        "score": 0.25,
        "features": {"distance_mi": 733.0, "hour": 8.0},
    }
    assert (second["request_id"], second["score"]) == ("e1-1", 0.5)


def test_the_recipes_are_python() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        compile(code, "page", "exec")


def test_the_pages_name_every_field_wish_and_limit() -> None:
    for name in (*FIELDS, *MonitorBody.__struct_fields__):
        if name not in {"description", "actor"}:
            assert f"`{name}`" in PAGE, name
    for name in TableBody.__struct_fields__:
        assert name in {"name", "url", "since", "columns", "time_unit"} or name.replace("_", "-") in PAGE, name
    assert f"{MOST_ROWS:,} rows may come" in PAGE
    page = (DOCS / "alarms.md").read_text()
    for name in (*Wants.__struct_fields__, *SEVERITIES, *CHANGES):
        assert f"`{name}`" in page, name
