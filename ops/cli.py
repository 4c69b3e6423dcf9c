"""The command `migex`. Each command imports what it needs when it is called, so that `--help` comes at once."""

# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from ops import cli_agency as agencies
from ops import cli_generation as generation
from ops import cli_kafka as kafka
from ops import cli_keys as keys
from ops import cli_outbox as outbox
from ops import cli_preflight as preflight
from ops import cli_totals as totals
from ops.processes import AGENTS, PROCESSES
from schemas.errors import MigexError, Misconfigured, Refused, Unavailable

if TYPE_CHECKING:
    from rich.console import Console

    from ops.settings import Settings
    from ops.status import Row

EXITS: tuple[tuple[type[MigexError], int], ...] = ((Refused, 65), (Unavailable, 75), (Misconfigured, 78))
"""Exit status by class of error, after sysexits(3); any other error of ours: 70."""

SYSTEM, PEOPLE, PARTS = "System", "Events and figures", "Parts (the supervisor starts them)"


def _version() -> str:
    from importlib.metadata import version

    return version("migex")


app = App(
    name="migex",
    version=_version,
    help="Turn the events of a country's agencies into migration figures that can be defended and recomputed.",
    help_flags=["--help", "-h"],
    default_parameter=Parameter(negative=()),
)
config = App(name="config", help="The settings: environment variables that begin with MIGEX_.", group=SYSTEM)
for _part in (kafka.broker, kafka.topics, kafka.acl, config, generation.app, outbox.app):
    app.command(_part)
app.command(agencies.app)
app.command(keys.app)
app.command(preflight.preflight, group=PEOPLE)
app.command(totals.totals, group=PEOPLE)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit; an error of ours is one line on standard error, never a traceback."""
    try:
        app(argv)
    except MigexError as error:
        sys.stderr.write(f"migex: {error}\n")
        sys.exit(next((status for kind, status in EXITS if isinstance(error, kind)), 70))
    except KeyboardInterrupt:
        sys.exit(130)


# --- System ---


@app.command(group=SYSTEM)
def up(*, foreground: bool = False) -> int:
    """Start the whole system on this machine and show it.

    Args:
        foreground: Stay and supervise from this terminal until Ctrl-C; the local Kafka then goes on until `migex down`.
    """
    from ops import system

    settings, console = _settings(), _console()
    if foreground:
        _log(settings, "supervisor")
        system.stay(settings, console)
        return 0
    system.up(settings, console)
    return _show_status(settings, console)


@app.command(group=SYSTEM)
def down(*, keep_broker: bool = False) -> None:
    """Stop the system, doors first, broker last. Data stays.

    Args:
        keep_broker: Leave the local Kafka running.
    """
    from ops import system

    system.down(_settings(), _console(), keep_broker=keep_broker)


@app.command(group=SYSTEM)
def status(*, json: bool = False) -> int:
    """Show what runs: process, address, progress, lag, last error. Exit status 1 unless everything is up.

    Args:
        json: Print JSON, one object a process.
    """
    from ops import status as state

    settings, console = _settings(), _console()
    if not json:
        return _show_status(settings, console)
    import dataclasses

    found = state.rows(settings)
    console.print_json(data=[dataclasses.asdict(row) for row in found])
    return _verdict(found)


@app.command(group=SYSTEM)
def init() -> None:
    """Make the secrets that are missing: keys of the doors, an API key for each agency, passwords for Kafka."""
    from ops import access, secrets
    from schemas.conventions import load
    from streams.principals import BROKER, product_users

    settings = _settings()
    made = secrets.make(settings.secrets, load(settings.convention).agencies)
    made += access.make_passwords(settings, [BROKER, *product_users()]) if access.guarded(settings) else []
    for path in made:
        _console().print(f"made {path}", soft_wrap=True)
    if not made:
        _console().print(f"nothing was missing in {settings.secrets}", soft_wrap=True)


@app.command(group=SYSTEM)
def archive(
    *,
    until: Annotated[float, Parameter(name="--older-than")] = 0,
    directory: Path | None = None,
    verify: bool = False,
    trim: bool = False,
    rest: bool = False,
) -> None:
    """Write the inbox's old end into Avro files with digests. Running it twice changes nothing.

    Args:
        until: Only messages older than so many days.
        directory: Where to. Default: MIGEX_ARCHIVE__DIRECTORY.
        verify: Read all files back; compare their digests, and their messages with those that the topic still holds.
        trim: Delete from the topic what is archived and so old, once it is verified.
        rest: Write what does not fill a file, too.
    """
    from ops import archive as inbox

    settings = _settings()
    wishes = inbox.Wishes(settings.archive.megabytes << 20, until, rest, verify, trim)
    inbox.main(wishes, directory or settings.archive_directory, settings, _print)


@config.command(name="show")
def config_show() -> None:
    """Print every setting as it is in force."""
    from ops.settings import shown

    for line in shown(_settings()):
        _console().print(line, soft_wrap=True, highlight=False)


@config.command(name="check")
def config_check() -> None:
    """Check the environment: misspelt names, wrong values."""
    _settings()
    _console().print("the settings are in order")


@config.command(name="docs")
def config_docs() -> None:
    """Print the page of all settings, in Markdown."""
    from ops.settings import markdown

    sys.stdout.write(markdown())


# --- Events and figures ---


@app.command(group=PEOPLE)
def publish(*files: Path, family: str, agency: str, via: Literal["http", "kafka", "file"] = "http") -> int | None:
    """Publish events from files (JSON arrays or NDJSON; by file: also CSV, XLSX, Avro) in an agency's name.

    Args:
        files: Files of events.
        family: Event family, e.g. border.crossing.
        agency: Code of the agency, e.g. gpk.
        via: The door to go through.
    """
    from ops import publish as client

    return client.main(files, family, agency, via, _settings())


@app.command(group=PEOPLE)
def trace(agency: str, record_no: str, /) -> None:
    """Say where a record is now and why, and in which cells it is counted.

    Args:
        agency: Code of the agency.
        record_no: The agency's own number of the record.
    """
    from ops import trace as tracer

    tracer.main(agency, record_no, _settings())


@app.command(group=PEOPLE)
def table(
    name: str,
    /,
    *,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    end: Annotated[str | None, Parameter(name="--to")] = None,
    format: Literal["text", "csv", "sdmx-csv", "json"] = "text",  # noqa: A002  # the option's name
    cut: str | None = None,
    detail: bool = False,
    totals: bool = False,
    changes: bool = False,
    lang: str | None = None,
    generation: int | None = None,
) -> None:
    """Print a table, e.g. F06, as it is or as it was at a cut.

    Args:
        name: Id of the table.
        start: First period, e.g. 2018-01.
        end: Last period.
        format: text, csv, sdmx-csv or json.
        cut: The cut to show: an instant such as 2024-05-01T12:00:00Z. Default: the latest.
        detail: Show internal dimensions too, e.g. the checkpoint.
        totals: Add rows for groups of areas.
        changes: Show each change of a cell with its causes instead.
        lang: Language of titles and labels. Default: the convention's first.
        generation: As this generation has it. Default: the current one.
    """
    from connectors.table_query import Question, Style
    from ops import table as feed

    question = Question(name, start, end, cut, detail, totals)
    feed.main(question, Style(format, lang, feed.width()), changes, _settings(), generation=generation)


@app.command(group=PEOPLE)
def replay(*files: Path, agency: str | None = None, family: str | None = None, table: str = "F06") -> None:
    """Count events from files without Kafka, by the same folds, and print a table.

    Args:
        files: Files of events; `<agency>.<family>.jsonl` says by its name whose and what.
        agency: Code of the agency, for files of other names.
        family: Event family, for files of other names.
        table: Id of the table to print.
    """
    from ops import replay as folds

    folds.main(files, agency, family, table, _settings())


@app.command(group=PEOPLE)
def rebuild(
    *,
    source: Annotated[Literal["topic", "archive"], Parameter(name="--from")] = "topic",
    archive: Path | None = None,
    table: str = "F06",
    cut: str | None = None,
    compare: bool = False,
    on_disk: bool = False,
    cores: int | None = None,
) -> int:
    """Count everything anew from the inbox, without workers and with all cores, and print a table.

    Args:
        source: topic: the archive, then what the topic holds beyond it; archive: the archive alone, without Kafka.
        archive: Directory of the archive. Default: MIGEX_ARCHIVE__DIRECTORY.
        table: Id of the table to print.
        cut: The cut to stop at: an instant such as 2024-05-01T12:00:00Z. Default: the last complete one.
        compare: Compare every cell with the feed's at the same cut. Exit status 1 if one differs.
        on_disk: Keep state in RocksDB instead of memory: for more than some million records.
        cores: Processes. Default: one a core.
    """
    from connectors.table_query import instant_of
    from ops import rebuild as anew

    settings = _settings()
    directory = archive or settings.archive_directory
    offline = source == "archive"
    return anew.main(anew.Wishes(directory, offline, table, instant_of(cut), compare, on_disk, cores), settings)


@app.command(group=PEOPLE)
def demo(*, ports: str | None = None, scale: float = 1.0, seed: int = 1, keep: bool = False) -> int | None:
    """Publish a real table's crossings with faults, kill workers meanwhile, and compare the figures.

    Args:
        ports: Number of smallest ports, or port codes joined by commas.
        scale: Multiply every cell.
        seed: The same seed sends the same events.
        keep: Leave the system running at the end.
    """
    from ops import demo as show

    return show.main(ports, scale, keep, _settings(), seed)


@app.command(group=SYSTEM)
def chaos(
    *,
    kills: int = 20,
    seed: int = 1,
    nodes: Literal[1, 3] = 1,
    minutes: float | None = None,
    rate: int = 400,
    report: Path | None = None,
) -> int:
    """Publish while processes are killed, hang, are taken over and cut off; then compare everything with a count apart.

    Exit status 1 when anything was lost or double, or did not settle. Runs in a system of its own, `chaos` in the home.

    Args:
        kills: Processes to kill with SIGKILL, at random moments and at named points.
        seed: The same seed strikes the same processes in the same order.
        nodes: Nodes of Kafka; with three, they are killed too.
        minutes: After so many no strike begins, even if fewer were killed.
        rate: Events a second.
        report: File to which the figures are added, one JSON line.
    """
    from ops.chaos import run

    return run.main(run.Orders(kills, seed, nodes, minutes, rate, report), _settings())


# --- Parts ---


def _start(name: str) -> None:
    from importlib import import_module

    _run(import_module(f"ops.processes.{name.replace('-', '_')}").run, name)


for _name, _help in PROCESSES.items():
    if _name not in AGENTS:
        app.command(partial(_start, _name), name=_name, help=_help, group=PARTS)


@app.command(group=PARTS)
def worker(agent: Literal["deduplicate", "reconcile", "aggregate"], /, *, member: int = 0) -> None:
    """Work as one of the three agents.

    Args:
        agent: Which one.
        member: Number of this worker among those of its agent on this host, from 0. Hosts differ in MIGEX_HOST.
    """
    from ops.processes import worker as part

    _run(lambda settings: part.run(settings, agent, member), agent)


@app.command(show=False)
def supervise() -> None:
    """Supervise the parts; `migex up` starts this in the background."""
    from ops.generations.roster import Roster
    from ops.supervisor import Supervisor

    settings = _settings()
    _log(settings, "supervisor")
    Supervisor(settings, crews=Roster(settings)).run()


def _run(part: Callable[[Settings], None], name: str) -> None:
    settings = _settings()
    _log(settings, name)
    part(settings)


def _settings() -> Settings:
    from ops.settings import load

    return load()


def _console() -> Console:
    from ops.console import console

    return console()


def _print(line: str) -> None:
    _console().print(line, soft_wrap=True, highlight=False)


def _log(settings: Settings, name: str) -> None:
    from ops import logs

    logs.set_up(settings.logs.level, process=name)


def _show_status(settings: Settings, console: Console) -> int:
    from ops import status as state

    found = state.rows(settings)
    console.print(state.table(found))
    if settings.outbox.database:
        from ops.outbox import line as outbox_line

        console.print(outbox_line(settings), highlight=False, soft_wrap=True)
    return _verdict(found)


def _verdict(found: list[Row]) -> int:
    return 0 if all(row.state in {"up", "elsewhere"} for row in found) else 1


if __name__ == "__main__":
    main()
