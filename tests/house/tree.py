"""The repository as the house tests see it: which files belong to it, and what its modules define."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "streams", "connectors", "ops", "migex")
GENERATED = ROOT / "schemas" / "events"


@cache
def files() -> tuple[Path, ...]:
    """Return the files of the repository: tracked ones and those that could be, never ignored ones."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    found = (ROOT / name for name in listing.decode().split("\0") if name)
    return tuple(sorted(path for path in found if path.is_file()))


def modules() -> list[Path]:
    """Return the hand-written modules of the packages."""
    return [path for path in files() if path.suffix == ".py" and in_package(path) and GENERATED not in path.parents]


def python_files() -> list[Path]:
    """Return every hand-written Python file."""
    return [path for path in files() if path.suffix == ".py" and GENERATED not in path.parents]


def in_package(path: Path) -> bool:
    """Say whether the file lies in one of the packages."""
    return path.relative_to(ROOT).parts[0] in PACKAGES


def name(path: Path) -> str:
    """Return the path from the root, for messages and comparisons."""
    return path.relative_to(ROOT).as_posix()


@cache
def syntax(path: Path) -> ast.Module:
    """Return the file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function of the file, methods and inner ones too."""
    return [node for node in ast.walk(syntax(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of the function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
