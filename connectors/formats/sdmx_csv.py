"""SDMX-CSV 2.0, the data message of SDMX 3.0 as the SDMX technical working group's field guide states it.

The structure's kind and id and the action come first, then dimensions, measure and attributes as the structure orders
them; codes only (labels=id), time as recorded (timeFormat=original), no series keys.
"""

from __future__ import annotations

import csv
from io import StringIO

from connectors.formats.rows import columns, rows
from connectors.table_view import TableView

MEDIA_TYPE = "application/vnd.sdmx.data+csv; version=2.0.0; charset=utf-8"
INFORMATION = "I"
"""ACTION: data for information; a receiver that loads it appends."""


def render(table: TableView) -> str:
    """Return the table as SDMX-CSV 2.0."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["STRUCTURE", "STRUCTURE_ID", "ACTION", "FREQ", *columns(table)])
    lead = ["dataflow", table.structure_id, INFORMATION, table.freq]
    writer.writerows([*lead, *row] for row in rows(table))
    return out.getvalue()
