"""The command about control totals; it imports what it needs when it is called, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from datetime import date
from pathlib import Path


def totals(
    *,
    agency: str | None = None,
    family: str | None = None,
    since: date | None = None,
    everything: bool = False,
    archive: Path | None = None,
) -> int:
    """Compare what agencies say they hold (`control.total`) with what the inbox holds. Exit status 1 when they differ.

    Args:
        agency: Totals of this agency only.
        family: Totals of this event family only.
        since: Those only whose last day is not before this one.
        everything: Show those that agree too.
        archive: Directory of the archive. Default: MIGEX_ARCHIVE__DIRECTORY.
    """
    from ops import totals as control
    from ops.console import console
    from ops.settings import load

    settings = load()
    wishes = control.Wishes(archive or settings.archive_directory, agency, family, since, everything)
    return control.main(wishes, settings, console())
