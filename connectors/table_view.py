"""A table as it is read: from cells to observations, with what is derived on the way.

Inside, a table may be finer than what is sent: internal dimensions are summed out. A net and the totals over areas are
made here and stored nowhere (law L7). Pure: the same cells, cut and convention give the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from connectors.feed_store.cells import Cell
from schemas.codelists import CodeLists
from schemas.conventions import Convention
from schemas.periods import last_day
from streams.dataflows.definition import Dataflow, Dimension, Measure, Net

FINAL, PROVISIONAL = "A", "P"
"""OBS_STATUS (SDMX CL_OBS_STATUS): normal value, here final; provisional value."""

INTERNAL = "N"
"""CONF_STATUS of all observations, internal use: small counts are unprotected until disclosure control at release."""

TOTAL = "_T"
GROUPS = ("CIS", "EAEU")
"""Groups of areas that totals are made for; who belongs to them stands in AREA_GROUP, with dates."""

VERSION = "1.0"
"""Version of the tables' structure (SDMX)."""

AREA = "AREA"
NO_COUNTRY = frozenset({"STLS", "UNK"})


class Observation(NamedTuple):
    """One figure of a table: a measure at one combination of codes in one period."""

    period: str
    codes: tuple[str, ...]  # in the order of the view's dimensions
    measure: Measure
    value: int
    status: str  # OBS_STATUS: FINAL or PROVISIONAL
    cut: int  # the cut of the last change of any cell in it, seconds since 1970-01-01T00:00Z
    after_final: bool  # that change came after the figure had become final
    total: bool  # a sum over other observations of this view; to add it up again would count twice


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as of a cut, ready for any format."""

    id: str
    title: Mapping[str, str]  # by language
    maintainer: str  # SDMX agency id
    ref_area: str  # ISO 3166-1 alpha-2
    freq: str  # SDMX CL_FREQ
    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    observations: tuple[Observation, ...]  # ascending by codes as their lists have them, then period, then measure
    cut: int  # seconds since 1970-01-01T00:00Z
    generation: int
    labels: Labels

    @property
    def structure_id(self) -> str:
        """The dataflow as SDMX names it: AGENCY:ID(VERSION)."""
        return f"{self.maintainer}:{self.id}({VERSION})"


class Labels:
    """What the codes of dimensions are called, and in which order they stand."""

    def __init__(self, lists: CodeLists) -> None:
        self._lists = lists
        self._countries = {row["alpha2"]: row["code"] for row in reversed(lists["COUNTRY"].rows)}
        self._places: dict[str, dict[str, int]] = {}

    def label(self, dimension: Dimension, code: str, lang: str) -> str | None:
        """Return a code's label in a language, or None when its list does not have the code."""
        codelist = dimension.codelist
        if codelist is not None and codelist in self._lists and code in self._lists[codelist]:
            return self._lists[codelist].label(code, lang)
        if codelist == AREA and code in self._countries:
            return self._lists["COUNTRY"].label(self._countries[code], lang)
        return None

    def place(self, dimension: Dimension, code: str) -> tuple[int, str]:
        """Return what sorts codes as their list does: totals first, unknown ones last; areas by code."""
        if code == TOTAL:
            return -2, code
        if dimension.codelist == AREA:
            return (-1 if code in GROUPS else int(code in NO_COUNTRY)), code
        return self._order(dimension.codelist).get(code, 1 << 30), code

    def _order(self, codelist: str | None) -> dict[str, int]:
        if codelist is None or codelist not in self._lists:
            return {}
        return self._places.setdefault(codelist, {code: n for n, code in enumerate(self._lists[codelist])})


class Source(NamedTuple):
    """What a table is made by: its definition, the convention and the code lists."""

    flow: Dataflow
    convention: Convention
    lists: CodeLists


class Edition(NamedTuple):
    """Which cells are shown: those of a generation, as of a cut (seconds since 1970-01-01T00:00Z)."""

    cut: int
    generation: int


@dataclass(slots=True)
class _Row:
    """A sum of cells; `cut` is the newest of theirs."""

    facts: int
    measures: tuple[int, ...]
    cut: int
    total: bool = False


_Key = tuple[str, tuple[str, ...]]  # period, codes
_Rows = dict[_Key, _Row]


def view(
    source: Source, cells: Iterable[Cell], edition: Edition, *, detail: bool = False, totals: bool = False
) -> TableView:
    """Return the table that the cells make, those that are gone among them (`FeedStore.cells_and_gone`).

    `detail` keeps internal dimensions, `totals` adds rows for all areas together and for the groups of countries.
    """
    flow, convention, lists = source
    rows = _published(flow.dimensions, cells, detail)
    dimensions = tuple(d for d in flow.dimensions if detail or not d.internal)
    if flow.net is not None:
        _add_net(rows, dimensions, flow.net)
    if totals:
        _add_totals(rows, dimensions, lists)
    labels = Labels(lists)
    return TableView(
        id=flow.id,
        title=convention.tables[flow.id].title,
        maintainer=convention.maintainer,
        ref_area=convention.country,
        freq=flow.freq,
        dimensions=dimensions,
        measures=flow.measures,
        observations=tuple(_observations(source, rows, edition.cut, dimensions, labels)),
        cut=edition.cut,
        generation=edition.generation,
        labels=labels,
    )


def _published(dimensions: tuple[Dimension, ...], cells: Iterable[Cell], detail: bool) -> _Rows:
    """Sum the cells over the internal dimensions, unless `detail` asks for them."""
    kept = [n for n, dimension in enumerate(dimensions) if detail or not dimension.internal]
    rows: _Rows = {}
    for cell in cells:
        _add(rows, (cell.period, tuple([cell.codes[n] for n in kept])), _Row(cell.facts, cell.measures, cell.cut))
    return rows


def _add(rows: _Rows, key: _Key, part: _Row, sign: int = 1) -> None:
    row = rows.get(key)
    if row is None:
        rows[key] = _Row(part.facts, tuple([sign * n for n in part.measures]), part.cut, part.total)
        return
    row.facts += part.facts
    row.measures = tuple([a + sign * b for a, b in zip(row.measures, part.measures, strict=True)])
    row.cut = max(row.cut, part.cut)


def _add_net(rows: _Rows, dimensions: tuple[Dimension, ...], net: Net) -> None:
    at = [dimension.id for dimension in dimensions].index(net.dimension)
    for (period, codes), row in list(rows.items()):
        if codes[at] in (net.plus, net.minus):
            key = (period, (*codes[:at], net.code, *codes[at + 1 :]))
            _add(rows, key, row, 1 if codes[at] == net.plus else -1)


def _add_totals(rows: _Rows, dimensions: tuple[Dimension, ...], lists: CodeLists) -> None:
    """Add rows over each dimension of areas: all together, and the groups as they stood on the period's last day."""
    members = {period: _groups(lists, period) for period, _ in rows}
    for at in [n for n, dimension in enumerate(dimensions) if dimension.codelist == AREA]:
        for (period, codes), row in list(rows.items()):
            part = _Row(row.facts, row.measures, row.cut, total=True)
            for wider in (TOTAL, *(group for group, areas in members[period].items() if codes[at] in areas)):
                _add(rows, (period, (*codes[:at], wider, *codes[at + 1 :])), part)


def _groups(lists: CodeLists, period: str) -> dict[str, frozenset[str]]:
    on = last_day(period)
    return {group: frozenset(lists.members(group, on)) for group in GROUPS}


def _observations(
    source: Source, rows: _Rows, cut: int, dimensions: tuple[Dimension, ...], labels: Labels
) -> Iterator[Observation]:
    final = {period: source.convention.final_at(source.flow.id, period) for period, _ in rows}
    places: list[dict[str, tuple[int, str]]] = [
        {code: labels.place(dimension, code) for code in {codes[n] for _, codes in rows}}
        for n, dimension in enumerate(dimensions)
    ]
    shown = [(key, row) for key, row in rows.items() if row.facts]
    shown.sort(key=lambda pair: ([place[code] for place, code in zip(places, pair[0][1], strict=True)], pair[0][0]))
    for (period, codes), row in shown:
        status = FINAL if cut >= final[period] else PROVISIONAL
        for measure, value in zip(source.flow.measures, row.measures, strict=True):
            yield Observation(period, codes, measure, value, status, row.cut, row.cut > final[period], row.total)
