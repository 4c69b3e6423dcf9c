"""Writes what is made from the code: settings, commands, errors, events, tables, rooms, targets, dashboard.

`make generate` runs it; a house test says when a page is stale.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from connectors.error_catalogue import catalogue, meaning, remedy
from connectors.problems import STATUS
from docs import crash_points, families_by_door, reference
from ops import cli, dashboard, settings
from ops.processes import AGENTS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "streams", "connectors", "ops", "migex")
CLASSES = {
    "refused": (
        "Refused by the feed",
        "The question has no answer as it was asked. HTTP: 404 for what is not there, else 422.",
    ),
    "Unavailable": (
        "Unavailable",
        "Something we depend on is away; the same call may succeed later. HTTP: 503 with Retry-After.",
    ),
    "Misconfigured": (
        "Misconfigured",
        "A setting or a file is wrong: the process does not start, exit status 78. Restarting is no help.",
    ),
    "Broken": (
        "Broken",
        "One of our own invariants failed: something was put aside or the process stopped; nothing was guessed.",
    ),
}
"""What carries a code of its own, with a title and what the reader must know of it."""

_SAID = {"refused": 2, "Reason": 2, "_require_one_of": 2, "problem": 2}
"""Functions that refuse a question, and which argument says the rule."""

_ROOMS = re.compile(r"(<!-- rooms: made by make generate -->\n).*?(<!-- end of rooms -->)", re.DOTALL)


def settings_page() -> str:
    """Return docs/settings.md."""
    return settings.markdown()


def errors_page() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Errors",
        "",
        "Every code, by what the reader must do. A code never changes its meaning.",
        "This page is made by `make generate`.",
        "",
        "## Refused by a door",
        "",
        "The sender must change something and send again. Each reason names the code, the field, the rule and the",
        "remedy, never the value.",
        "",
        "This part in Russian: [errors.ru.md](errors.ru.md), in Belarusian: [errors.be.md](errors.be.md).",
        "",
        *_catalogue("en"),
    ]
    found = sorted(set(raised()))
    for kind, (title, what) in CLASSES.items():
        lines += ["", f"## {title}", "", what, "", "| code | what is said | by |", "|---|---|---|"]
        lines += [f"| `{code}` | {said} | `{module}` |" for each, code, said, module in found if each == kind]
    return "\n".join(lines) + "\n"


def errors_page_in(lang: str) -> str:
    """Return docs/errors.ru.md or docs/errors.be.md: what the doors refuse, for those who send."""
    title = {"ru": "Ошибки: что не принимается и что делать", "be": "Памылкі: што не прымаецца і што рабіць"}[lang]
    return "\n".join([f"# {title}", "", *_catalogue(lang)]) + "\n"


def _catalogue(lang: str) -> list[str]:
    heads = {
        "en": "| code | meaning | what to do | HTTP |",
        "ru": "| код | значение | что делать | HTTP |",
        "be": "| код | значэнне | што рабіць | HTTP |",
    }
    rows = [
        f"| `{code}` | {meaning(code, lang)} | {remedy(code, lang)} | {STATUS.get(code, '')} |" for code in catalogue()
    ]
    return [heads[lang], "|---|---|---|---|", *rows]


def commands_page() -> str:
    """Return docs/commands.md."""
    head = "# Commands\n\nThis page is made by `make generate` from what `--help` says.\n"
    text = cli.app.generate_docs(usage_name="migex").removeprefix("# migex\n").rstrip() + "\n"
    return head + re.sub(r"^(migex [^\n]*?) -m [\w.]+", r"\1", text, flags=re.MULTILINE)  # how this program was started


def crash_points_page() -> str:
    """Return docs/crash-points.md."""
    return crash_points.crash_points_page(ROOT, [path for package in PACKAGES for path in sources(package)])


def architecture_page() -> str:
    """Return ARCHITECTURE.md with its list of rooms made anew."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return _ROOMS.sub(lambda marks: f"{marks[1]}{rooms()}{marks[2]}", text)


def rooms() -> str:
    """Return every module of the packages with the first sentence of its docstring."""
    blocks = []
    for package in PACKAGES:
        modules = [path for path in sources(package) if path.name != "__init__.py"]
        width = max(len(_in(package, path)) for path in modules)
        lines = [f"{_in(package, path):{width}}  {first_sentence(path)}" for path in modules]
        heading = first_sentence(ROOT / package / "__init__.py")
        blocks.append("\n".join([f"**{package}/** {heading}", "", "```", *lines, "```", ""]))
    return "\n" + "\n".join(blocks)


def targets(local: bool) -> str:
    """Return where Prometheus finds every process: on this machine, or in the containers of docker-compose.yml.

    On this machine without the workers: they come and go with generations, so their supervisor says where they are.
    """
    where = "of `migex up` with the default settings" if local else "in the containers of docker-compose.yml"
    lines = [f"# Where the processes {where} answer; made by `make generate`."]
    for process in [name for name in settings.PROCESSES if not (local and name in AGENTS)]:
        host, port = settings.Settings().address(process)
        lines.append(f'- {{targets: ["{host if local else process}:{port}"], labels: {{process: {process}}}}}')
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/commands.md": commands_page,
    "docs/errors.md": errors_page,
    "docs/errors.ru.md": lambda: errors_page_in("ru"),
    "docs/errors.be.md": lambda: errors_page_in("be"),
    "docs/crash-points.md": crash_points_page,
    "docs/families.md": reference.families_page,
    "docs/families-by-door.md": families_by_door.page,
    "docs/events.md": reference.events_page,
    "docs/tables.md": reference.tables_page,
    "ARCHITECTURE.md": architecture_page,
    "ops/prometheus/targets.yml": lambda: targets(local=True),
    "ops/prometheus/targets.compose.yml": lambda: targets(local=False),
    "ops/grafana/dashboard.json": dashboard.text,
}
"""Every page that is made, by its path from the root."""


def sources(package: str) -> list[Path]:
    """Return the hand-written modules of a package, in the order of the directory."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", f"{package}/*.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = sorted(ROOT / name for name in listing.split("\0") if name)
    return [path for path in paths if path.exists() and "schemas/events/" not in path.as_posix()]


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.:;]) (?=[A-Z])", paragraph)[0].rstrip(":")


def raised() -> Iterator[tuple[str, str, str, str]]:
    """Yield class, code, what is said, and module of every error that the code raises under a code of its own."""
    for package in PACKAGES:
        for path in sources(package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts = _texts(tree)
            module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    names = {name: text for line, name, text in texts if line < node.lineno}  # the nearest one above
                    for kind, code, said in _coded(node.func.id, node.args, names):
                        yield kind, code, said.replace("|", "\\|"), module


def _coded(name: str, arguments: Sequence[ast.expr], names: Mapping[str, ast.expr]) -> Iterator[tuple[str, str, str]]:
    """Yield class, code and what is said, where a call makes an error with a code of its own."""
    if name in CLASSES and name not in _SAID and len(arguments) > 1:
        yield name, _text(arguments[0], names), _text(arguments[1], names)
    elif name in _SAID and len(arguments) > _SAID[name]:
        codes = [each.value for each in arguments[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if codes and codes[0] not in catalogue():
            yield "refused", codes[0], _text(arguments[_SAID[name]], names)


def _texts(tree: ast.Module) -> list[tuple[int, str, ast.expr]]:
    """Return line, name and text of every text that the module gives a name, from the top."""
    found = [
        (node.lineno, target.id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return sorted(found, key=lambda text: text[0])


def _text(node: ast.expr, names: Mapping[str, ast.expr]) -> str:
    """Return a text as far as it is known before it is said; what is filled in then stands as …."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and node.id in names:
        return _text(names[node.id], names)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, names)
    return "…"


def _in(package: str, path: Path) -> str:
    return path.relative_to(ROOT / package).as_posix()


def main() -> None:
    """Write every page anew."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
