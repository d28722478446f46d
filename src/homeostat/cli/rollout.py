"""`homeostat rollout`: start, watch, steer."""

import sys
import time
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.rollout_show import headline, show_guards, show_rollout
from homeostat.cli.rollout_simulate import simulate
from homeostat.cli.show import show_json, table

Plain = dict[str, Any]
_reason = click.option("--reason", default="", help="Why; kept with the rollout, the event and the ledger.")
_actor = click.option("--as", "actor", default="person", metavar="WHO", help="Who does it, where no tokens are used.")
_WATCH_SECONDS = 2.0


@click.group()
def rollout() -> None:
    """Rollouts: put a version into service by evidence, watch it, steer it."""


rollout.add_command(simulate)


@rollout.command()
@click.argument("version", metavar="MODEL@VERSION")
@click.option("--plan", default="", metavar="TEXT", help="Such as 'shadow >> canary(5, 25, 100, bake=\"1h\")'.")
@click.option("--shadow", is_flag=True, help="Begin with a shadow.")
@click.option("--canary", metavar="W,W,100", help="Growing shares of the traffic, in per cent.")
@click.option("--ab", metavar="W", help="A fixed share, decided by labels.")
@click.option("--blue-green", is_flag=True, help="Everything in one swap, once it is warm.")
@click.option("--bake", metavar="SPAN", help="How long the old version stays warm afterwards, such as 1h.")
@click.option("--approve", is_flag=True, help="Wait for a person before the promotion.")
@click.option("--force", is_flag=True, help="Although callers will have to send or read something else.")
@_reason
@_actor
@common
def start(
    version: str,
    *,
    plan: str,
    shadow: bool,
    canary: str | None,
    ab: str | None,
    blue_green: bool,
    bake: str | None,
    approve: bool,
    force: bool,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Roll out MODEL@VERSION: by --plan, by stages, else as the model declares it (or shadow, then canary)."""
    wanted = plan or _plan(shadow=shadow, canary=canary, ab=ab, blue_green=blue_green, bake=bake, approve=approve)
    found = client(home, url).rollouts.start(version, plan=wanted, reason=reason, actor=actor, force=force)
    _print(found, as_json=as_json)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@click.option("-w", "--watch", is_flag=True, help="Stay until it has ended; exit code 1 unless it was promoted.")
@common
def status(ref: str, *, watch: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """Where a rollout stands, with the numbers of each guard."""
    rollouts = client(home, url).rollouts
    found = rollouts.get(ref)
    if watch:
        found = _watched(rollouts, found, as_json=as_json)
    if not watch or as_json:
        _print(found, as_json=as_json)
    if watch and found["state"] != "promoted":
        sys.exit(1)


@rollout.command("list")
@click.argument("model", required=False)
@click.option("--state", help="running, promoted, rolled_back, held or aborted.")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@common
def list_rollouts(
    model: str | None, *, state: str | None, limit: int, home: str | None, url: str | None, as_json: bool
) -> None:
    """List rollouts, newest first."""
    rows = client(home, url).rollouts.list(model=model, state=state, limit=limit)
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No rollouts. Start one with: homeostat rollout start MODEL@VERSION")
        return
    keys = ("started_at", "model", "candidate", "stable", "step", "plan", "reason", "id")
    table([[row[key] for key in keys] for row in rows], header=keys)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@_reason
@_actor
@common
def pause(ref: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Stop moving forward; the guards go on, so it may still be rolled back."""
    _print(client(home, url).rollouts.pause(ref, reason=reason, actor=actor), as_json=as_json)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@_reason
@_actor
@common
def resume(ref: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Go on where it was paused; the pause counts for no minimum and no horizon."""
    _print(client(home, url).rollouts.resume(ref, reason=reason, actor=actor), as_json=as_json)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@click.option("--full", is_flag=True, help="Straight to the promotion, not only past this step.")
@click.option("--force", is_flag=True, help="Although guards lean against it, or it was held; recorded.")
@_reason
@_actor
@common
def promote(
    ref: str,
    *,
    full: bool,
    force: bool,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Skip ahead by hand: past this step, an approval included."""
    found = client(home, url).rollouts.promote(ref, full=full, force=force, reason=reason, actor=actor)
    _print(found, as_json=as_json)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@click.option("--comment", default="", help="Why; kept with your name.")
@_actor
@common
def approve(ref: str, *, comment: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Agree where a rollout waits for a person."""
    _print(client(home, url).rollouts.approve(ref, comment=comment, actor=actor), as_json=as_json)


@rollout.command()
@click.argument("ref", metavar="MODEL|ID")
@_reason
@_actor
@common
def abort(ref: str, *, reason: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """End a rollout: the version before has all traffic again, at once."""
    _print(client(home, url).rollouts.abort(ref, reason=reason, actor=actor), as_json=as_json)


@rollout.command()
@click.argument("model")
@click.argument("shares", nargs=-1, metavar="[VERSION=PERCENT]...")
@click.option("--force", is_flag=True, help="Although callers will have to send or read something else.")
@_reason
@_actor
@common
def split(
    model: str,
    shares: tuple[str, ...],
    *,
    force: bool,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Send shares of MODEL's traffic to versions by hand (2=10: ten per cent to version 2), the rest to the champion.

    Nothing is decided from it; without shares the champion answers everything again.
    """
    weights = dict(_share(text) for text in shares)
    found = client(home, url).rollouts.split(model, weights, reason=reason, actor=actor, force=force)
    if as_json:
        show_json(found)
        return
    click.echo(", ".join(f"{model}@{arm['version']} {arm['weight'] / 100:g} %" for arm in found["arms"]))


def _share(text: str) -> tuple[int, float]:
    version, _, share = text.partition("=")
    try:
        return int(version), float(share)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not VERSION=PERCENT", param_hint="shares") from error


def _plan(
    *, shadow: bool, canary: str | None, ab: str | None, blue_green: bool, bake: str | None, approve: bool
) -> str:
    """The plan that the flags describe; empty when they say nothing."""
    stages = ["shadow"] if shadow else []
    options = [f'bake="{bake}"'] if bake else []
    options += ["approve=True"] if approve else []
    if ab:
        stages.append(f"ab({', '.join([ab, *options])})")
    if canary:
        stages.append(f"canary({', '.join([canary, *options])})")
    if blue_green:
        stages.append(f"blue_green({', '.join(options)})")
    if options and not (ab or canary or blue_green):
        raise click.UsageError("--bake and --approve go with --canary, --ab or --blue-green")
    return " >> ".join(stages)


def _watched(rollouts: Any, found: Plain, *, as_json: bool) -> Plain:
    """Prints what changes until the rollout has ended."""
    seen: Any = None
    while True:
        now = (found["step"], found["state"], found["looks"] // 5)
        if not as_json and now != seen:
            if seen is None or now[:2] != seen[:2]:
                because = f" ({found['reason']})" if found["state"] != "running" and found["reason"] else ""
                click.echo(click.style(f"{headline(found)}{because}", bold=True))
            show_guards(found)
            click.echo()
        seen = now
        if found["state"] != "running":
            return found
        time.sleep(_WATCH_SECONDS)
        found = rollouts.get(found["id"])


def _print(found: Plain, *, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        show_rollout(found)
