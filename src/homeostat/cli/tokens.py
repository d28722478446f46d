"""`homeostat token`: who may come in."""

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import show_json, table


@click.group()
def token() -> None:
    """API tokens: create, ls, revoke."""


@token.command()
@click.argument("name")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    type=click.Choice(["read", "write", "deploy", "admin"]),
    help="May be given several times; admin includes all  [default: read and write]",
)
@click.option("--project", "projects", multiple=True, help="Only these projects; may be given several times.")
@click.option("--expires", metavar="WHEN", help="A time, or a duration such as 90d  [default: never]")
@common
def create(
    *,
    name: str,
    permissions: tuple[str, ...],
    projects: tuple[str, ...],
    expires: str | None,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Make a token NAME and print its secret, this once."""
    made = client(home, url).create_token(
        name,
        permissions=permissions or ("read", "write"),
        projects=projects or None,
        expires=expires,
    )
    if as_json:
        show_json(made)
        return
    click.echo(made["secret"])
    click.echo("Keep it: it is not shown again. Clients send it as HOMEOSTAT_TOKEN or MLFLOW_TRACKING_TOKEN.", err=True)


@token.command()
@common
def ls(*, home: str | None, url: str | None, as_json: bool) -> None:
    """List tokens, newest first."""
    rows = client(home, url).tokens()
    if as_json:
        show_json(rows)
        return
    if not rows:
        click.echo("No tokens yet. Make one with: homeostat token create NAME")
        return
    keys = ("id", "name", "permissions", "projects", "created", "expires", "used", "revoked")
    table([[row[key] for key in keys] for row in rows], header=keys)


@token.command()
@click.argument("token_id", metavar="ID")
@common
def revoke(*, token_id: str, home: str | None, url: str | None, as_json: bool) -> None:
    """End the token with this ID for good."""
    row = client(home, url).revoke_token(token_id)
    if as_json:
        show_json(row)
        return
    click.echo(f"{row['name']} was revoked at {row['revoked']}")
