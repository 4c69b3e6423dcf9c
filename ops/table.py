"""`migex table`: a table of the feed store, as the feed's server would show it."""

from __future__ import annotations

import os
import sys
from contextlib import closing

from connectors.feed_store import FeedStore
from connectors.formats.text import WIDTH
from connectors.table_query import MAX_CHANGES, Question, Style, Tables
from ops.settings import Settings
from schemas.codelists import CodeLists
from schemas.conventions import load


def main(question: Question, style: Style, changes: bool, settings: Settings, *, generation: int | None = None) -> None:
    """Print the table, or how its cells changed; see `show` for what is raised."""
    sys.stdout.write(show(question, style, changes, settings, generation=generation))


def show(question: Question, style: Style, changes: bool, settings: Settings, *, generation: int | None = None) -> str:
    """Return the table, or how its cells changed, read from the store without the feed's server.

    It is as a generation has it; None: as the current one has it.

    Raises Refused, naming the option, for a question that has no answer; Misconfigured or Unavailable for the store.
    """
    convention = load(settings.convention)
    lists = CodeLists.load(*convention.codelist_directories)
    with closing(FeedStore(settings.feed_url, settings.generation)) as store:
        tables = Tables(store, convention, lists).shown(generation)
        asked = tables.ask(question)
        if changes:
            return tables.render_changes(asked.table, tables.changes(asked, limit=MAX_CHANGES), style)
        return tables.render(tables.read(asked), style)


def width() -> int:
    """Return the columns of the terminal that standard output is, else the width of text anywhere."""
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else WIDTH
