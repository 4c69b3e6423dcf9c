"""The commands about an agency's outbox; each imports what it needs when it is called, as in `ops.cli`."""

# ruff: noqa: PLC0415

from __future__ import annotations

from typing import Literal

from cyclopts import App, Parameter

app = App(
    name="outbox",
    help="An agency's outbox: a table of its own database, whose rows are brought to the gateway.",
    group="Events and figures",
    default_parameter=Parameter(negative=()),
)


@app.command(name="sql")
def sql(*, dialect: Literal["postgresql", "sqlite"] = "postgresql") -> None:
    """Print the SQL that makes the outbox, with the rights it needs.

    Args:
        dialect: postgresql or sqlite.
    """
    import sys

    from connectors.outbox.database import definition

    sys.stdout.write(definition(dialect))


@app.command(name="run")
def run() -> None:
    """Bring the rows to the gateway and write the verdicts back, until SIGTERM. Runs where the database is."""
    from ops import logs, outbox
    from ops.settings import load

    settings = load()
    logs.set_up(settings.logs.level, process="outbox")
    outbox.run(settings)


@app.command(name="status")
def status(*, json: bool = False) -> int:
    """Show what waits, what was answered, and which numbers are missing. Exit status 1 while the gateway takes nothing.

    Args:
        json: Print JSON.
    """
    from ops import outbox
    from ops.console import console
    from ops.settings import load

    found = outbox.status(load())
    if json:
        console().print_json(data=found)
    else:
        gaps = found.pop("gaps")
        for name, value in found.items():
            console().print(f"{name:16}{'-' if value is None else value}", highlight=False, soft_wrap=True)
        for gap in gaps:
            said = "{missing} of {first_seq} to {last_seq}, {state}".format(**gap)
            console().print(f"{'missing':16}{said}", highlight=False, soft_wrap=True)
    return 1 if found["error"] else 0
