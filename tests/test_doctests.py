"""Every example in a docstring runs as a test."""

import doctest
import importlib
import pkgutil

import pytest

import homeostat

# Alembic runs these in a context of its own, and a demo declaration is a user's file.
NOT_IMPORTED = ("homeostat.store.migrations.", "homeostat.cli.demo.flights")
OPTIONAL = {"lightgbm", "onnxruntime", "psycopg", "skops", "sklearn"}


def module_names() -> list[str]:
    found = pkgutil.walk_packages(homeostat.__path__, "homeostat.")
    return [module.name for module in found if not f"{module.name}.".startswith(NOT_IMPORTED)]


@pytest.mark.parametrize("name", ["homeostat", *module_names()])
def test_examples_in_docstrings_hold(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in OPTIONAL:
            pytest.skip(f"needs {error.name}")
        raise
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
