"""Whether a registered model answers now: what other names and numbers lean on is not taken from under them."""

from sqlalchemy.engine import Connection

from homeostat.ground.errors import Conflict
from homeostat.loop.declaration import list_declarations
from homeostat.serving.endpoints import list_endpoints


def check_idle(conn: Connection, model: str) -> None:
    """See that a model is not served.

    Raises:
        Conflict: while it is: its name is its endpoint's.
    """
    if list_endpoints(conn, model=model):
        raise Conflict(
            f"{model!r:.80} is in service",
            field="name",
            next_step=f"stop serving it first: homeostat model retire {model:.80}",
        )


def check_renamable(conn: Connection, model: str) -> None:
    """See that a model may get another name.

    Raises:
        Conflict: when it is served, or a file declares it.
    """
    if model in {declaration.model for declaration in list_declarations(conn)}:
        raise Conflict(
            f"{model!r} is declared in a file under this name",
            field="name",
            next_step="declare it under the new name, apply the file and train",
        )
    check_idle(conn, model)


def check_version_idle(conn: Connection, model: str, version: int) -> None:
    """See that a version neither answers nor looks on.

    Raises:
        Conflict: naming the endpoint where it does.
    """
    for endpoint in list_endpoints(conn, model=model):
        if version in endpoint.versions:
            raise Conflict(
                f"{model}@{version} answers or looks on at endpoint {endpoint.name}",
                field="version",
                next_step="put another version into service first",
            )
