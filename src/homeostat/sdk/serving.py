"""`hs.serving.app(...)`: predictions from within an application of your own."""

from homeostat.ground.settings import load_settings
from homeostat.server.embedded import ServingApp


def app(*refs: str, home: str | None = None) -> ServingApp:
    """An ASGI application that answers for models, to run by any ASGI server or to mount into any ASGI application.

    `refs` such as `models:/late-arrival@champion` are followed as aliases move; a folder made by `homeostat model
    export --serving` needs no catalogue. Without any, all endpoints of the home are served, with canaries and shadows.

        app = hs.serving.app("models:/late-arrival@champion")

    It starts with the server's lifespan, with `async with app:`, or else with its first request. It asks nobody for a
    token: who may call is for the application around it to say.
    """
    return ServingApp(load_settings(home=home), *refs)
