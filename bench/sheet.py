"""What a benchmark says: tables, aligned on the screen, and added to a report as Markdown or as lines of JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

Value = str | int | float | None


class Table(NamedTuple):
    """One table; the first column is text, the others are figures or text; notes stand below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str] = ()


class Sheet:
    """Where tables go: the screen, and the report files asked for."""

    def __init__(self, reports: Sequence[Path] = ()) -> None:
        """`*.json` and `*.jsonl` get one JSON object a table, other files Markdown; all are added to."""
        self._reports = list(reports)

    def add(self, table: Table) -> None:
        """Print a table and add it to the reports."""
        print(text(table), flush=True)
        for report in self._reports:
            report.parent.mkdir(parents=True, exist_ok=True)
            with report.open("a", encoding="utf-8") as file:
                file.write(as_json(table) if report.suffix in {".json", ".jsonl"} else markdown(table))


def asked(options: argparse.ArgumentParser) -> None:
    """Add `--report`, which may be given several times."""
    options.add_argument("--report", type=Path, action="append", default=[], metavar="FILE.md|FILE.json")


def text(table: Table) -> str:
    """Return the table with its columns aligned, the first to the left, the others to the right."""
    cells = [list(table.columns), *([_shown(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join(["", table.title, rule, lines[0], rule, *lines[1:], *(f"  {note}" for note in table.notes)])


def markdown(table: Table) -> str:
    """Return the table in Markdown, under a heading with the day and the machine."""
    lines = [f"### {table.title}", "", f"{_today()}, {machine()}", "", _bar(table.columns)]
    lines.append("|---" + "|--:" * (len(table.columns) - 1) + "|")
    lines += [_bar([_shown(value) for value in row]) for row in table.rows]
    lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n\n"


def as_json(table: Table) -> str:
    """Return the table as one line of JSON."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    content = {"at": _today(), "machine": machine(), "title": table.title, "rows": rows, "notes": list(table.notes)}
    return json.dumps(content, ensure_ascii=False) + "\n"


def machine() -> str:
    """Return what the figures were measured on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _today() -> str:
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(value: Value) -> str:
    """Return three or more significant digits: 37,314; 42.6; 0.583."""
    if value is None:
        return "-"
    if isinstance(value, float):
        size = abs(value)
        return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value
