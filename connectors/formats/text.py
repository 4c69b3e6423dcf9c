"""Text for a terminal: rows by codes, periods as columns, sums below, and what a reader must know around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from connectors.feed_store import iso
from connectors.formats.layout import Line, lay_out
from connectors.formats.rows import INDICATOR
from connectors.formats.words import number, word
from connectors.table_view import FINAL, PROVISIONAL, Observation, TableView

MEDIA_TYPE = "text/plain; charset=utf-8"
WIDTH = 120
"""Columns of a line, unless the reader says otherwise."""


def render(table: TableView, lang: str = "en", width: int = WIDTH) -> str:
    """Return the table as text in one of `words.LANGUAGES`, in lines of at most `width` columns if possible.

    A dimension with one code only goes into the head. Where not all periods fit, the table goes on in a second block.
    """
    sheet = _Sheet(table, lang)
    body = sheet.body(width) if table.observations else [word("empty", lang)]
    return "\n".join([*_head(table, lang), *sheet.fixed(), "", *body, "", *_foot(table, lang)]) + "\n"


class _Sheet(NamedTuple):
    """A table in one language."""

    table: TableView
    lang: str

    def varying(self) -> list[int]:
        """Return the places of the dimensions that have several codes."""
        seen = self.table.observations
        return [n for n, _ in enumerate(self.table.dimensions) if len({each.codes[n] for each in seen}) > 1]

    def fixed(self) -> Iterator[str]:
        """Yield a line for each dimension that has one code."""
        varying = self.varying()
        for n, dimension in enumerate(self.table.dimensions):
            if n not in varying and self.table.observations:
                yield f"{word(dimension.id, self.lang)}: {self.label(n, self.table.observations[0].codes[n])}"

    def body(self, width: int) -> list[str]:
        """Return the lines of the table itself."""
        shown = self.varying()
        heads = [word(self.table.dimensions[n].id, self.lang) for n in shown]
        if self.says_measure(shown):
            heads.append(word(INDICATOR, self.lang))
        statuses = {each.period: each.status for each in self.table.observations}
        mixed = len(set(statuses.values())) > 1
        columns = {p: f"{p} P" if mixed and statuses[p] == PROVISIONAL else p for p in sorted(statuses)}
        lines = self.lines(shown)
        return lay_out(heads, columns, lines, self.sums(shown) if len(lines) > 1 else [], width)

    def lines(self, shown: Sequence[int]) -> list[Line]:
        """Return a row for each combination of codes and measure."""
        starred = not all(each.after_final for each in self.table.observations)
        lines: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, str]]] = {}
        for seen in self.table.observations:
            labels = (*(self.label(n, seen.codes[n]) for n in shown), *self.measure(seen, shown))
            star = "*" if starred and seen.after_final else ""
            lines.setdefault((*seen.codes, seen.measure.id), (labels, {}))[1][seen.period] = (
                number(seen.value, self.lang) + star
            )
        return [Line(*line) for line in lines.values()]

    def sums(self, shown: Sequence[int]) -> list[Line]:
        """Return a row of sums for each measure and code of the first dimension: entries are not added to exits."""
        sums: dict[tuple[str, str], tuple[tuple[str, ...], dict[str, int]]] = {}
        for seen in self.table.observations:
            if seen.total:
                continue
            of = f": {self.label(0, seen.codes[0])}" if 0 in shown else ""
            lead = (word("sum", self.lang) + of, *[""] * (len(shown) - 1))[: len(shown)]
            line = sums.setdefault((seen.codes[0], seen.measure.id), ((*lead, *self.measure(seen, shown)), {}))
            line[1][seen.period] = line[1].get(seen.period, 0) + seen.value
        return [Line(labels, {p: number(n, self.lang) for p, n in of.items()}) for labels, of in sums.values()]

    def says_measure(self, shown: Sequence[int]) -> bool:
        """Whether the measure has a column of its own: when there are several, or nothing else is left to say."""
        return len(self.table.measures) > 1 or not shown

    def measure(self, seen: Observation, shown: Sequence[int]) -> tuple[str, ...]:
        """Return the measure's name, where it has a column."""
        return (word(seen.measure.id, self.lang),) if self.says_measure(shown) else ()

    def label(self, n: int, code: str) -> str:
        """Return what a code of the n-th dimension is called."""
        return self.table.labels.label(self.table.dimensions[n], code, self.lang) or word(code, self.lang)


def _head(table: TableView, lang: str) -> Iterator[str]:
    measures = ", ".join(word(measure.id, lang) for measure in table.measures)
    title = table.title.get(lang) or next(iter(table.title.values()))
    yield f"{table.id}  {title}"
    yield f"{table.structure_id}, {table.ref_area}, {word(table.freq, lang)}: {measures}"
    yield f"{word('cut', lang)} {iso(table.cut)}, {word('generation', lang)} {table.generation}"


def _foot(table: TableView, lang: str) -> Iterator[str]:
    statuses = {seen.status for seen in table.observations}
    late = [seen.after_final for seen in table.observations]
    if statuses:
        every = "every-final" if statuses == {FINAL} else "every-provisional"
        yield word(every if len(statuses) == 1 else "some-provisional", lang)
    if any(late):
        yield word("every-after-final" if all(late) else "after-final", lang)
    if len(table.measures) > 1 and any(measure.unit == "PS" for measure in table.measures):
        yield word("persons-overlap", lang)
    yield word("unprotected", lang)
