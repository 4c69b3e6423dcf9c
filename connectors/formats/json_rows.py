"""JSON: what the table is, as of which cut, and its observations as objects."""

from __future__ import annotations

import orjson

from connectors.feed_store import iso
from connectors.formats.rows import columns, rows
from connectors.table_view import TableView

MEDIA_TYPE = "application/json"


def render(table: TableView) -> str:
    """Return the table as one JSON object; OBS_VALUE is a number, everything else in an observation a string."""
    names = columns(table)
    observations = [dict(zip(names, row, strict=True)) for row in rows(table)]
    whole = {
        "table": table.id,
        "structure": table.structure_id,
        "title": dict(table.title),
        "freq": table.freq,
        "cut": iso(table.cut),
        "generation": table.generation,
        "protected": False,  # no disclosure control: for the committee only
        "dimensions": [dimension.id for dimension in table.dimensions],
        "measures": [{"id": measure.id, "unit": measure.unit} for measure in table.measures],
        "observations": [{**seen, "OBS_VALUE": int(seen["OBS_VALUE"])} for seen in observations],
    }
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode() + "\n"
