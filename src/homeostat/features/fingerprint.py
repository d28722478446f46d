"""The content hash of a feature set: its definitions, and the source of its functions with what they close over."""

import ast
import hashlib
import inspect
import textwrap
from types import CodeType, FunctionType
from typing import Any

import msgspec

_PLAIN = (str, int, float, bool, bytes, type(None), tuple, list, dict, set, frozenset)


def content_hash(definition: Any) -> str:
    """32 hex characters of a definition made of plain data and structs.

    >>> content_hash({"a": 1}) == content_hash({"a": 1})
    True
    """
    return hashlib.sha256(msgspec.json.encode(definition, order="deterministic")).hexdigest()[:32]


def code_of(function: Any, _seen: frozenset[str] = frozenset()) -> list[str]:
    """A text that changes when the function, a helper of its module or a constant it reads changes.

    Comments, blank lines and line breaks do not count.
    """
    if not isinstance(function, FunctionType) or function.__qualname__ in _seen:
        return [getattr(function, "__qualname__", type(function).__qualname__)]
    seen = _seen | {function.__qualname__}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    texts = [_source(function), *(repr(value) for value in defaults if isinstance(value, _PLAIN))]
    for name, value in sorted(_read_by(function).items()):
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            texts += [name, *code_of(value, seen)]
        elif isinstance(value, (set, frozenset)):
            texts.append(f"{name}={sorted(map(repr, value))}")
        elif isinstance(value, _PLAIN):
            texts.append(f"{name}={value!r}")
    return texts


def _source(function: FunctionType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt, or a lambda inside an expression
        return repr(_bytecode(function.__code__))
    return ast.dump(tree)


def _bytecode(code: CodeType) -> tuple[Any, ...]:
    constants = tuple(_bytecode(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts)
    return code.co_code.hex(), constants, code.co_names


def _read_by(function: FunctionType) -> dict[str, Any]:
    found = inspect.getclosurevars(function)
    return {**found.globals, **found.nonlocals}
