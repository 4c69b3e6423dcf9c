"""Observations as rows of plain values: the columns that all machine formats share.

SDMX's names and codes (conventions, sections 4 and 10). INDICATOR stands only in a table of several measures.
"""

from __future__ import annotations

from collections.abc import Iterator

from connectors.feed_store import iso
from connectors.table_view import INTERNAL, TableView

INDICATOR = "INDICATOR"
ATTRIBUTES = ("OBS_STATUS", "CONF_STATUS", "UNIT_MEASURE", "UNIT_MULT", "CUT", "AFTER_FINAL")
UNIT_MULT = "0"  # figures are in units, not in thousands


def columns(view: TableView) -> list[str]:
    """Return the names of the columns: dimensions, the measure, attributes."""
    indicator = [INDICATOR] if len(view.measures) > 1 else []
    own = [dimension.id for dimension in view.dimensions]
    return ["REF_AREA", *own, *indicator, "TIME_PERIOD", "OBS_VALUE", *ATTRIBUTES]


def rows(view: TableView) -> Iterator[list[str]]:
    """Yield one row per observation, in the order of `columns`."""
    several = len(view.measures) > 1
    for seen in view.observations:
        yield [
            view.ref_area,
            *seen.codes,
            *([seen.measure.id] if several else []),
            seen.period,
            str(seen.value),
            seen.status,
            INTERNAL,
            seen.measure.unit,
            UNIT_MULT,
            iso(seen.cut),
            "Y" if seen.after_final else "N",
        ]
