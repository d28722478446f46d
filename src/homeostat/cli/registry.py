"""`homeostat model`: aliases and who they stood on, stages, promotions, tags, deletion."""

from collections.abc import Sequence
from typing import Any

import click

from homeostat.cli.options import client, common
from homeostat.cli.show import fields, show_json, table
from homeostat.ground.errors import Invalid
from homeostat.registry.requirements import Requirement, parse_requirement
from homeostat.registry.stages import Stage

_reason = click.option("--reason", default="", help="Why; kept in the ledger.")
_force = click.option(
    "--force", is_flag=True, help="Put it into service although callers will have to send or read something else."
)
_actor = click.option("--as", "actor", default="person", metavar="WHO", help="Who does it, where no tokens are used.")
Plain = dict[str, Any]


@click.command()
@click.argument("name")
@common
def versions(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """List the versions of NAME, newest first."""
    rows = client(home, url).registry.versions(name)
    if as_json:
        show_json(rows)
        return
    keys = ("version", "created", "aliases", "stage", "flavor", "metrics", "run_id", "tags")
    table([[row[key] for key in keys] for row in rows], header=keys)


@click.command()
@click.argument("name")
@click.option("--alias", help="Only this one.")
@common
def history(name: str, *, alias: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """Who moved the aliases of NAME, when, from where to where and why; oldest first."""
    rows = client(home, url).registry.history(name, alias=alias)
    if as_json:
        show_json(rows)
        return
    keys = ("at", "alias", "from_version", "to_version", "kind", "actor", "reason")
    table([[row[key] for key in keys] for row in rows], header=("at", "alias", "from", "to", "kind", "actor", "reason"))


@click.command()
@click.argument("name")
@click.argument("alias", default="champion")
@click.argument("time", required=False)
@common
def at(name: str, alias: str, time: str | None, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Where ALIAS of NAME stood at TIME (such as 2026-03-03T12:00; now, when none is given), since when and why."""
    found = client(home, url).registry.at(name, alias, time)
    if as_json:
        show_json(found)
        return
    if found["ref"] is None:
        click.echo(f"{alias} of {name} stood on no version at {found['time']}")
        return
    move = found["move"]
    why = f": {move['reason']}" if move["reason"] else ""
    click.echo(f"{found['ref']} was {alias} at {found['time']}")
    click.echo(f"since {move['at']}, {move['kind']} by {move['actor']}{why}")


@click.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", required=False)
@click.option("--rm", "remove", is_flag=True, help="Take the alias away.")
@_force
@_reason
@_actor
@common
def alias(
    name: str,
    alias: str,
    version: str | None,
    *,
    remove: bool,
    force: bool,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Set ALIAS of NAME to VERSION (a number, or another alias), or take it away."""
    if remove == (version is not None):
        raise click.UsageError("give a VERSION, or --rm")
    registry = client(home, url).registry
    if version is None:
        row = registry.remove_alias(name, alias, reason=reason, actor=actor)
    else:
        target = int(version) if version.isdecimal() else version
        row = registry.set_alias(name, alias, target, reason=reason, actor=actor, force=force)
    _said(row, as_json, _moved(row))


@click.command()
@click.argument("name")
@click.option("--to", type=int, metavar="VERSION", help="A version that held it before  [default: the last one]")
@click.option("--alias", default="champion", show_default=True, help="Which alias goes back.")
@click.option("--reason", default="asked for by a person", show_default=True, help="Why; kept in the ledger.")
@_actor
@common
def rollback(
    name: str,
    *,
    to: int | None,
    alias: str,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Move an alias of NAME back to the version before; the champion takes all its traffic along."""
    row = client(home, url).registry.rollback(name, alias=alias, to=to, reason=reason, actor=actor)
    _said(row, as_json, _moved(row))


@click.command()
@click.argument("name")
@click.option("--declare", metavar="STAGES", help="Their names in order, such as staging,production; '' for the usual.")
@click.option("--approve", multiple=True, metavar="STAGE", help="Somebody else must agree to enter it.")
@click.option("--require", multiple=True, metavar="STAGE:WHAT", help="Such as production:roc_auc>=0.8, live:signed.")
@_actor
@common
def stages(
    name: str,
    *,
    declare: str | None,
    approve: tuple[str, ...],
    require: tuple[str, ...],
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Show the stages of NAME, or declare them."""
    registry = client(home, url).registry
    if declare is None:
        if approve or require:
            raise click.UsageError("--approve and --require go with --declare")
        rows = registry.stages(name)
    else:
        rows = registry.declare_stages(_stages(declare, approve, require), model=name, actor=actor)
    if as_json:
        show_json(rows)
        return
    table(
        [(row["name"], [item["text"] for item in row["requires"]], "yes" if row["approval"] else "") for row in rows],
        header=("stage", "requires", "approval"),
    )


@click.command()
@click.argument("ref", metavar="NAME@VERSION")
@click.argument("stage")
@_force
@_reason
@_actor
@common
def promote(
    ref: str,
    stage: str,
    *,
    force: bool,
    reason: str,
    actor: str,
    home: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Put a version into STAGE, or ask for it where somebody else must agree; the champion is in service."""
    done = client(home, url).registry.promote(ref, stage, reason=reason, actor=actor, force=force)
    request = done["request"]
    if request is None:
        # It had been put there by hand before, so no alias moved.
        _said(done, as_json, _moved(done["move"]) if done["move"] else f"{ref} is in {stage}")
    else:
        text = f"{ref} waits for somebody else to agree: homeostat model approve {request['id']}"
        _said(done, as_json, text)


@click.command()
@click.argument("name")
@click.option("--pending", is_flag=True, help="Only those that wait.")
@common
def requests(name: str, *, pending: bool, home: str | None, url: str | None, as_json: bool) -> None:
    """List the requests to promote versions of NAME, newest first."""
    rows = client(home, url).registry.requests(name, pending=pending)
    if as_json:
        show_json(rows)
        return
    keys = ("id", "version", "stage", "state", "asked", "asked_by", "reason", "decided_by", "comment")
    table([[row[key] for key in keys] for row in rows], header=keys)


@click.command()
@click.argument("request")
@click.option("--comment", default="", help="Kept with the request.")
@_actor
@common
def approve(request: str, *, comment: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Agree to somebody else's REQUEST; the version enters the stage."""
    done = client(home, url).registry.approve(request, comment=comment, actor=actor)
    asked = done["request"]
    _said(done, as_json, f"{asked['model']}@{asked['version']} is in {asked['stage']}")


@click.command()
@click.argument("request")
@click.option("--comment", default="", help="Kept with the request.")
@_actor
@common
def reject(request: str, *, comment: str, actor: str, home: str | None, url: str | None, as_json: bool) -> None:
    """Turn REQUEST down."""
    asked = client(home, url).registry.reject(request, comment=comment, actor=actor)
    _said(asked, as_json, f"{asked['model']}@{asked['version']} does not enter {asked['stage']}")


@click.command()
@click.argument("ref", metavar="NAME@VERSION")
@click.option("--as", "actor", metavar="WHO", help="For whom, where no tokens are used.")
@common
def actions(ref: str, *, actor: str | None, home: str | None, url: str | None, as_json: bool) -> None:
    """What could be done with a version now; what is refused says why."""
    rows = client(home, url).registry.allowed_actions(ref, actor=actor)
    if as_json:
        show_json(rows)
        return
    lines = [(row["action"], "yes" if row["allowed"] else "no", row["why"], row["next_step"]) for row in rows]
    table(lines, header=("action", "allowed", "because", "next"))


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.argument("pairs", nargs=-1, metavar="KEY=VALUE...")
@click.option("--rm", "removed", multiple=True, metavar="KEY", help="Take this tag away.")
@common
def tag(
    ref: str, pairs: tuple[str, ...], *, removed: tuple[str, ...], home: str | None, url: str | None, as_json: bool
) -> None:
    """Set tags of a version, or of a whole model."""
    if not pairs and not removed:
        raise click.UsageError("give KEY=VALUE, or --rm KEY")
    tags: dict[str, str | None] = dict.fromkeys(removed)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair!r} is not KEY=VALUE")
        tags[key] = value
    found = client(home, url).registry.set_tags(ref, tags)
    if as_json:
        show_json(found)
    else:
        fields(found["tags"])


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@click.argument("text")
@common
def describe(ref: str, text: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Describe a version, or a whole model, anew."""
    _said(client(home, url).registry.describe(ref, text), as_json, f"{ref} is described")


@click.command()
@click.argument("name")
@click.argument("new_name")
@common
def rename(name: str, new_name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Give model NAME another name; versions, aliases and ledger stay its own."""
    _said(client(home, url).registry.rename(name, new_name), as_json, f"{name} is {new_name} now")


@click.command()
@click.argument("ref", metavar="NAME[@VERSION]")
@common
def rm(ref: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Delete version NAME@VERSION, or put the whole model NAME into the trash."""
    registry = client(home, url).registry
    if "@" in ref:
        done = registry.delete_version(ref)
        _said(done, as_json, f"{done['ref']} is deleted; its number is never given again")
    else:
        _said(registry.delete_model(ref), as_json, f"{ref} is in the trash; undo: homeostat model restore {ref}")


@click.command()
@click.argument("name")
@common
def restore(name: str, *, home: str | None, url: str | None, as_json: bool) -> None:
    """Take model NAME out of the trash; its aliases stay away until they are set or rolled back."""
    _said(client(home, url).registry.restore_model(name), as_json, f"{name} is back")


COMMANDS = (
    versions,
    history,
    at,
    alias,
    rollback,
    stages,
    promote,
    requests,
    approve,
    reject,
    actions,
    tag,
    describe,
    rename,
    rm,
    restore,
)


def _stages(names: str, approve: Sequence[str], require: Sequence[str]) -> list[Stage]:
    declared = [name.strip() for name in names.split(",") if name.strip()]
    required: dict[str, list[Requirement]] = {}
    for text in require:
        stage, colon, what = text.partition(":")
        if not colon:
            raise Invalid(f"{text!r} is not STAGE:WHAT", field="require", next_step="such as production:roc_auc>=0.8")
        required.setdefault(stage.strip(), []).append(parse_requirement(what))
    for stage in [*approve, *required]:
        if stage not in declared:
            raise Invalid(
                f"{stage!r} is none of the stages {', '.join(declared)}", field="declare", next_step="declare it, too"
            )
    return [Stage(name=name, requires=tuple(required.get(name, ())), approval=name in approve) for name in declared]


def _moved(row: Plain) -> str:
    return f"{row['model']}: {row['alias']} {_spoken(row['from_version'])} -> {_spoken(row['to_version'])}"


def _spoken(version: int | None) -> str:
    return "none" if version is None else str(version)


def _said(data: Plain, as_json: bool, text: str) -> None:  # noqa: FBT001  the flag every command has
    if as_json:
        show_json(data)
    else:
        click.echo(text)
