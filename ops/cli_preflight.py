"""The command that checks a file; it imports what it needs when it is called, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal


def preflight(
    file: Path,
    /,
    *,
    family: str,
    agency: str,
    mapping: Path | None = None,
    format: Literal["json", "csv"] = "csv",  # noqa: A002  # the option's name
    lang: Literal["en", "ru", "be"] = "en",
    offline: bool = False,
) -> int:
    """Check a file of events (CSV, XLSX, JSON Lines, JSON, Avro) row by row; nothing is published.

    Exit status 1 unless every row would be accepted. Where the system runs on this host, repeats of what the agency has
    published are told too. The summary goes to standard error.

    Args:
        file: File of events; how its name ends says what it is.
        family: Event family, e.g. border.crossing.
        agency: Code of the agency, e.g. gpk.
        mapping: YAML file that says which column is which field, see docs/rows.md.
        format: Of the verdicts: csv or json.
        lang: Language of rules and remedies.
        offline: Ask nobody what is published.
    """
    from ops import preflight as check
    from ops.settings import load

    wishes = check.Wishes(file, family, agency, mapping, format == "csv", lang, offline)
    return check.main(wishes, load(), sys.stdout.buffer)
