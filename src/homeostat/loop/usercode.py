"""Running the user's declared file: only in CLI, training children and serving workers, never in the server process."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from homeostat.features.compiled import FeatureSet
from homeostat.features.plan import compile_features
from homeostat.ground.errors import Invalid, UserCodeFailed
from homeostat.loop.types import ModelSpec, take_collected


def load_specs(source: bytes, *, name: str, root: Path) -> list[ModelSpec]:
    """Execute a declared file's bytes as if it lay in `root` and return the models it declares.

    Raises:
        UserCodeFailed: when the file raises; the message holds the line.
        Invalid: when it declares nothing.
    """
    take_collected()
    _execute(source, name=name, root=root)
    specs = take_collected()
    if not specs:
        raise Invalid(
            f"{name} declares no model", field="file", next_step="decorate a training function with @hs.model(...)"
        )
    return specs


def load_model(source: bytes, *, name: str, root: Path, model: str) -> tuple[ModelSpec, FeatureSet]:
    """One declared model and its compiled features."""
    specs = load_specs(source, name=name, root=root)
    spec = next((spec for spec in specs if spec.name == model), None)
    if spec is None:
        raise Invalid(
            f"{name} does not declare {model!r}",
            field="model",
            next_step=f"it declares {', '.join(spec.name for spec in specs)}",
        )
    return spec, compile_features(spec.features, examples=spec.examples, root=root)


def load_function(source: bytes, *, name: str, root: Path, function: str) -> Callable[..., Any]:
    """A function at the top of a declared file.

    Raises:
        Invalid: when the file has none of that name.
    """
    load_specs(source, name=name, root=root)
    found = getattr(sys.modules[_module_name(root / name)], function, None)
    if not callable(found):
        raise Invalid(
            f"{name} has no function {function!r}",
            field="metric",
            next_step="write it with `def` at the top of the file",
        )
    return found  # type: ignore[no-any-return]  # whatever the user wrote


def _module_name(path: Path) -> str:
    return f"_homeostat_declared_{path.stem}"


def _execute(source: bytes, *, name: str, root: Path) -> ModuleType:
    path = root / name
    module_name = _module_name(path)
    loader_spec = importlib.util.spec_from_loader(module_name, loader=None, origin=str(path))
    assert loader_spec is not None  # a spec without a loader is always made
    module = importlib.util.module_from_spec(loader_spec)
    module.__file__ = str(path)
    sys.modules[module_name] = module
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # the file may import its neighbours
    # inspect.getsource must see the applied bytes, not what the path holds by now.
    _remember_lines(path, source)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102  the declared file is the user's program
    except Invalid:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = "".join(traceback.format_exception_only(error)).strip()
        line = next(
            (
                frame.lineno
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if frame.filename == str(path)
            ),
            None,
        )
        raise UserCodeFailed(
            f"{name}{f', line {line}' if line else ''}: {where}",
            field="file",
            next_step="mend the file and apply again",
        ) from error
    return module


def _remember_lines(path: Path, source: bytes) -> None:
    import linecache

    text = source.decode()
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
