"""What a bare import and `--version` may load; each runs in a process of its own."""

import json
import subprocess
import sys

import homeostat

HEAVY = [
    "asyncio",
    "numpy",
    "polars",
    "sqlalchemy",
    "alembic",
    "litestar",
    "granian",
    "httpx",
    "click",
    "rich",
    "sklearn",
]
DECLARATION = """
import homeostat as hs
source = hs.Source("flights.parquet", time="ts", key="id")
history = hs.View("v", source.known_at("known"), key="k", hop="1h", aggregates=[hs.mean("x", "1d"), hs.count("7d")])
hs.model(
    "m",
    examples=source,
    label=hs.Label("y > 1", known_at="known"),
    features=[history, hs.column("c")],
    gate=[hs.at_least("roc_auc", 0.6), hs.beats_champion("log_loss"), hs.no_slice_worse("k", by=0.1)],
    rollout=hs.shadow() >> hs.canary(5, 100),
    watch=[hs.accuracy("log_loss"), hs.skew(), hs.data_drift(), hs.latency(p99="50ms"), hs.errors(below=0.01)],
    retrain=hs.when(hs.worse("log_loss", by=0.1)) | hs.older_than("60d"),
)(lambda train, run: None)
"""


def loaded_by(program: str) -> set[str]:
    """The modules a fresh interpreter has loaded after `program`."""
    ending = "\nimport sys, json; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program + ending], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def test_importing_homeostat_loads_nothing_heavy() -> None:
    loaded = loaded_by("import homeostat")
    assert loaded.isdisjoint([*HEAVY, "msgspec"])


def test_declaring_a_model_loads_neither_numpy_nor_polars_nor_a_database() -> None:
    loaded = loaded_by(DECLARATION)
    assert loaded.isdisjoint(HEAVY)


def test_the_version_is_printed_before_click_or_msgspec_is_loaded() -> None:
    loaded = loaded_by(
        "import sys; sys.argv = ['homeostat', '--version']; from homeostat.cli.entry import main; main()"
    )
    assert loaded.isdisjoint([*HEAVY, "msgspec"])


def test_the_entry_module_prints_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "homeostat.cli.entry", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"homeostat {homeostat.__version__}\n"


def test_all_lists_exactly_the_public_names_sorted() -> None:
    assert homeostat.__all__ == sorted(homeostat.__all__)
    assert len(set(homeostat.__all__)) == len(homeostat.__all__)
    for name in homeostat.__all__:
        assert getattr(homeostat, name) is not None, name
    assert set(homeostat.__all__) <= set(dir(homeostat))
