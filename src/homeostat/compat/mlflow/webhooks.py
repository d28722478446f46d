"""MLflow's six webhook endpoints, over our webhooks. A webhook that hears of none of MLflow's events is not shown."""

import re
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.paging import mark_of, read_token, write_token
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.webhook_bodies import ACTIONS, example_of, is_event
from homeostat.compat.mlflow.wire import Context, Route
from homeostat.ground.clock import SystemClock
from homeostat.ground.errors import Invalid, NotFound, Refused
from homeostat.loop import webhooks
from homeostat.loop.webhook_delivery import send_test
from homeostat.loop.webhooks import Webhook, WebhookChange

_NAME = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)


class WireEvent(msgspec.Struct, frozen=True):
    """An event as it travels: `{"entity": "MODEL_VERSION", "action": "CREATED"}`."""

    entity: str = ""
    action: str = ""

    @property
    def name(self) -> str:
        return f"{self.entity}.{self.action}".lower()


class Create(msgspec.Struct):
    """webhooks, POST."""

    name: str = ""
    url: str = ""
    events: list[WireEvent] = []
    description: str = ""
    secret: str = ""
    status: str = ""


class Update(msgspec.Struct):
    """webhooks/{id}, PATCH. What is None stays."""

    webhook_id: str = ""
    name: str | None = None
    url: str | None = None
    events: list[WireEvent] | None = None
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class ById(msgspec.Struct):
    """webhooks/{id}, GET and DELETE."""

    webhook_id: str = ""


class Trial(msgspec.Struct):
    """webhooks/{id}/test."""

    webhook_id: str = ""
    event: WireEvent | None = None


class List(msgspec.Struct):
    """webhooks, GET."""

    max_results: int = 0
    page_token: str = ""


def create(context: Context, body: Create) -> dict[str, Any]:
    """Make one; a private address is a bad parameter, as MLflow words it."""
    names = [_known(event) for event in body.events]
    require(body.url, "url")
    try:
        with context.database.write() as conn:
            made = webhooks.create_webhook(
                conn,
                _checked_name(require(body.name, "name")),
                url=body.url,
                events=names,
                description=body.description,
                secret=body.secret,
                status=body.status or "ACTIVE",
                allowed=context.webhook_allow,
                at=SystemClock().now(),
                actor=context.identity.name,
            )
    except Refused as error:
        raise _invalid(error) from error
    return {"webhook": webhook_view(made)}


def update(context: Context, body: Update) -> dict[str, Any]:
    """Change what was sent."""
    change = WebhookChange(
        name=_checked_name(body.name) if body.name else UNSET,
        url=body.url or UNSET,
        description=UNSET if body.description is None else body.description,
        secret=UNSET if body.secret is None else body.secret,
        status=body.status or UNSET,
        events=tuple(_known(event) for event in body.events) if body.events else UNSET,
    )
    try:
        with context.database.write() as conn:
            _visible(conn, body.webhook_id)
            changed = webhooks.change_webhook(
                conn,
                body.webhook_id,
                change,
                allowed=context.webhook_allow,
                at=SystemClock().now(),
                actor=context.identity.name,
            )
    except Refused as error:
        raise _invalid(error) from error
    return {"webhook": webhook_view(changed)}


def get(context: Context, body: ById) -> dict[str, Any]:
    """Show one."""
    with context.database.read() as conn:
        return {"webhook": webhook_view(_visible(conn, body.webhook_id))}


def list_all(context: Context, body: List) -> dict[str, Any]:
    """Show a page of them, newest first."""
    size = body.max_results or 100
    if not 1 <= size <= 1000:
        raise Invalid("max_results must be between 1 and 1000", field="max_results", next_step="send a number of those")
    mark = mark_of("webhooks")
    start = read_token(body.page_token, mark)
    with context.database.read() as conn:
        shown = [webhook for webhook in webhooks.list_webhooks(conn) if _mlflow_events(webhook)]
    answer: dict[str, Any] = {"webhooks": [webhook_view(webhook) for webhook in shown[start : start + size]]}
    if len(shown) > start + size:
        answer["next_page_token"] = write_token(mark, start + size)
    return answer


def delete(context: Context, body: ById) -> dict[str, Any]:
    """Take one away."""
    with context.database.write() as conn:
        _visible(conn, body.webhook_id)
        webhooks.remove_webhook(conn, body.webhook_id, at=SystemClock().now(), actor=context.identity.name)
    return {}


def test(context: Context, body: Trial) -> dict[str, Any]:
    """Send it an example and say what came of it."""
    with context.database.read() as conn:
        webhook = _visible(conn, body.webhook_id)
        secret = webhooks.secret_of(conn, webhook.id)
    name = _known(body.event) if body.event else _mlflow_events(webhook)[0]
    result = send_test(webhook, secret, example_of(name, SystemClock().now()), allowed=context.webhook_allow)
    return {"result": result}


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """A webhook as MLflow shows it: never with its secret."""
    view = {
        "webhook_id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": [_wire_event(name) for name in _mlflow_events(webhook)],
        "status": webhook.status,
        "creation_timestamp": webhook.created // 1000,
        "last_updated_timestamp": webhook.updated // 1000,
    }
    return view | ({"description": webhook.description} if webhook.description else {})


def _visible(conn: Connection, webhook_id: str) -> Webhook:
    webhook = webhooks.get_webhook(conn, webhook_id)
    if not _mlflow_events(webhook):
        raise NotFound(f"Webhook with ID {webhook_id} not found.", field="webhook_id")
    return webhook


def _mlflow_events(webhook: Webhook) -> list[str]:
    return [name for name in webhook.events if is_event(name)]


def _wire_event(name: str) -> dict[str, str]:
    entity, _, action = name.upper().partition(".")
    return {"entity": entity, "action": action}


def _known(event: WireEvent) -> str:
    if is_event(event.name):
        return event.name
    entity = event.entity.lower()
    if entity in ACTIONS:
        raise Invalid(
            f"Invalid action '{event.action.lower()}' for entity '{entity}'. "
            f"Valid actions are: {list(ACTIONS[entity])}",
            field="events",
        )
    raise Invalid(f"Invalid entity '{entity}'. Valid entities are: {list(ACTIONS)}", field="events")


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise Invalid(
        f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, be less than 63 characters "
        "long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        field="name",
    )


def _invalid(error: Refused) -> Invalid:
    return Invalid(f"Invalid webhook URL: {error.message}", field="url", next_step=error.next_step)


_PATH = "/mlflow/webhooks"
ROUTES = [
    Route(("POST",), _PATH, Create, create, "admin"),
    Route(("GET",), _PATH, List, list_all, "admin"),
    Route(("GET",), f"{_PATH}/{{webhook_id}}", ById, get, "admin"),
    Route(("PATCH",), f"{_PATH}/{{webhook_id}}", Update, update, "admin"),
    Route(("DELETE",), f"{_PATH}/{{webhook_id}}", ById, delete, "admin"),
    Route(("POST",), f"{_PATH}/{{webhook_id}}/test", Trial, test, "admin"),
]
"""All for admins: a webhook sends data out, and its URL is often a secret itself."""
