"""Requests to structs: path parts, query and JSON body together, as MLflow's server reads them.

Proto JSON has habits of its own, which are met in order of frequency, so that a good body is decoded once, straight
from its bytes: numbers as text, null for what is not said, NaN as a bare word, the whole object once more as text.
"""

import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from homeostat.compat.mlflow.failures import WireError
from homeostat.ground.errors import Invalid

_WHERE = re.compile(r"^(.*) - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_repeated: dict[type[Any], frozenset[str]] = {}


def _decoder(reads: type[Any]) -> msgspec.json.Decoder[Any]:
    if reads not in _decoders:
        _decoders[reads] = msgspec.json.Decoder(reads, strict=False)
    return _decoders[reads]


def _lists(reads: type[Any]) -> frozenset[str]:
    """Names of the repeated fields, which a query may repeat."""
    if reads not in _repeated:
        hints = typing.get_type_hints(reads)
        _repeated[reads] = frozenset(name for name, hint in hints.items() if _is_list(hint))
    return _repeated[reads]


def read_request(reads: type[Any], *, parts: Mapping[str, Any], query: bytes, body: bytes) -> Any:
    """The struct that a request stands for.

    Raises:
        Invalid: naming the parameter that does not fit.
        WireError: when the body is no JSON (BAD_REQUEST).
    """
    try:
        if body and not parts and not query:
            return _decoder(reads).decode(body)
        return _converted(_gathered(reads, parts=parts, query=query, body=body), reads)
    except msgspec.ValidationError as error:
        return _once_more(reads, error, parts=parts, query=query, body=body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _converted(_gathered(reads, parts=parts, query=query, body=body), reads)


def check_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """See that a body claims to be JSON: a form of another site's page can send anything else without asking.

    Raises:
        Invalid: as MLflow words it.
    """
    for name, value in headers:
        if name.lower() == b"content-type" and value.split(b";")[0].strip().lower() != b"application/json":
            raise Invalid(
                "Bad Request. Content-Type must be one of ['application/json']",
                field="Content-Type",
                next_step="send the header Content-Type: application/json",
            )


def require(value: Any, name: str) -> Any:
    """`value`, unless it was left out.

    Raises:
        Invalid: as MLflow words it.
    """
    if value is None or value == "":
        raise Invalid(f"Missing value for required parameter '{name}'", field=name, next_step=f"send {name}")
    return value


def _gathered(reads: type[Any], *, parts: Mapping[str, Any], query: bytes, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    repeated = _lists(reads)
    for key, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace"):
        if key in repeated:
            found.setdefault(key, []).append(value)
        else:
            found.setdefault(key, value)
    return {**found, **_loaded(body), **parts}


def _loaded(body: bytes) -> dict[str, Any]:
    """The body as a dict, by Python's reader: it knows NaN and Infinity, which msgspec's refuses."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
        if isinstance(value, str):  # some old clients send their JSON as text within JSON
            value = json.loads(value)
    except ValueError as error:
        raise WireError("BAD_REQUEST", "the request body is no JSON; send an object", field="body") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid(
            f"the request body is a {type(value).__name__}", field="body", next_step="send a JSON object of parameters"
        )
    return value


def _once_more(
    reads: type[Any], error: msgspec.ValidationError, *, parts: Mapping[str, Any], query: bytes, body: bytes
) -> Any:
    if body and ("`null`" in str(error) or "got `str`" in str(error)):
        return _converted(_without_nulls(_gathered(reads, parts=parts, query=query, body=body)), reads)
    raise _spoken(error) from error


def _converted(values: dict[str, Any], reads: type[Any]) -> Any:
    try:
        return msgspec.convert(values, reads, strict=False)
    except msgspec.ValidationError as error:
        raise _spoken(error) from error


def _without_nulls(value: Any) -> Any:
    """In proto JSON null is what was left out."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _spoken(error: msgspec.ValidationError) -> Invalid:
    text = str(error)
    match = _WHERE.match(text)
    if match is None:
        return Invalid(f"Invalid request: {text}", field="body", next_step="see the API docs for the parameters")
    what, name = match[1], match[2] or "body"
    return Invalid(f"Invalid value for parameter '{name}': {what}", field=name, next_step="send that type")


def _is_list(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_list(item) for item in typing.get_args(hint))
    return typing.get_origin(hint) in (list, tuple)
