"""What labels of a model have to look like: known from its declaration, or from its versions when it has none."""

import msgspec
from sqlalchemy.engine import Connection

from homeostat.ground.errors import NotFound
from homeostat.ground.records import InputColumn, Signature
from homeostat.loop.declaration import get_declaration
from homeostat.monitoring.truth import Truth
from homeostat.registry.lookup import aliases_of, model_key, newest_number
from homeostat.registry.versions import get_version


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """A model that labels may be sent for."""

    model: str
    truth: Truth
    columns: dict[str, InputColumn]
    """Request columns by name: what an entity key may be made of."""


def labelled_model(conn: Connection, model: str) -> Labelled:
    """What labels of this model say and are joined by.

    Raises:
        NotFound: when no model of this name is declared or registered.
    """
    signature = _signature(conn, model)
    try:
        declaration = get_declaration(conn, model)
    except NotFound:
        if signature is None:
            raise
        columns = {column.name: column for column in signature.inputs + signature.keys}
        return Labelled(model=model, truth=_truth(signature), columns=columns)
    inputs = (signature.inputs + signature.keys if signature is not None else ()) + declaration.inputs
    truth = _truth(signature) if signature is not None and signature.task else Truth(task=declaration.task)
    return Labelled(model=model, truth=truth, columns={column.name: column for column in inputs})


def _truth(signature: Signature) -> Truth:
    return Truth(task=signature.task, classes=signature.classes)


def _signature(conn: Connection, model: str) -> Signature | None:
    """The champion's, or else the newest version's; None for a model without versions."""
    try:
        key = model_key(conn, model)
    except NotFound:
        return None
    number = aliases_of(conn, model).get("champion") or newest_number(conn, key)
    return None if number is None else get_version(conn, model, number).signature
