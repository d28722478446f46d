"""`homeostat up` and `homeostat serve`."""

from pathlib import Path
from urllib.parse import quote

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
@click.argument("refs", metavar="[MODEL|RUN|DIR]...", nargs=-1)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Follow aliases as they move.")
@click.option("--name", default="", help="Model that runs:/RUN/PATH becomes a version of  [default: PATH-RUN]")
@click.option("--workers", type=int, help="Worker processes that share the port  [default: 1; HOMEOSTAT_WORKERS]")
@click.option("--home", metavar="DIR", help="Folder of the state  [default: .homeostat; HOMEOSTAT_HOME]")
@click.option("--host", help="Address to listen on  [default: 127.0.0.1; HOMEOSTAT_HOST]")
@click.option("--port", type=int, help="Port  [default: 7701; 0 picks a free one; HOMEOSTAT_SERVING_PORT]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document when ready.")
def serve(
    refs: tuple[str, ...],
    *,
    follow: bool,
    name: str,
    workers: int | None,
    home: str | None,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """Serve model versions over HTTP and gRPC until Ctrl-C.

    MODEL is models:/late-arrival@champion, models:/late-arrival/3 or late-arrival@3, and may come several times; RUN is
    runs:/RUN/PATH, a model that a run logged. DIR is a folder that `homeostat model export --serving` wrote; it needs
    no catalogue. Without any, all endpoints of the catalogue are served and followed: a replica of what `homeostat up`
    serves, here or on another machine that shares catalogue and blobs.
    """
    from homeostat.server.folder import is_exported
    from homeostat.server.solo import serve_folder, serve_refs  # the web stack; only servers pay for it

    settings = load_settings(home=home, host=host, serving_port=port, workers=workers)

    def say(url: str, versions: list[tuple[str, int, bool]]) -> None:
        model, version = versions[0][:2] if versions else ("", 0)
        if as_json:
            listed = [dict(zip(("model", "version", "follows"), one, strict=True)) for one in versions]
            show_json({"url": url, "model": model, "version": version, "models": listed})
            return
        for model, version, follows in versions:
            moves = ", and what comes after it" if follows else ""
            click.echo(f"{model}@{version}{moves} answers at {url}/v2/models/{quote(model)}/infer")
        if not versions:
            click.echo(f"All endpoints of the catalogue answer at {url}/v2/models/NAME/infer")
        click.echo(f"{url}/invocations takes MLflow's and SageMaker's requests. Stop with Ctrl-C.")

    if len(refs) == 1 and is_exported(Path(refs[0])):
        serve_folder(settings, Path(refs[0]), on_ready=lambda url, model, version: say(url, [(model, version, False)]))
        return
    serve_refs(
        settings,
        refs,
        follow=follow,
        name=name,
        on_ready=lambda url, targets: say(url, [(one.model, one.version, one.follows) for one in targets]),
    )


__all__ = ["serve", "up"]
