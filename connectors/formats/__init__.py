"""Formats of a table; a format is no transport: each renders a `TableView` and knows no network."""
