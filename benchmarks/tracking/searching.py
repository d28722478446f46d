"""Search: a page of 100 out of 10,000 runs over MLflow's REST API, the same request to both servers."""

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.lines import Goal, Line, cost_line, measure_pairs, times_better
from benchmarks.tracking.population import load_ours, load_peer, make_population
from benchmarks.tracking.servers import peer_database
from benchmarks.tracking.stage import Stage
from benchmarks.tracking.wire import MLFLOW, Wire

RUNS = 10_000
PAGE = 100
PATH = f"{MLFLOW}/runs/search"
NEWEST = {"order_by": ["attributes.start_time DESC"]}
FILTERED = {"filter": "params.x = 'a' and metrics.m0 > 0.5", "order_by": ["metrics.m1 DESC"]}


def run(stage: Stage) -> Iterator[Line]:
    """A plain page, then one with a filter on a param and a metric, ordered by another metric."""
    people = make_population(RUNS)
    projects = (
        load_ours(stage.our_wire, people, "searched"),
        load_peer(stage.peer_wire, peer_database(stage.peer.folder), people, "searched"),
    )
    yield _search(stage, projects, "filter, metric order", FILTERED, people.found()[:PAGE], times_better(50))
    yield _search(stage, projects, "plain page", NEWEST, people.ids[: -PAGE - 1 : -1])


def request(asked: dict[str, Any], experiment: str) -> bytes:
    """The body of a search for a page of runs."""
    return json.dumps({"experiment_ids": [experiment], "max_results": PAGE} | asked).encode()


def must_find(wire: Wire, body: bytes, expected: list[str]) -> None:
    """A fast wrong answer is no result."""
    if [run["info"]["run_id"] for run in json.loads(wire.send("POST", PATH, body))["runs"]] != expected:
        raise RuntimeError(f"{wire.url} did not find the runs that it holds")


def _search(
    stage: Stage, projects: tuple[str, str], name: str, asked: dict[str, Any], expected: list[str], *goals: Goal
) -> Line:
    ours, peer = (request(asked, project) for project in projects)
    for wire, body in zip(stage.wires, (ours, peer), strict=True):
        must_find(wire, body, expected)
    pairs = measure_pairs(
        lambda: stage.our_wire.timed("POST", PATH, ours) * 1000,
        lambda: stage.peer_wire.timed("POST", PATH, peer) * 1000,
        count=7,
    )
    return cost_line(f"search 10k runs, {name}, page of 100", pairs, "ms", *goals)
