"""The rules that every module keeps (CONTRIBUTING, "The rules of the house")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house import tree

MAX_MODULE_LINES = 500
MAX_BODY_LINES = 50
VAGUE_ROOMS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
VAGUE_WORDS = {"process", "handle", "handler", "info", "item", "items", "manager", "service", "util", "utils", "helper"}


def test_no_module_is_longer_than_500_lines() -> None:
    long = {tree.name(p): n for p in tree.python_files() if (n := len(p.read_text().splitlines())) > MAX_MODULE_LINES}
    assert long == {}


def test_no_function_body_is_longer_than_50_lines() -> None:
    long = {
        f"{tree.name(path)}:{function.name}": tree.body_lines(function)
        for path in tree.python_files()
        for function in tree.functions(path)
        if tree.body_lines(function) > MAX_BODY_LINES
    }
    assert long == {}


def test_no_room_has_a_vague_name() -> None:
    vague = {tree.name(p) for p in tree.python_files() if VAGUE_ROOMS & {p.stem, *p.relative_to(tree.ROOT).parts[:-1]}}
    assert vague == set()


def test_no_public_name_is_vague() -> None:
    vague = {
        f"{tree.name(path)}:{node.name}"
        for path in tree.modules()
        for node in public_definitions(tree.syntax(path))
        if VAGUE_WORDS & words(node.name)
    }
    assert vague == set()


def test_every_public_name_says_what_it_is() -> None:
    silent = {
        f"{tree.name(path)}:{getattr(node, 'name', 'module')}"
        for path in tree.modules()
        for node in (tree.syntax(path), *public_definitions(tree.syntax(path)))
        if not ast.get_docstring(node)
    }
    assert silent == set()


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        tree.name(path)
        for path in tree.modules()
        if re.search(r"\bos\.environ(\[|\.get\b)|\bgetenv\b", path.read_text())
    }
    assert readers <= {"ops/settings.py"}


def test_edges_are_arguments_so_nothing_is_patched() -> None:
    patched = re.compile(r"unittest\.mock|\bMagicMock\b|\bmock\.|[^.\w]patch\(|monkeypatch\.setattr")
    here = Path(__file__)
    assert [tree.name(p) for p in tree.python_files() if p != here and patched.search(p.read_text())] == []


def test_nothing_is_left_for_another_day() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME)\b|NotImplementedError|\bxfail\b")
    here = Path(__file__)
    assert [tree.name(p) for p in tree.python_files() if p != here and unfinished.search(p.read_text())] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    hosts = r"pypi\.org|pythonhosted\.org|registry\.npmjs|repo1?\.maven|deb\.debian"
    paths = r"(?<![\w.])/(?:home|root|work|Users|opt/wheels)/"
    marks = re.compile(f"{hosts}|{paths}")
    found = {f"{tree.name(path)}: {mark}" for path, text in texts() for mark in marks.findall(text)}
    assert found == set()


def public_definitions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield the module's public functions and classes, and the public methods of those classes."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (
                inner
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_")
            )


def words(identifier: str) -> set[str]:
    """Return the words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every file that is text, with its text."""
    for path in tree.files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
