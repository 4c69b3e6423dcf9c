"""CSV: a header, then one row per observation; codes, no labels."""

from __future__ import annotations

import csv
from io import StringIO

from connectors.formats.rows import columns, rows
from connectors.table_view import TableView

MEDIA_TYPE = "text/csv; charset=utf-8"


def render(table: TableView) -> str:
    """Return the table as CSV (RFC 4180, with line feeds)."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns(table))
    writer.writerows(rows(table))
    return out.getvalue()
