"""The commands about keys; each imports what it needs when it is called, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(
    name="keys",
    help="Keys of people and bodies: rotate, destroy, check.",
    group="System",
    default_parameter=Parameter(negative=()),
)


@app.command(name="list")
def list_() -> None:
    """Show the level of link keys at the doors and in each generation, and every key of bodies."""
    from ops import keys
    from ops.console import console
    from ops.generations.site import site
    from ops.settings import load

    with site(load()) as at:
        keys.show(at, console())


@app.command(name="rotate")
def rotate() -> int:
    """Make the next link key, and a generation that counts everything anew by it. Nobody sends again."""
    from ops import keys
    from ops.console import console
    from ops.generations.site import site
    from ops.settings import load

    with site(load()) as at:
        return keys.rotate(at, console())


@app.command(name="rotate-kek")
def rotate_kek() -> int:
    """Make a new key-encryption key, wrap all keys of bodies by it, and remove the old one. Doors go on meanwhile."""
    from ops import keys
    from ops.console import console
    from ops.settings import load

    return keys.rotate_kek(load(), console())


@app.command(name="destroy")
def destroy(*, agency: str, month: str) -> int:
    """Destroy the key of an agency's bodies of one month, for ever. Figures stay.

    Args:
        agency: Code of the agency, e.g. gpk.
        month: The month (UTC) in which the doors accepted them, e.g. 2026-11; it must be over.
    """
    from ops import keys
    from ops.console import console
    from ops.settings import load

    return keys.destroy(load(), agency, month, console())


@app.command(name="check")
def check(
    *,
    source: Annotated[Literal["topic", "archive"], Parameter(name="--from")] = "topic",
    archive: Path | None = None,
) -> int:
    """Try to open every body in the inbox, and say what came of it by agency and month.

    Exit status 1 when one cannot be read that was not destroyed on purpose.

    Args:
        source: topic: the archive, then what the topic holds beyond it; archive: the archive alone, without Kafka.
        archive: Directory of the archive. Default: MIGEX_ARCHIVE__DIRECTORY.
    """
    from ops import keys
    from ops.console import console
    from ops.settings import load

    settings = load()
    directory = archive or settings.archive_directory
    return keys.check(settings, directory, offline=source == "archive", console=console())
