"""Pickles: read only when somebody said why, and only where user code may run: a training child or a serving worker."""

import pickle
from typing import Any

import msgspec

from homeostat.ground.errors import Corrupt, Invalid, Refused
from homeostat.registry.types import PicklePermission


class Pickled(msgspec.Struct, frozen=True):
    """A model that may be packaged as a pickle."""

    model: Any
    permission: PicklePermission


def allow_pickle(model: Any, *, reason: str) -> Pickled:
    """Permit that `model` is packaged as a pickle, which runs code when it is read; the permission is signed.

    Return it from a training function when no safe format holds the model:
    `return hs.allow_pickle(model, reason="a class of our own, in our own package")`.
    """
    if not reason.strip():
        raise Invalid("a pickle needs a reason", field="reason", next_step="say why no safe format will do")
    return Pickled(model, PicklePermission(reason=reason.strip()))


def dump(model: Any) -> bytes:
    """The pickle of a model."""
    try:
        return pickle.dumps(model)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise Refused(
            f"the model cannot be pickled: {error!s:.200}", field="model", next_step="use importable classes"
        ) from error


def load(data: bytes) -> Any:
    """Read a pickle. Whoever calls this has seen a signed permission and is no server."""
    try:
        return pickle.loads(data)  # noqa: S301  that is what the permission is for
    except Exception as error:
        raise Corrupt(
            f"the pickle cannot be read: {type(error).__name__}: {error!s:.200}",
            next_step="install what the model's classes need, or package the model again",
        ) from error
