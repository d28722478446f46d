"""Registered models answered by Ray Serve: every replica holds the data plane in its own process.

    serve run serve_model:build model=models:/late@champion home=/srv/homeostat

Ray places and restarts replicas and scales them; versions, aliases and the prediction log stay Homeostat's. Replicas on
several machines share the catalogue and the blobs by settings (HOMEOSTAT_DATABASE, HOMEOSTAT_BLOBS), and each follows
the alias: a promotion reaches all of them within a second.
"""

from typing import Any

from ray import serve


def build(arguments: dict[str, str]) -> Any:
    """The application that `serve run` starts: `model` is a reference, `home` a folder  [default: HOMEOSTAT_HOME]."""
    model, home = arguments["model"], arguments.get("home")

    def answering() -> Any:
        """What a replica answers with, made in the replica."""
        import homeostat as hs

        return hs.serving.app(model, home=home)

    deployment = serve.deployment(serve.ingress(answering)(), name="model", ray_actor_options={"num_cpus": 0.5})
    return deployment.bind()
