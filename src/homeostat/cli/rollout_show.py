"""Printing rollouts: where one stands, what each guard has seen."""

from collections.abc import Mapping
from typing import Any

import click

from homeostat.cli.show import fields, table

Plain = dict[str, Any]
_HEADER = ("guard", "candidate", "stable", "e (worse)", "rolls back at", "e (safe)", "says", "safe in about")


def show_rollout(found: Plain) -> None:
    """A rollout with its guards."""
    click.echo(click.style(f"{headline(found)}", bold=True))
    about = {
        "plan": found["plan"],
        "step": f"{found['step']} since {found['stage_since']}" if found["state"] == "running" else None,
        "routing": _routing(found["routing"]),
        "because": found["reason"],
        "paused by": found["paused_by"],
        "approved": "; ".join(_word(word) for word in found["approved"]),
        "overruled": "; ".join(
            f"{item['test']} (e = {item['e_rollback']:.4g}) by {item['by']}: {item['reason']}"
            for item in found["overruled"]
        ),
        "watched until": found["watch_until"],
    }
    fields({name: value for name, value in about.items() if value})
    click.echo()
    show_guards(found)


def headline(found: Plain) -> str:
    """`late-arrival@4 after @3: promoted`."""
    after = f" after @{found['stable']}" if found["stable"] is not None else ""
    state = found["step"] if found["state"] == "running" else found["state"].replace("_", " ")
    return f"{found['model']}@{found['candidate']}{after}: {state}"


def show_guards(found: Plain) -> None:
    """One line for each guard, with its numbers."""
    rows = [_guard(name, numbers) for name, numbers in found["numbers"].items()]
    if rows:
        table(rows, header=_HEADER)


def _guard(name: str, numbers: Mapping[str, Any]) -> tuple[Any, ...]:
    if name == "memory":
        added = None if numbers["added"] is None else f"{numbers['added'] / 1e6:.0f} MB"
        return name, added, None, None, f"{numbers['limit'] / 1e6:.0f} MB", None, None, None
    left = numbers.get("seconds_left")
    tests = (
        numbers["e_rollback"],
        numbers["rollback_at"],
        numbers["e_promote"],
        numbers["says"],
        None if left is None else span(left / 60),
    )
    if name == "quality":
        difference = numbers["loss_difference"]
        loss = None if difference is None else f"{difference:+.2%} loss on {numbers['labels']} labels"
        return name, loss, None, *tests
    if name == "arm_quality":
        return f"quality ({numbers['loss']})", _mean(numbers["candidate"]), _mean(numbers["stable"]), *tests
    over = f" > {numbers['over_us'] / 1000:.3g} ms" if "over_us" in numbers else ""
    return f"{name}{over}", _share(numbers["candidate"]), _share(numbers["stable"]), *tests


def span(minutes: float) -> str:
    """Minutes as people say them.

    >>> span(3.21), span(400), span(5000)
    ('3.21 min', '6.67 h', '3.47 d')
    """
    if minutes < 90:
        return f"{minutes:.3g} min"
    return f"{minutes / 60:.3g} h" if minutes < 48 * 60 else f"{minutes / 1440:.3g} d"


def _share(counts: list[int]) -> str:
    bad, requests = counts
    return f"{bad} of {requests}"


def _mean(sums: list[float]) -> str:
    cost, labels = sums
    return f"{cost / labels:.4g} on {labels:.0f} labels" if labels else "no labels"


def _routing(routing: Mapping[str, Any]) -> str:
    arms = ", ".join(f"@{arm['version']} {arm['weight'] / 100:g} %" for arm in routing["arms"])
    part = "" if routing["shadow_share"] == 10_000 else f" at {routing['shadow_share'] / 100:g} %"
    shadows = ", ".join(f"@{version} looks on{part}" for version in routing["shadows"])
    return f"{arms}, {shadows}" if shadows else arms


def _word(word: Mapping[str, Any]) -> str:
    said = f": {word['comment']}" if word["comment"] else ""
    return f"{word['step']} by {word['by']} at {word['at']}{said}"
