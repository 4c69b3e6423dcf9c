"""Changes of a table's cells: when, from what to what, and why; as text, CSV and JSON."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any, NamedTuple

import orjson

from connectors.feed_store import Change, iso
from connectors.formats.words import number, word
from streams.dataflows.definition import Dataflow
from streams.reconcile.cells import CAUSES


class Sheet(NamedTuple):
    """Changes of the cells of one table, as finely as they are kept: internal dimensions are shown."""

    flow: Dataflow
    changes: Sequence[Change]

    def csv(self) -> str:
        """Return one row per change: cut, codes, each measure before and after, and per cause facts in and out."""
        out = StringIO()
        writer = csv.writer(out, lineterminator="\n")
        measures = [name for m in self.flow.measures for name in (f"{m.id}_BEFORE", m.id)]
        causes = [f"{cause.replace('-', '_').upper()}_{way}" for cause in CAUSES for way in ("STATED", "WITHDRAWN")]
        writer.writerow(["CUT", "TIME_PERIOD", *(d.id for d in self.flow.dimensions), *measures, *causes])
        for change in self.changes:
            pairs = zip(change.measures_before, change.measures, strict=True)
            figures = [n for pair in pairs for n in pair]
            counts = [n for cause in CAUSES for n in change.causes.get(cause, (0, 0))]
            writer.writerow([iso(change.cut), change.period, *change.codes, *figures, *counts])
        return out.getvalue()

    def json(self) -> str:
        """Return an array with one object per change."""
        return (
            orjson.dumps([self._object(change) for change in self.changes], option=orjson.OPT_INDENT_2).decode() + "\n"
        )

    def text(self, lang: str) -> str:
        """Return one line per change: cut, cell, from what to what, and per cause facts in and out."""
        if not self.changes:
            return f"{word('no-changes', lang)}\n"
        dimensions = "|".join(dimension.id for dimension in self.flow.dimensions)
        head = (
            word("cut", lang),
            f"{self.flow.id}|TIME_PERIOD|{dimensions}",
            word("change", lang),
            word("causes", lang),
        )
        lines = [head, *(self._line(change, lang) for change in self.changes)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines) + "\n"

    def _line(self, change: Change, lang: str) -> tuple[str, str, str, str]:
        pairs = zip(change.measures_before, change.measures, strict=True)
        figures = ", ".join(f"{number(before, lang)} → {number(after, lang)}" for before, after in pairs)
        causes = [f"{word(cause, lang)} +{stated} −{gone}" for cause, (stated, gone) in change.causes.items()]
        cell = "|".join((change.table, change.period, *change.codes))
        return iso(change.cut), cell, figures, ", ".join(causes)

    def _object(self, change: Change) -> dict[str, Any]:
        return {
            "CUT": iso(change.cut),
            "TIME_PERIOD": change.period,
            **{d.id: code for d, code in zip(self.flow.dimensions, change.codes, strict=True)},
            "facts": [change.facts_before, change.facts],
            "figures": {
                m.id: [before, after]
                for m, before, after in zip(self.flow.measures, change.measures_before, change.measures, strict=True)
            },
            "causes": {cause: {"stated": n[0], "withdrawn": n[1]} for cause, n in change.causes.items()},
        }
