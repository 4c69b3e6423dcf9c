"""Rows: the events of an agency's file, one by one, whatever its form; see `connectors.rows.reading`."""

from connectors.rows.mapping import BY_FIELD, TableMapping, load
from connectors.rows.reading import CSV, SUFFIXES, XLSX, Row, kind_of, portion, rows

__all__ = ["BY_FIELD", "CSV", "SUFFIXES", "XLSX", "Row", "TableMapping", "kind_of", "load", "portion", "rows"]
