"""An experiment as MLflow shows it."""

from typing import Any

from homeostat.compat.mlflow.wire import Tag
from homeostat.tracking.types import Project

ASKED_LOCATION = "homeostat.requested_artifact_location"
"""Tag with the artifact location a client asked for and did not get."""


def project_view(project: Project) -> dict[str, Any]:
    """MLflow's Experiment."""
    view: dict[str, Any] = {
        "experiment_id": str(project.id),
        "name": project.name,
        "artifact_location": f"mlflow-artifacts:/{project.id}",
        "lifecycle_stage": "active" if project.deleted is None else "deleted",
        "last_update_time": project.updated // 1000,
        "creation_time": project.created // 1000,
    }
    if project.tags:
        view["tags"] = [Tag(key, value) for key, value in project.tags.items()]
    return view
