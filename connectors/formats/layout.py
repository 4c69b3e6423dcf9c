"""Fixed-width layout of a table: labels left, figures right, periods in as many blocks as the width needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

NONE = "-"
"""Stands where no fact is (magnitude nil)."""

_LABEL_WIDTH = 32  # a longer label goes on in the next line
_GAP = 2


class Line(NamedTuple):
    """One row of a table."""

    labels: tuple[str, ...]
    figures: Mapping[str, str]  # column -> figure as shown


def lay_out(
    heads: Sequence[str], columns: Mapping[str, str], lines: Sequence[Line], sums: Sequence[Line], width: int
) -> list[str]:
    """Return the table's lines, each at most `width` wide where at least one column fits.

    `heads` are the titles over the labels, `columns` the titles over the figures, by column.
    """
    labels = [_wrapped(line.labels) for line in (*_unrepeated(lines), *sums)]
    label_widths = [max(len(head), *(len(text) for row in labels for text in row[n])) for n, head in enumerate(heads)]
    widths = {
        column: max(len(title), *(len(line.figures.get(column, NONE)) for line in (*lines, *sums)))
        for column, title in columns.items()
    }
    out: list[str] = []
    for block in _blocks(widths, width - sum(label_widths) - _GAP * len(label_widths)):
        used = [widths[column] for column in block]
        rule = "─" * (sum(label_widths) + sum(used) + _GAP * (len(label_widths) + len(used) - 1))
        rows = [
            _row(label, [line.figures.get(column, NONE) for column in block], label_widths, used)
            for label, line in zip(labels, (*lines, *sums), strict=True)
        ]
        head = _row([[head] for head in heads], [columns[column] for column in block], label_widths, used)
        body = [text for row in rows[: len(lines)] for text in row]
        below = [text for row in rows[len(lines) :] for text in row]
        out += [*([""] if out else []), *head, rule, *body, *([rule, *below] if below else [])]
    return out


def _unrepeated(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield the lines without the labels that the line above has already said."""
    above: tuple[str, ...] = ()
    for line in lines:
        same = 0
        while same < min(len(above), len(line.labels) - 1) and above[same] == line.labels[same]:
            same += 1
        yield Line(("",) * same + line.labels[same:], line.figures)
        above = line.labels


def _wrapped(labels: Sequence[str]) -> list[list[str]]:
    return [wrap(label, _LABEL_WIDTH) or [""] for label in labels]


def _blocks(widths: Mapping[str, int], room: int) -> Iterator[list[str]]:
    """Divide the columns into blocks that fit into the room, at least one column each."""
    block: list[str] = []
    used = 0
    for column, width in widths.items():
        if block and used + width + _GAP * len(block) > room:
            yield block
            block, used = [], 0
        block.append(column)
        used += width
    if block:
        yield block


def _row(
    labels: Sequence[Sequence[str]], figures: Sequence[str], left: Sequence[int], right: Sequence[int]
) -> list[str]:
    """Return one row, of as many lines as its longest label needs; the figures stand in the first of them."""
    height = max((len(label) for label in labels), default=1)
    gap = " " * _GAP
    out = []
    for n in range(height):
        cells = [(label[n] if n < len(label) else "").ljust(size) for label, size in zip(labels, left, strict=True)]
        if n == 0:
            cells += [figure.rjust(size) for figure, size in zip(figures, right, strict=True)]
        out.append(gap.join(cells).rstrip())
    return out
