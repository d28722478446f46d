"""Writes docs/map.md: the first line of every module's docstring, folder by folder. `make docs` runs it."""

import ast
import re
from pathlib import Path

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src" / "homeostat"
FLOORS = (
    "",
    "cli",
    "sdk",
    "server",
    "compat",
    "loop",
    "tracking",
    "datasets",
    "features",
    "evaluation",
    "registry",
    "serving",
    "rollout",
    "monitoring",
    "store",
    "ground",
    "testing",
)
OUTSIDE = {
    "Makefile": "the seven words: setup, fix, check, test, bench, demo, docs",
    ".ci/run": "what CI runs: `make check test`",
    "pyproject.toml": "the package, its extras, and the settings of every tool, each exception with its reason",
    "requirements/lock.py": "writes the lock files: names, versions, hashes, no address",
    "requirements/bootstrap.lock": "uv and the build tools, installed by pip",
    "requirements/dev.lock": "everything else, installed by uv",
    "docs/write_map.py": "writes this page",
    "docs/words.md": "the one word for each idea",
    "docs/decisions/": "dated notes: what was decided, and why",
    "tests/": "mirrors the rooms; `tests/conftest.py` has the databases",
    "benchmarks/": "side by side with the peers",
    "examples/": "runnable, tested",
}


def main() -> None:
    """Write the page."""
    lines = [
        "# Map",
        "",
        "One line for every file. `make docs` writes this page from the first line of each docstring.",
    ]
    for folder in sorted({path.parent for path in modules()}, key=floor):
        name = folder.relative_to(SOURCE.parent).as_posix()
        lines += ["", f"## {name}", purpose(folder / "__init__.py"), ""]
        files = sorted(path for path in modules() if path.parent == folder and path.name != "__init__.py")
        lines += [f"- `{path.name}`: {purpose(path)}" for path in files]
    lines += ["", "## Around it", *(f"- `{name}`: {text}" for name, text in OUTSIDE.items()), ""]
    (DOCS / "map.md").write_text(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)))


def modules() -> list[Path]:
    """Every module of the package but the numbered revisions, which say what they are by name."""
    return [path for path in SOURCE.rglob("*.py") if path.parent.name != "versions"]


def floor(folder: Path) -> tuple[int, str]:
    """Sorts folders from the top floor down."""
    inside = folder.relative_to(SOURCE).as_posix().removeprefix(".")
    return FLOORS.index(inside.split("/", maxsplit=1)[0]), inside


def purpose(module: Path) -> str:
    """The first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(module.read_text())) if module.is_file() else ""
    return (text or "").partition("\n\n")[0].replace("\n", " ").removesuffix(".")


if __name__ == "__main__":
    main()
