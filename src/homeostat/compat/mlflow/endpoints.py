"""Every endpoint of MLflow's that is answered here, gathered from the subjects' own lists."""

from homeostat.compat.mlflow import (
    artifacts,
    datasets,
    experiments,
    logged_models,
    metrics,
    model_versions,
    multipart,
    otlp,
    plain,
    registered_aliases,
    registered_models,
    run_links,
    run_values,
    runs,
    trace_assessments,
    traces,
    traces_v2,
    webhooks,
)
from homeostat.compat.mlflow.wire import Route

_SUBJECTS = (
    plain,
    experiments,
    runs,
    run_values,
    run_links,
    metrics,
    artifacts,
    datasets,
    multipart,
    logged_models,
    registered_models,
    registered_aliases,
    model_versions,
    webhooks,
    traces,
    traces_v2,
    trace_assessments,
    otlp,
)


def all_routes() -> list[Route]:
    """The endpoints of every subject."""
    return [route for subject in _SUBJECTS for route in subject.ROUTES]
