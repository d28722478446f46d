"""What requests to the registry name, found and checked, with MLflow's words for what is not there."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection

from homeostat.compat.mlflow.limits import check_length, check_name
from homeostat.compat.mlflow.reach import actor_of
from homeostat.compat.mlflow.reading import require
from homeostat.compat.mlflow.wire import Context, Tag
from homeostat.ground.errors import Invalid, NotFound
from homeostat.registry.lookup import check_model_name
from homeostat.registry.models import get_model
from homeostat.registry.types import Model, ModelVersion
from homeostat.registry.versions import get_version
from homeostat.tracking.values import storable

_TAG_VALUE = 100_000
_DESCRIPTION = 100_000
_ALIAS = re.compile(r"[\w\-]*")
_RESERVED = re.compile(r"[vV]\d+")


def checked_model_name(name: str, field: str = "name") -> str:
    """`name` if MLflow lets a model be called so.

    Raises:
        Invalid: as MLflow words it.
    """
    if not name.strip():
        raise Invalid(f"Missing value for required parameter '{field}'", field=field, next_step=f"send {field}")
    if "/" in name or ":" in name:
        raise Invalid(f"Invalid model name '{name:.120}'. Names cannot contain '/' or ':'.", field=field)
    if name in (".", ".."):
        raise Invalid(
            f"Invalid value '{name}' for parameter '{field}' supplied: Names may be treated as files in certain cases",
            field=field,
            next_step="choose another name",
        )
    return check_model_name(name)


def reachable_model(context: Context, conn: Connection, name: str) -> Model:
    """A model within reach: one belongs to the project of its name.

    Raises:
        NotFound: as MLflow words it.
        Denied: when the token was made for other projects.
    """
    context.identity.require_project(checked_model_name(name))
    try:
        return get_model(conn, name)
    except NotFound as error:
        raise NotFound(f"Registered Model with name={name:.120} not found", field="name") from error


def look_before(context: Context, name: str, version: str) -> None:
    """Find out what a version that is to be in service takes and gives: it takes a second, so no transaction waits."""
    with context.database.read() as conn:
        found = reachable_version(context, conn, name, version)
    if context.inspection is not None:
        context.inspection.of(name, found.version, at=context.clock.now(), actor=actor_of(context))


def reachable_version(context: Context, conn: Connection, name: str, version: str) -> ModelVersion:
    """A version within reach."""
    number = version_number(version)
    reachable_model(context, conn, name)
    try:
        return get_version(conn, name, number)
    except NotFound as error:
        raise _no_version(name, version) from error


def version_number(version: str) -> int:
    """The number that travels as text.

    Raises:
        Invalid: when it is missing or none.
    """
    text = str(require(version, "version")).strip()
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    raise Invalid(
        f"Invalid value {text!r:.80} for parameter 'version' supplied: Parameter must be an integer",
        field="version",
        next_step="send the version's number",
    )


def checked_alias(alias: str, *, reserved: bool = True) -> str:
    """`alias` if MLflow lets one be called so; `reserved` ones can be asked for, not set."""
    if not alias:
        raise Invalid("Registered model alias name cannot be empty.", field="alias")
    if not _ALIAS.fullmatch(alias):
        raise Invalid(
            f"Invalid alias name: '{alias:.120}'. Names may only contain alphanumerics, underscores (_), "
            "and dashes (-).",
            field="alias",
        )
    check_length(alias, "Registered model alias name", 255)
    if reserved and alias.lower() == "latest":
        raise Invalid("'latest' alias name (case insensitive) is reserved.", field="alias")
    if reserved and _RESERVED.fullmatch(alias):
        raise Invalid(f"Version alias name '{alias}' is reserved.", field="alias")
    return alias


def checked_tags(tags: Iterable[Tag]) -> dict[str, str]:
    """Tags of models and versions; the last of those with the same key counts."""
    return {check_name(tag.key, "key"): storable(check_length(tag.value, "value", _TAG_VALUE)) for tag in tags}


def checked_description(text: str) -> str:
    """A description that can be kept."""
    return storable(check_length(text, "description", _DESCRIPTION))


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Taking away what is not there is no error of MLflow's."""
    try:
        yield
    except NotFound:
        return


def _no_version(name: str, version: str) -> NotFound:
    return NotFound(f"Model Version (name={name:.120}, version={version:.40}) not found", field="version")
