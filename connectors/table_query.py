"""Questions to the feed: what a reader may ask for, checked, and answered from the store.

The server and the command line ask through the same functions, so that they cannot answer differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from connectors.feed_store import BookRow, Change, Cut, FeedStore, balance, iso
from connectors.formats import changes as changes_format
from connectors.formats import csv, json_rows, sdmx_csv, text
from connectors.formats.words import LANGUAGES
from connectors.table_view import Edition, Source, TableView, view
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.errors import Reason, Refused
from schemas.periods import first_day, last_day, period_of
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Dataflow

FORMATS: Mapping[str, str] = {
    "text": text.MEDIA_TYPE,
    "csv": csv.MEDIA_TYPE,
    "sdmx-csv": sdmx_csv.MEDIA_TYPE,
    "json": json_rows.MEDIA_TYPE,
}
"""Formats of a table, with their media types."""

CHANGE_FORMATS = ("text", "csv", "json")
"""Formats of a table's changes; SDMX has none."""

MAX_CHANGES = 100_000
_EPOCH = date(1970, 1, 1)
_YEAR_10000 = 253_402_300_800  # in seconds since 1970


@dataclass(frozen=True, slots=True)
class Question:
    """Which part of a table a reader asks for, as the reader wrote it; None: not said."""

    table: str
    first: str | None = None  # period, of any frequency
    last: str | None = None
    cut: str | None = None  # ISO 8601 with a zone, or seconds since 1970-01-01T00:00Z
    detail: bool = False  # with the internal dimensions
    totals: bool = False  # with rows for groups of areas


class Asked(NamedTuple):
    """A checked question: its answer never changes, because its cut is complete."""

    table: str
    first: str | None  # period of the table's own frequency; None: from the first
    last: str | None
    cut: int  # seconds since 1970-01-01T00:00Z
    detail: bool
    totals: bool


@dataclass(frozen=True, slots=True)
class Style:
    """How an answer is to look."""

    format: str = "text"
    lang: str | None = None  # None: the convention's first
    width: int = text.WIDTH  # of text, in columns


class Tables:
    """The tables of a convention, read from a feed store as one generation has it."""

    def __init__(self, store: FeedStore, convention: Convention, lists: CodeLists) -> None:
        self._store = store
        self._convention = convention
        self._lists = lists

    @property
    def generation(self) -> int:
        """The generation whose figures are shown."""
        return self._store.generation

    def shown(self, asked: int | None = None) -> Tables:
        """Return the tables as readers see them: of the generation they ask for, else of the current one.

        Raises Refused for a generation that is not there.
        """
        return Tables(self._store.shown(asked), self._convention, self._lists)

    def flows(self) -> list[Dataflow]:
        """Return the definitions of the tables that the convention has."""
        return [flow for name, flow in DATAFLOWS.items() if name in self._convention.tables]

    def periods(self, table: str) -> tuple[str, str] | None:
        """Return the first and the last period of a table at the latest cut, or None when it has no cell."""
        return self._store.periods(table)

    def cuts(self, newest: int = 1) -> list[Cut]:
        """Return the newest complete cuts, newest first."""
        return self._store.cuts(newest)

    def ask(self, question: Question) -> Asked:
        """Return the question as it will be answered, now and ever; raises Refused for one that has no answer."""
        flow = self._flow(question.table)
        first, last = _span(flow, question)
        cut = self._store.cut_at(instant_of(question.cut)).tick
        return Asked(flow.id, first, last, cut, question.detail, question.totals)

    def read(self, asked: Asked) -> TableView:
        """Return the part of the table that is asked for."""
        flow = self._flow(asked.table)
        cells = self._store.cells_and_gone(flow.id, asked.first, asked.last, asked.cut)
        source, edition = Source(flow, self._convention, self._lists), Edition(asked.cut, self.generation)
        return view(source, cells, edition, detail=asked.detail, totals=asked.totals)

    def changes(self, asked: Asked, after: str | None = None, limit: int = 1000) -> list[Change]:
        """Return how the table's cells changed up to the cut, with their internal dimensions.

        `after` is what `place_behind` says of the last change that the reader has; raises Refused for another text.
        """
        place = _place(after)
        return self._store.changes(
            asked.table, asked.first, asked.last, after=place, until=asked.cut, limit=min(limit, MAX_CHANGES)
        )

    def render(self, table: TableView, style: Style) -> str:
        """Return the table in one of `FORMATS`; raises Refused for a format or language that we do not have."""
        _require_one_of("format-unknown", "format", style.format, tuple(FORMATS))
        if style.format == "text":
            return text.render(table, self._language(style), style.width)
        return {"csv": csv.render, "sdmx-csv": sdmx_csv.render, "json": json_rows.render}[style.format](table)

    def render_changes(self, table: str, changes: list[Change], style: Style) -> str:
        """Return the changes in one of `CHANGE_FORMATS`; raises Refused as `render` does."""
        _require_one_of("format-unknown", "format", style.format, CHANGE_FORMATS)
        sheet = changes_format.Sheet(self._flow(table), changes)
        if style.format == "text":
            return sheet.text(self._language(style))
        return sheet.csv() if style.format == "csv" else sheet.json()

    def books(self, cut: str | None = None) -> dict[str, Any]:
        """Return the books as of a cut, with the equations they must satisfy (law L5); raises Refused."""
        at = self._store.cut_at(instant_of(cut)).tick
        rows = [self._book(row) for row in self._store.books(at)]
        even = all(equation["difference"] == 0 for row in rows for equation in row["equations"])
        return {"cut": iso(at), "generation": self.generation, "balanced": even, "books": rows}

    def _book(self, row: BookRow) -> dict[str, Any]:
        agencies = {agency.id: code for code, agency in self._convention.agencies.items()}
        families = {family.id: name for name, family in FAMILIES.items()}
        return {
            "agency": agencies.get(row.agency, "unknown"),
            "family": families.get(row.family, "unknown"),
            "counts": dict(row.counts),
            "equations": [equation._asdict() for equation in balance(row)],
        }

    def _flow(self, table: str) -> Dataflow:
        flows = {flow.id: flow for flow in self.flows()}
        if table not in flows:
            raise refused("table-unknown", "table", f"The tables are {', '.join(flows)}.", "Ask for one of them.")
        return flows[table]

    def _language(self, style: Style) -> str:
        lang = style.lang or self._convention.languages[0]
        _require_one_of("language-unknown", "lang", lang, LANGUAGES)
        return lang


def instant_of(text: str | None) -> int | None:
    """Return an instant in seconds since 1970-01-01T00:00Z; raises Refused for text that is none, None for None."""
    if text is None:
        return None
    try:
        seconds = int(text) if text.isascii() and text.isdigit() else _seconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds < _YEAR_10000:
        rule = (
            "A cut is an instant from 1970 to 9999 of ISO 8601 with its zone, or its seconds since 1970-01-01T00:00Z."
        )
        raise refused("cut-form", "cut", rule, "Write it as 2018-03-01T00:00:00Z.")
    return seconds


def _seconds(at: datetime) -> int:
    return -1 if at.tzinfo is None else int(at.timestamp())


def place_behind(change: Change) -> str:
    """Return the place behind a change in the list of all changes: cut, period and codes."""
    return f"{change.cut},{change.period},{'|'.join(change.codes)}"


def refused(code: str, field: str, rule: str, remedy: str) -> Refused:
    """Return the refusal of a question for one reason."""
    return Refused((Reason(code, field, rule, remedy),))


def _place(text: str | None) -> tuple[int, str, str]:
    if text is None:
        return -1, "", ""
    cut, _, rest = text.partition(",")
    period, _, codes = rest.partition(",")
    if not (cut.isascii() and cut.isdigit() and len(cut) < 12 and codes):
        raise refused("after-form", "after", "It must be what the page before gave.", "Take `next` from its answer.")
    return int(cut), period, codes


def _require_one_of(code: str, field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise refused(code, field, f"It must be one of {', '.join(known)}.", "Ask for one of them.")


def _span(flow: Dataflow, question: Question) -> tuple[str | None, str | None]:
    """Return the first and last period of the table's own frequency; a year asked of a monthly table is 12 months."""
    first = _period("from", question.first, flow.freq, first_day) if question.first else None
    last = _period("to", question.last, flow.freq, last_day) if question.last else None
    if first is not None and last is not None and first > last:
        raise refused("period-order", "from", "It must not lie after `to`.", "Exchange the two.")
    return first, last


def _period(field: str, text: str, freq: str, day_of: Any) -> str:
    try:
        day: date = day_of(text)
    except ValueError as error:
        raise refused("period-form", field, str(error), "Write it in one of these ways.") from None
    return period_of((day - _EPOCH).days, freq)
