"""The end of the demo: each cycle with its cause, evidence and verdict, and what the loop was worth."""

from typing import Any

import click

_COLOURS = {"promoted": "green", "rejected": "yellow", "rolled_back": "red", "held": "yellow", "failed": "red"}


def print_timeline(result: dict[str, Any]) -> None:
    """The story of the year, a few lines a cycle."""
    click.echo()
    click.secho("What happened", bold=True)
    for cycle in result["cycles"]:
        outcome = cycle["outcome"] or cycle["state"]
        version = f"version {cycle['version']}" if cycle["version"] else "no version"
        head = f"{cycle['as_of'][:10]}  {version:<11}"
        click.echo(f"{head}  {click.style(outcome.replace('_', ' '), fg=_COLOURS.get(outcome))}")
        click.echo(f"            cause: {cycle['cause']}")
        if cycle["reason"]:
            click.echo(f"            verdict: {cycle['reason']}")
    _print_worth(result)


def _print_worth(result: dict[str, Any]) -> None:
    loop, static = result["loop"], result["static"]
    click.echo()
    click.secho("What it was worth", bold=True)
    click.echo(f"{'':22}{'log loss':>10}{'ROC AUC':>10}")
    for name, metrics in (("the loop", loop), ("never retrained", static)):
        click.echo(f"{name:22}{metrics['log_loss']:>10.4f}{metrics['roc_auc']:>10.4f}")
    parity = result["parity"]
    click.echo()
    click.echo(
        f"{result['predictions_logged']:,} of {result['predictions_sent']:,} predictions logged, "
        f"{result['labels_joined']:,} of {result['labels_sent']:,} labels joined, "
        f"{parity['mismatched']} of {parity['checked']:,} recomputed feature vectors differ."
    )
    click.echo(f"{result['rollbacks']} bad release rolled back by itself. {result['seconds']:.0f} s.")
