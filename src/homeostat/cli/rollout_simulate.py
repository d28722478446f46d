"""`homeostat rollout simulate`: what a plan would do with your traffic, before it starts."""

import sys
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.rollout_show import span
from homeostat.cli.show import show_json, table
from homeostat.ground.errors import Invalid
from homeostat.ground.refs import parse_model_ref
from homeostat.sdk.rollouts_embedded import simulate_here

Plain = dict[str, Any]
_WORLD = (
    ("--requests", "requests_per_minute", float, "Requests a minute  [default: 100]."),
    ("--error-rate", "error_rate", float, "Share of requests that the stable version fails  [default: 0.005]."),
    ("--slow-share", "slow_share", float, "Share that is slow  [default: 0.01: its own 99th percentile]."),
    ("--invalid-rate", "invalid_rate", float, "Share that is answered with nonsense  [default: 0]."),
    ("--labels", "labels_per_hour", float, "Labels an hour  [default: 0: quality is not judged]."),
    ("--wrong-rate", "wrong_rate", float, "Share of wrong answers  [default: 0.1]."),
    ("--shared-wrong", "shared_wrong", float, "Share of them that both versions get wrong  [default: 0.8]."),
    ("--cluster", "cluster", int, "Errors come so many at a time: clients that try again  [default: 1]."),
    ("--outage-every", "outage_every", float, "Minutes between outages of both versions  [default: 0: none]."),
    ("--outage-minutes", "outage_minutes", float, "How long one lasts  [default: 3]."),
    ("--outage-rate", "outage_rate", float, "Share of requests that fail in one  [default: 0.1]."),
)


def _world_options(function: Any) -> Any:
    for flag, name, kind, text in reversed(_WORLD):
        function = click.option(flag, name, type=kind, help=text)(function)
    return function


@click.command()
@click.option("--plan", default="", metavar="TEXT", help="As for `rollout start`  [default: the model's, else ours].")
@click.option("--weights", metavar="W,W,100", help="Instead of a plan: a canary with these weights.")
@click.option("--from", "model", default="", metavar="MODEL", help="Take the rates from its recorded traffic.")
@_world_options
@click.option("--repetitions", default=500, show_default=True, help="Simulated rollouts of each candidate.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same numbers.")
@click.option("--limit", type=float, metavar="MINUTES", help="End every step after so long, undecided.")
@common
def simulate(
    *,
    plan: str,
    weights: str | None,
    model: str,
    repetitions: int,
    seed: int,
    limit: float | None,
    home: str | None,
    url: str | None,
    as_json: bool,
    **world: float | None,
) -> None:
    """How often would a plan roll back a good version, and how soon would it find a bad one?

    Every kind of candidate walks the plan many times on simulated traffic, judged by the same tests as in service.
    """
    if weights and plan:
        raise Invalid("--weights is a plan of its own", field="weights", next_step="give one of --plan and --weights")
    name = parse_model_ref(model)[0] if model else ""
    given = {key: value for key, value in world.items() if value is not None}
    wanted = f"canary({weights})" if weights else plan
    progress = None if as_json else _progress()
    options: Plain = {"repetitions": repetitions, "seed": seed, "limit": limit} | given
    if name or url:
        found = client(home, url).rollouts.simulate(wanted, model=name, progress=progress, **options)
    else:
        found = simulate_here(wanted, progress=progress, **options)
    if as_json:
        show_json(found)
        return
    _show(found)


def _progress() -> Any:
    """A line that is written over on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def tell(what: str, share: float) -> None:
        done = "" if share >= 1 else f"{what}: {share:4.0%}"
        sys.stderr.write(f"\r{done:<40}{'' if done else chr(13)}")
        sys.stderr.flush()

    return tell


def _show(found: Plain) -> None:
    world = found["world"]
    at = ", ".join(f"{test} {e:g}" for test, e in found["rollback_at"].items())
    click.echo(f"{found['plan']}; e-values that roll back: {at}")
    click.echo(
        f"{world['requests_per_minute']:g} requests/min, {world['error_rate']:.2%} errors, "
        f"{world['labels_per_hour']:g} labels/h, {found['repetitions']} rollouts of each candidate\n"
    )
    rows = [_row(result) for result in found["results"]]
    header = (
        "candidate",
        "rolled back",
        "half by",
        "9 in 10 by",
        "requests met",
        "promoted",
        "after",
        "undecided",
        "by",
    )
    table(rows, header=header)
    good = next(result for result in found["results"] if not result["is_worse"])
    if "shadow" in found["plan"] and not world["labels_per_hour"]:
        click.echo("\nWithout labels (--labels) no shadow ends: no data is never success.")
    click.echo(f"\nFalse rollbacks: {good['rolled_back']:.1%} (a candidate that is as good).")


def _row(result: Plain) -> tuple[Any, ...]:
    by = ", ".join(f"{test} {share:.0%}" for test, share in result["by_test"].items() if share >= 0.005)
    met = result["exposed_p50"]
    return (
        result["candidate"]["name"],
        f"{result['rolled_back']:.1%}",
        _span(result["rollback_p50"]),
        _span(result["rollback_p90"]),
        None if met is None else f"{met:.0f}",
        f"{result['promoted']:.1%}",
        _span(result["promotion_p50"]),
        f"{result['held']:.1%}",
        by,
    )


def _span(minutes: float | None) -> str | None:
    return None if minutes is None else span(minutes)
