"""The control plane as an ASGI application: access around routes and predictions, errors to answers."""

from collections.abc import Callable

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig

from homeostat import __version__
from homeostat.compat.importers.intake import Intake
from homeostat.compat.mlflow.app import build_mlflow
from homeostat.ground.errors import HomeostatError
from homeostat.registry.keys import signing_key, trusted
from homeostat.server import errors
from homeostat.server.access import Access, provide_identity
from homeostat.server.access_routes import build_access_routes
from homeostat.server.accuracy_routes import build_accuracy_routes
from homeostat.server.alarm_routes import build_alarm_routes
from homeostat.server.dispatch import Dispatch
from homeostat.server.guard import Door
from homeostat.server.import_routes import build_import_routes
from homeostat.server.intake_routes import build_intake_routes
from homeostat.server.label_routes import build_label_routes
from homeostat.server.metrics_routes import build_metrics_routes
from homeostat.server.notify_routes import build_notify_routes
from homeostat.server.permissions import PermissionTable, mlflow_rule, plain_rule, prediction_rule
from homeostat.server.prediction_routes import build_prediction_routes
from homeostat.server.proxy import PredictionProxy
from homeostat.server.registry_routes import build_registry_routes
from homeostat.server.rollout_routes import build_rollout_routes
from homeostat.server.routes import Tick, build_routes
from homeostat.server.service import Service
from homeostat.server.tracking_routes import build_tracking_routes


def build_app(service: Service, *, tick: Tick, serving_url: Callable[[], str], worker_key: str = "") -> Access:
    """The whole control plane; `tick` runs the loop once, `serving_url` and `worker_key` lead to the worker."""
    settings = service.settings
    max_body = settings.max_body_mb << 20
    intake = Intake(service.database, service.blobs, service.clock, signing_key=lambda: signing_key(settings))
    routes = [
        *build_routes(service, tick=tick, serving_url=serving_url),
        *build_tracking_routes(service.tracking),
        *build_registry_routes(service.registry),
        *build_rollout_routes(service.rollouts),
        *build_access_routes(service),
        *build_import_routes(intake),
        *build_label_routes(service.labels),
        *build_prediction_routes(service.predictions),
        *build_intake_routes(service.intake, service.tables),
        *build_metrics_routes(service),
        *build_alarm_routes(service.alarms),
        *build_accuracy_routes(service.accuracy),
        *build_notify_routes(service.channels),
    ]
    app = Litestar(
        # All at once: a handler that is registered again for the next method of its path is wrapped anew each time,
        # and from the third on Litestar answers with the coroutine itself.
        [Router("/", route_handlers=routes)],
        dependencies={"identity": Provide(provide_identity, sync_to_thread=False)},
        exception_handlers={
            RecursionError: errors.answer_recursion,
            HomeostatError: errors.answer_ours,
            ValidationException: errors.answer_validation,
            HTTPException: errors.answer_http,
            msgspec.DecodeError: errors.answer_decoding,
            Exception: errors.answer_unknown,
        },
        openapi_config=OpenAPIConfig(title="Homeostat", version=__version__, path="/api/schema"),
        request_max_body_size=max_body,
        logging_config=None,  # ours is stderr; Litestar's would print every request handed on to the worker
        debug=False,
    )
    mlflow = build_mlflow(
        service.database,
        service.blobs,
        service.clock,
        webhook_allow=service.webhook_allow,
        signing_key=lambda: signing_key(service.settings),
        trust=lambda: trusted(service.settings),
        inspection=service.registry.inspection,
    )
    table = PermissionTable(plain_rule, prediction_rule, mlflow_rule(mlflow.needs))
    table.add_litestar(app.routes)
    return Access(
        Dispatch(mlflow, PredictionProxy(app, serving_url, max_body=max_body, key=worker_key)),
        table,
        Door.of(settings),
        service.keyring if settings.auth == "required" else None,
        max_body=max_body,
        max_upload=settings.max_upload_mb << 20,
    )
