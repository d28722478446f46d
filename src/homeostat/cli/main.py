"""The command line: one group, its commands found by name and imported when they are called."""

import sys
from importlib import import_module

import click
import msgspec

from homeostat import __version__
from homeostat.ground.errors import HomeostatError, exit_code

COMMANDS = {
    "apply": ("homeostat.cli.declare", "apply", "Declare the models of a file; prints what changes, like a plan."),
    "train": ("homeostat.cli.declare", "train", "Run a model's cycle once, by hand."),
    "serve": ("homeostat.cli.servers", "serve", "Serve model versions over HTTP and gRPC."),
    "up": ("homeostat.cli.servers", "up", "Control plane, loop and serving in one process tree."),
    "demo": ("homeostat.cli.demo.command", "demo", "The whole loop on a year of real flights."),
    "why": ("homeostat.cli.models", "why", "Why did a model (not) retrain, promote, roll back?"),
    "model": (
        "homeostat.cli.models",
        "model",
        "Models: ls, show, versions, history, alias, promote, rollback and more.",
    ),
    "rollout": (
        "homeostat.cli.rollout",
        "rollout",
        "Rollouts: start, status, list, pause, resume, promote, approve, abort, split, simulate.",
    ),
    "keys": ("homeostat.cli.packages", "keys", "Keys: which one signs packages, and which are trusted."),
    "run": ("homeostat.cli.runs", "run", "Runs: ls, show, history, compare, download, rm, restore."),
    "project": ("homeostat.cli.projects", "project", "Projects: ls, rename, rm, restore, export, import."),
    "gc": ("homeostat.cli.projects", "gc", "Empty the trash, and remove bytes that nothing names."),
    "import": ("homeostat.cli.imports", "import_", "Carry over what MLflow, W&B or TensorBoard tracked."),
    "sync": ("homeostat.cli.sync", "sync", "Ship what runs have logged and no server has taken in yet."),
    "label": ("homeostat.cli.labels", "label", "Say what was true: one label, or a file of them."),
    "prediction": ("homeostat.cli.predictions", "prediction", "The prediction log: show, export."),
    "report": ("homeostat.cli.report", "report", "Has the data moved? One file of rows against another."),
    "monitor": (
        "homeostat.cli.intake",
        "monitor",
        "Models served elsewhere: ls, show, rm, send, add-table, tables, read-table, rm-table.",
    ),
    "alarms": ("homeostat.cli.alarms", "alarms", "Alarms: list, show, ack, mute, unmute, close."),
    "notify": ("homeostat.cli.notify", "notify", "Who is told of alarms: add, ls, rm, test."),
    "token": ("homeostat.cli.tokens", "token", "API tokens: create, ls, revoke."),
    "webhook": ("homeostat.cli.webhooks", "webhook", "Webhooks: create, ls, rm, test."),
    "parity": ("homeostat.cli.models", "parity", "Recompute served feature vectors and report what differs."),
}


class LazyGroup(click.Group):
    """Knows its commands by name; imports one only when it runs."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _help = COMMANDS[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, _attribute, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="homeostat %(version)s")
def cli() -> None:
    """Homeostat keeps machine-learning models accurate while the world changes."""


def run() -> None:
    """Run the command line; our own errors become one line on stderr and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except HomeostatError as error:
        if "--json" in sys.argv:
            sys.stdout.write(msgspec.json.encode(error.as_dict()).decode() + "\n")
        sys.stderr.write(f"error: {error}\n")
        sys.exit(exit_code(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("stopped\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (head, less): nothing to say
        sys.exit(0)
