"""Plans as one line of text: what a command takes, and what a page shows.

shadow >> canary(5, 25, 100, bake="1h")
"""

import ast
from collections.abc import Callable
from inspect import signature
from typing import Any, cast

import msgspec

from homeostat.ground.clock import format_duration
from homeostat.ground.errors import Invalid
from homeostat.ground.sizes import format_size, parse_size
from homeostat.rollout.stages import AB, GUARDS, Approval, BlueGreen, Canary, Released, Shadow, Stage
from homeostat.rollout.types import Plan, ab, approval, blue_green, canary, shadow

WORDS: dict[str, Callable[..., Plan]] = {
    "shadow": shadow,
    "canary": canary,
    "blue_green": blue_green,
    "ab": ab,
    "approval": approval,
}
_LONGEST = 2_000


def parse_plan(text: str) -> Plan:
    """The plan of a line such as 'shadow(min_labels=100) >> canary(5, 100) >> approval'; nothing of it is run.

    >>> format_plan(parse_plan("shadow >> hs.canary(5, 25, 100)"))
    'shadow >> canary(5, 25, 100)'

    Raises:
        Invalid: at the part that is no stage, no constant or no known option.
    """
    try:
        tree = ast.parse(text[: _LONGEST + 1].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(text) from error
    if len(text) > _LONGEST:
        raise _unreadable(text)
    return _read(tree, text)


def format_plan(plan: Plan) -> str:
    """The line that `parse_plan` reads as this plan; what is as by default is left out."""
    return " >> ".join(_written(stage) for stage in plan.stages)


def _read(node: ast.expr, text: str) -> Plan:
    match node:
        case ast.BinOp(left=left, op=ast.RShift(), right=right):
            return _read(left, text) >> _read(right, text)
        case ast.Call(func=function, args=args, keywords=keywords):
            make = _stage(function, text)
            options = {keyword.arg or "**": _constant(keyword.value, text) for keyword in keywords}
            return _made(make, [_constant(arg, text) for arg in args], options)
        case _:
            return _made(_stage(node, text), [], {})


def _stage(node: ast.expr, text: str) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="hs"), attr=name) if name in WORDS:
            return name
        case _:
            raise _unreadable(text)


def _constant(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise _unreadable(text) from error


def _made(name: str, args: list[Any], options: dict[str, Any]) -> Plan:
    known = [option.name for option in signature(WORDS[name]).parameters.values() if option.kind == option.KEYWORD_ONLY]
    for option in options:
        if option not in known and option != "weight":
            raise Invalid(f"{name} has no option {option!r}", field=option, next_step=f"it has {', '.join(known)}")
    try:
        return WORDS[name](*args, **options)
    except TypeError as error:
        values = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in options.items())])
        raise Invalid(
            f"{name}({values}) cannot be read: {error}",
            field="plan",
            next_step="see the options in docs/rollouts.md",
        ) from error


def _unreadable(text: str) -> Invalid:
    return Invalid(
        f"the plan {text!r:.120} cannot be read",
        field="plan",
        next_step=f"write stages ({', '.join(WORDS)}) joined by >>, like: shadow >> canary(5, 25, 100)",
    )


def _written(stage: Stage) -> str:
    name, args = _heads(stage)
    default = _default(stage)
    for option in _OPTIONS[type(stage)]:
        value = getattr(stage, option)
        if value != getattr(default, option):
            args.append(f"{option}={_spelled(option, value)}")
    return f"{name}({', '.join(args)})" if args else name


def _heads(stage: Stage) -> tuple[str, list[str]]:
    match stage:
        case Canary():
            return "canary", [str(weight) for weight in stage.weights]
        case AB():
            return "ab", [str(stage.weight)]
        case BlueGreen():
            return "blue_green", []
        case Shadow():
            return "shadow", []
        case Approval():
            return "approval", []


def _default(stage: Stage) -> Stage:
    made = canary(5, 100) if isinstance(stage, Canary) else WORDS[_heads(stage)[0]]()
    default = made.stages[0]
    if isinstance(stage, Released) and not stage.bake:  # nothing follows on no bake, so there is nothing to say of it
        return msgspec.structs.replace(default, reverse_shadow=0)
    return default


_RELEASED = tuple(name for name in Released.__struct_fields__ if name not in {"horizon", "undecided"})
_TIMED = ("horizon", "undecided")
_OPTIONS: dict[type[Any], tuple[str, ...]] = {
    Shadow: ("min_labels", "margin", *_TIMED),
    Canary: ("min_requests", "min_time", *_TIMED, *_RELEASED),
    BlueGreen: ("min_requests", *_TIMED, *_RELEASED),
    AB: ("metric", "margin", "min_labels", *_TIMED, *_RELEASED),
    Approval: _TIMED,
}
_SPANS = {"horizon", "min_time", "bake", "reverse_shadow"}


def _spelled(option: str, value: Any) -> str:
    if option in _SPANS:
        return f'"{format_duration(value)}"' if value else '"0s"'
    if option == "memory":
        text = format_size(value)
        return f'"{text}"' if parse_size(text) == value else f'"{value}B"'
    if option == "guards":
        return repr(tuple(cast("tuple[str, ...]", value))) if value != GUARDS else ""
    return f'"{value}"' if isinstance(value, str) else repr(value)
