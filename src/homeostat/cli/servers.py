"""`homeostat up` and `homeostat serve`."""

from pathlib import Path

import click

from homeostat.cli.show import show_json
from homeostat.ground.settings import load_settings


@click.command()
@click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--host", help="Address to listen on  [default: 127.0.0.1; HOMEOSTAT_HOST]")
@click.option("--port", type=int, help="Control plane  [default: 7700; 0 picks a free one; HOMEOSTAT_PORT]")
@click.option("--serving-port", type=int, help="Predictions  [default: 7701; HOMEOSTAT_SERVING_PORT]")
@click.option("--workers", type=int, help="Serving workers that share their port  [default: 1; HOMEOSTAT_WORKERS]")
@click.option("--parent-watch", is_flag=True, hidden=True, help="End when standard input ends.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document when ready.")
def up(
    *,
    home: str | None,
    host: str | None,
    port: int | None,
    serving_port: int | None,
    workers: int | None,
    parent_watch: bool,
    as_json: bool,
) -> None:
    """Run control plane, loop and serving in one process tree until Ctrl-C."""
    from homeostat.server.up import Home, run_home  # the web stack costs half a second; only servers pay it

    settings = load_settings(home=home, host=host, port=port, serving_port=serving_port, workers=workers)

    def say(url: str, running: Home) -> None:
        serving = running.supervisor.url
        if as_json:
            show_json({"url": url, "serving": serving, "home": str(settings.home_path)})
        else:
            click.echo(f"Homeostat is up at {url}  (predictions: {serving}; state: {settings.home_path})")
            click.echo("Stop with Ctrl-C.")

    run_home(settings, on_ready=say, parent_watch=parent_watch)


@click.command()
@click.argument("ref", metavar="MODEL|DIR")
@click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--host", help="Address to listen on  [default: 127.0.0.1; HOMEOSTAT_HOST]")
@click.option("--port", type=int, help="Port  [default: 7701; 0 picks a free one; HOMEOSTAT_SERVING_PORT]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document when ready.")
def serve(ref: str, *, home: str | None, host: str | None, port: int | None, as_json: bool) -> None:
    """Serve one version of a MODEL, such as models:/late-arrival@champion, over HTTP until Ctrl-C.

    DIR is a folder that `homeostat model export --serving` wrote; it needs no catalogue.
    """
    from homeostat.server.folder import is_exported
    from homeostat.server.solo import serve_folder, serve_version  # the web stack; only servers pay for it

    settings = load_settings(home=home, host=host, serving_port=port)

    def say(url: str, model: str, version: int) -> None:
        if as_json:
            show_json({"url": url, "model": model, "version": version})
        else:
            click.echo(f"{model}@{version} answers at {url}/v2/models/{model}/infer and {url}/invocations")
            click.echo("Stop with Ctrl-C.")

    if is_exported(Path(ref)):
        serve_folder(settings, Path(ref), on_ready=say)
    else:
        serve_version(settings, ref, on_ready=say)


__all__ = ["serve", "up"]
