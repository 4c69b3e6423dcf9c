"""What is written about the code is generated from it, or checked against it here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from cyclopts import App

from docs import generate
from ops.cli import app
from ops.processes import PROCESSES
from ops.settings import Settings, leaves
from schemas.contracts import FAMILIES
from streams.telemetry import METRICS
from tests.house import tree

PAGES = [path for path in tree.files() if path.suffix == ".md"]
CODE = re.compile(r"`([^`\n]+)`|^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_a_page_that_is_made_is_fresh(name: str) -> None:
    assert (tree.ROOT / name).read_text() == generate.PAGES[name](), "run `make generate`"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, _, field in leaves(Settings()) if not field.description] == []


def test_every_error_has_a_code_that_can_be_looked_up() -> None:
    assert [module for _, code, _, module in generate.raised() if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", code)] == []


@pytest.mark.parametrize("part", ["header", "person"])
def test_every_family_has_the_header_and_person_that_the_page_shows_once(part: str) -> None:
    shown = {
        tuple((f.path, f.type, f.nullable, f.codelist) for f in family.fields if f.path.startswith(f"{part}."))
        for family in FAMILIES.values()
        if part == "header" or not family.subject
    }
    assert len(shown) == 1


def test_every_module_has_its_line_in_the_architecture() -> None:
    text = (tree.ROOT / "ARCHITECTURE.md").read_text()
    modules = [path for path in tree.modules() if path.name != "__init__.py"]
    assert [tree.name(m) for m in modules if "/".join(m.relative_to(tree.ROOT).parts[1:]) not in text] == []


def test_links_lead_somewhere() -> None:
    dead = {
        f"{tree.name(page)} -> {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    }
    assert dead == set()


def test_settings_named_on_a_page_exist() -> None:
    known = {name for name, _, _ in leaves(Settings())}
    named = {name for page in PAGES for name in re.findall(r"\bMIGEX_[A-Z_]+\b", page.read_text())}
    assert {name for name in named if name not in known and not name.startswith("MIGEX_TEST_")} == set()


def test_metrics_named_on_a_page_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bmigex_[a-z_]+\b", page.read_text())}
    assert named - set(METRICS) == set()


def test_make_targets_named_on_a_page_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (tree.ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for code in codes(page) for target in re.findall(r"^make ([a-z]+)", code)}
    assert named - targets == set()


def test_every_command_is_in_the_readme() -> None:
    readme = (tree.ROOT / "README.md").read_text()
    parts = {*PROCESSES, "worker"}  # docs/commands.md names those
    assert {command for command in commands() - parts if command not in readme} == set()


def test_commands_named_on_a_page_exist() -> None:
    known = commands()
    first = {command.split()[0] for command in known}
    groups = {command.split()[0] for command in known if " " in command}
    named = [
        words.split() for page in PAGES for code in codes(page) for words in re.findall(r"\bmigex ([a-z -]+)", code)
    ]
    wrong = {words[0] for words in named if words and words[0] not in first}
    begun = {" ".join(command.split()[:2]) for command in known}
    wrong |= {" ".join(words[:2]) for words in named if words[0] in groups and " ".join(words[:2]) not in begun}
    assert wrong == set()


def test_paths_named_on_a_page_exist() -> None:
    rooms = ("schemas/", "streams/", "connectors/", "ops/", "tests/", "bench/", "docs/", "examples/", "requirements/")
    named = {
        (page, code)
        for page in PAGES
        for code in codes(page)
        if code.startswith(rooms) and not re.search(r"[\s<>*{}…:]", code)
    }
    assert {f"{tree.name(page)}: {path}" for page, path in named if not (tree.ROOT / path).exists()} == set()


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (tree.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def commands(parts: App = app, before: str = "") -> set[str]:
    """Return the words of every command that a person may give."""
    found: set[str] = set()
    for name in parts:
        if name.startswith("-") or not parts[name].show:
            continue
        words = f"{before} {name}".strip()
        inner = commands(parts[name], words)
        found |= inner or {words}
    return found


def codes(page: Path) -> list[str]:
    """Return what stands in code spans, and the lines of code blocks."""
    spans = CODE.findall(page.read_text())
    return [code for span, block in spans for code in ([span] if span else block.splitlines())]
