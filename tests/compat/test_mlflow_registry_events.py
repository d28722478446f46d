"""What the registry's events become for MLflow's webhooks, and registrations that happen at the same time."""

import asyncio
from typing import Any

import httpx
from mlflow_helpers import API, Mlflow

from homeostat.compat.mlflow.webhook_bodies import body_of
from homeostat.store.events import list_events

MODELS, VERSIONS = "/registered-models", "/model-versions"
PROMPT = [{"key": "mlflow.prompt.is_prompt", "value": "true"}, {"key": "_mlflow_prompt_type", "value": "text"}]


def told(mlflow: Mlflow, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of what MLflow's subscribers hear about a model."""
    with mlflow.database.read() as conn:
        bodies = [body_of(conn, event) for event in list_events(conn, subject=name)]
    return [(body[0], body[1]["data"]) for body in bodies if body is not None]


def test_a_model_is_told_of_with_its_tags(mlflow: Mlflow) -> None:
    mlflow.post(f"{MODELS}/create", name="m", description="d", tags=[{"key": "team", "value": "a"}])
    run = mlflow.start()
    mlflow.post(f"{VERSIONS}/create", name="m", source=f"runs:/{run}/model", run_id=run)
    version: dict[str, Any] = {
        "version": "1",
        "source": f"runs:/{run}/model",
        "run_id": run,
        "tags": {},
        "description": None,
    }
    assert told(mlflow, "m") == [
        ("registered_model.created", {"name": "m", "tags": {"team": "a"}, "description": "d"}),
        ("model_version.created", {"name": "m"} | version),
    ]


def test_prompts_are_told_of_by_their_own_names(mlflow: Mlflow) -> None:
    mlflow.post(f"{MODELS}/create", name="hi", tags=[*PROMPT, {"key": "a", "value": "b"}])
    text = {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}
    mlflow.post(f"{VERSIONS}/create", name="hi", source="dummy-source", tags=[*PROMPT, text])
    mlflow.post(f"{VERSIONS}/set-tag", name="hi", version="1", key="k", value="v")
    mlflow.post(f"{MODELS}/alias", name="hi", alias="live", version="1")
    mlflow.request("DELETE", f"{API}{MODELS}/alias", json={"name": "hi", "alias": "live"})
    version: dict[str, Any] = {"version": "1", "template": "Hello {{name}}", "tags": {}, "description": None}
    assert told(mlflow, "hi") == [
        ("prompt.created", {"name": "hi", "tags": {"a": "b"}, "description": None}),
        ("prompt_version.created", {"name": "hi"} | version),
        ("prompt_version_tag.set", {"name": "hi", "version": "1", "key": "k", "value": "v"}),
        ("prompt_alias.created", {"name": "hi", "alias": "live", "version": "1"}),
        ("prompt_alias.deleted", {"name": "hi", "alias": "live"}),
    ]


def test_registrations_at_the_same_time_get_a_number_each(mlflow: Mlflow) -> None:
    mlflow.post(f"{MODELS}/create", name="m")
    run = mlflow.start()
    numbers: list[int] = []

    async def register_all() -> None:
        transport = httpx.ASGITransport(mlflow.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            body = {"name": "m", "source": f"runs:/{run}/model", "run_id": run}
            alias = {"name": "m", "alias": "champion", "version": "1"}
            calls = [client.post(f"{API}{VERSIONS}/create", json=body) for _ in range(20)]
            replies = await asyncio.gather(*calls)
            numbers.extend(int(reply.json()["model_version"]["version"]) for reply in replies)
            moves = [client.post(f"{API}{MODELS}/alias", json=alias | {"version": str(n)}) for n in numbers]
            assert {reply.status_code for reply in await asyncio.gather(*moves)} == {200}

    mlflow.run_async(register_all())
    assert sorted(numbers) == list(range(1, 21))
    moves = [data["version"] for name, data in told(mlflow, "m") if name == "model_version_alias.created"]
    assert sorted(map(int, moves)) == list(range(1, 21))
    assert mlflow.get(f"{MODELS}/get", name="m")["registered_model"]["aliases"][0]["version"] == moves[-1]
