"""From what people give the registry's methods to the bodies that its verbs take."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from homeostat.ground.errors import Invalid
from homeostat.ground.refs import parse_model_ref
from homeostat.registry.stages import Stage
from homeostat.server.registry_bodies import Change, ModelBody, StagesBody

Body = TypeVar("Body", bound=msgspec.Struct)


def split_ref(ref: str) -> tuple[str, int | str | None]:
    """A model's name, and the version if the reference names one."""
    name, version = parse_model_ref(ref)
    return name, None if ref.removeprefix("models:/") == name else version


def model_body(name: str, description: str, tags: Mapping[str, str] | None) -> ModelBody:
    """A model to be made."""
    return checked_body(ModelBody, name=name, description=description, tags=dict(tags or {}))


def change_body(**given: Any) -> Change:
    """What is to change about a model or a version."""
    return checked_body(Change, **given)


def checked_body(kind: type[Body], **given: Any) -> Body:
    """A body made in this process, checked as if it had come over HTTP.

    Raises:
        Invalid: naming what is of another type.
    """
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field=str(error).rpartition("`$.")[2].partition("`")[0]) from error


def stages_body(stages: Sequence[Stage | str], actor: str) -> StagesBody:
    """Stages by name alone ask for nothing."""
    return StagesBody([Stage(name=stage) if isinstance(stage, str) else stage for stage in stages], actor)
