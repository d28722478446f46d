"""`homeostat demo`: the whole loop on a year of real flights."""

import shutil
import sys
import time
from pathlib import Path
from typing import Any, Self

import click
import msgspec

from homeostat.cli.demo.replay import MODEL, Progress, Replay
from homeostat.cli.demo.score import summarise
from homeostat.cli.demo.server_process import ServerProcess
from homeostat.cli.demo.tables import prepare_tables
from homeostat.cli.demo.timeline import print_timeline
from homeostat.cli.demo.year import Year
from homeostat.ground.clock import from_iso, to_iso
from homeostat.ground.errors import HomeostatError, Refused
from homeostat.ground.settings import load_settings
from homeostat.sdk.embedded import Embedded
from homeostat.sdk.remote import Remote

START = from_iso("2013-03-12T06:00:00Z")
"""Ten weeks into the year, at night: the first training set is complete."""
YEAR_END = from_iso("2014-01-01T06:00:00Z")
QUARTER_END = from_iso("2013-05-24T06:00:00Z")
MARK = "this folder belongs to homeostat demo"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder with flights, weather and planes as Parquet.")
@click.option("--fast", is_flag=True, help="A quarter of the year.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the result as JSON to this file.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".homeostat/demo"), show_default=True)
@click.option("--host", help="Address of the server  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port of the server  [default: a free one]")
@click.option("--serving-port", type=int, help="Port for predictions  [default: a free one]")
@click.option("--serve/--no-serve", default=False, help="Keep the server up when the year has ended.")
def demo(
    *,
    data: Path | None,
    fast: bool,
    json_file: Path | None,
    home: Path,
    host: str | None,
    port: int | None,
    serving_port: int | None,
    serve: bool,
) -> None:
    """Run the whole loop on the flights out of New York in 2013: will this one be more than 15 minutes late?"""
    started = time.monotonic()
    end = QUARTER_END if fast else YEAR_END
    home = _fresh_home(home)
    click.echo(f"Flights of 2013, {to_iso(START)[:10]} to {to_iso(end)[:10]}, state in {home}")
    with ServerProcess(home, clock=to_iso(START), host=host, port=port, serving_port=serving_port) as server:
        prepare_tables(home / "project", data)
        declared = home / "project" / "flights.py"
        shutil.copyfile(Path(__file__).parent / "flights.py", declared)
        settings = load_settings(home=str(home), clock=to_iso(START))
        embedded = Embedded(settings)
        embedded.apply(declared)
        inputs = embedded.model(MODEL)["declaration"]["inputs"]
        year = Year(home / "project", [column["name"] for column in inputs], start=START, end=end)
        server.wait_ready()
        control = Remote(server.url)
        click.echo(f"Server at {server.url}, predictions at {server.serving_url}. Training the first version ...")
        first = _first_version(control)
        _say_first(first)
        bad_release_at = START + (end - START) // 2
        replay = Replay(year, control, server.serving_url, inputs, bad_release_at=bad_release_at)
        with Screen(year) as screen:
            progress = replay.run(screen.update)
        result = _result(settings, embedded, control, progress, started)
        print_timeline(result)
        if json_file is not None:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        if serve:
            click.echo(f"The server stays up at {server.url}; Ctrl-C ends it.")
            _wait_for_interrupt()
        embedded.close()


def _fresh_home(home: Path) -> Path:
    """An empty folder; one that an earlier demo left is emptied, anybody else's is refused."""
    mark = home / ".demo"
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise Refused(f"{home} is not empty and no demo made it", field="home", next_step="give another --home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    mark.write_text(MARK)
    return home.resolve()


def _first_version(control: Remote) -> dict[str, Any]:
    queued = control.start_cycle(MODEL, reason="first version")
    control.move_clock(to_iso(START))
    cycle = control.cycle(queued["id"])
    if cycle["outcome"] != "promoted":
        raise HomeostatError(f"the first version was not released: {cycle['outcome']} {cycle['reason']}")
    return control.run(cycle["run"])


def _say_first(run: dict[str, Any]) -> None:
    metrics = run["metrics"]
    click.echo(f"Version 1 in service: log loss {metrics['eval_log_loss']:.4f}, ROC AUC {metrics['eval_roc_auc']:.4f}")


def _result(settings: Any, embedded: Embedded, control: Remote, progress: Progress, started: float) -> dict[str, Any]:
    model = control.model(MODEL)
    counts = model["counts"]
    parity = embedded.parity(MODEL, sample=20_000)
    cycles = model["cycles"]
    return {
        "predictions_sent": progress.predictions,
        "predictions_logged": counts["predictions"],
        "labels_sent": progress.labels,
        "labels_joined": counts["joined"],
        "parity": {"checked": parity["checked"], "mismatched": parity["mismatched"]},
        **summarise(settings, MODEL),
        "cycles": cycles,
        "rollbacks": sum(cycle["outcome"] == "rolled_back" for cycle in cycles),
        "seconds": round(time.monotonic() - started, 1),
    }


class Screen:
    """Live progress: a bar with the story beside it on a terminal, plain lines elsewhere."""

    _TOLD = ("cycle.started", "gate.judged", "rollout.started", "rollout.advanced", "cycle.ended")

    def __init__(self, year: Year) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._year = year
        self._live = sys.stdout.isatty()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]} predictions"),
            TimeRemainingColumn(),
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=year.end - year.start, rows="0")
        self._month = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        day = to_iso(progress.now)[:10]
        for event in progress.events:
            if event["kind"] in self._TOLD:
                self._print(f"{to_iso(event['at'])[:16].replace('T', ' ')}  {event['kind']:<16} {_told(event)}")
        done = min(progress.now, self._year.end) - self._year.start
        rows = f"{progress.predictions:,}"
        self._bar.update(self._task, completed=done, description=day, rows=rows)
        if not self._live and day[:7] != self._month:
            self._month = day[:7]
            click.echo(f"{day}  {rows} predictions, {progress.labels:,} labels")

    def _print(self, line: str) -> None:
        if self._live:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            click.echo(line)


def _told(event: dict[str, Any]) -> str:
    if event["kind"] == "rollout.started":
        return f"version {event['data']['candidate']} in shadow of version {event['data']['stable']}"
    if event["kind"] == "cycle.ended":
        return f"{event['data']['outcome'].replace('_', ' ')}: {event['reason']}"
    return str(event["reason"])


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()
