"""The demonstration from its set-up to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops import settings as all_settings
from ops import system
from ops.access import access
from ops.demo import bts, census, generate, narrate, oracle
from ops.demo.narrate import Course
from ops.demo.oracle import Account, Expected
from ops.demo.schedule import Schedule
from ops.demo.sending import VICTIMS, Sending
from ops.demo.watch import Books, Watch
from ops.settings import Settings
from schemas import conventions
from schemas.errors import MigexError, Misconfigured
from streams.topics import Topics

BALANCE_SECS = 180.0
"""How long after the last verdict the books may take to balance."""

_MARK = "migex-demo"
"""A file that says: this directory is a demonstration's, and the next one may empty it."""


def main(ports: str | None, scale: float, keep: bool, settings: Settings, seed: int = 1) -> int:
    """Run the demonstration in `<home>/demo` and return 0 if every cell is equal and the books balance, else 1.

    `ports` and `scale` choose what of the published table is sent (`bts.choose`); with `keep` the system goes on
    running. Raises Misconfigured for a wrong choice or when Java or Maven is missing.
    """
    console = Console(width=None if Console().is_terminal else 140)
    published = bts.choose(bts.read(), ports).scaled(scale)
    own = all_settings.with_free_ports(
        settings.home / "demo", convention=generate.CONVENTION, cache=settings.cache, logs=settings.logs
    )
    empty(own)
    try:
        system.up(own, console)
        return 0 if Demo(published, own, console, seed).run(keep=keep) else 1
    except MigexError as error:
        console.print(f"[red]stopped[/red] {error}", highlight=False)
        _say_where(own, console, runs=keep)
        return 1
    finally:
        if not keep:
            system.down(own, Console(quiet=True))


def empty(settings: Settings) -> None:
    """Make the directory of a demonstration anew, stopping one that was kept.

    Raises Misconfigured when it holds what is not a demonstration's.
    """
    home = settings.home
    if home.exists():
        if not (home / _MARK).exists():
            raise Misconfigured("demo-directory", f"{home} is not a demonstration's: move it away, or set MIGEX_HOME.")
        system.down(settings, Console(quiet=True))
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARK).touch()


class Demo:
    """One demonstration on a system that is up."""

    def __init__(self, published: bts.Published, settings: Settings, console: Console, seed: int) -> None:
        """`published` is the part of the table to be sent."""
        self._published = published
        self._settings = settings
        self._console = console
        self._convention = conventions.load(settings.convention)
        self._planned = Schedule(published, self._convention, seed)
        self._files = settings.home / "events"

    def run(self, *, keep: bool) -> bool:
        """Send, wait, compare, print; return whether everything is as expected."""
        with _bars(self._console) as bars:
            made = bars.add_task("events made", total=None)
            expected = generate.write(self._planned, self._files, lambda n: bars.advance(made, n))
        narrate.plan(self._console, self._published, expected)
        watch = Watch(self._settings, self._convention)
        sending = Sending(self._settings, self._convention, expected.deliveries)
        try:
            course = asyncio.run(self._send(expected, sending, watch))
            return self._compare(expected, sending, watch, course, keep=keep)
        finally:
            watch.close()

    async def _send(self, expected: Expected, sending: Sending, watch: Watch) -> Course:
        """Send everything, killing workers meanwhile, and wait until the books know it."""
        course = Course()
        began = time.monotonic()
        with _bars(self._console) as bars:
            answered = bars.add_task("answered by the doors", total=expected.deliveries)
            counted = bars.add_task("counted in the books", total=expected.deliveries)
            sending.progress = lambda n: bars.advance(answered, n)
            balancing = asyncio.create_task(
                watch.until_balanced(sending.told, lambda n: bars.update(counted, completed=n), BALANCE_SECS)
            )
            ages = asyncio.create_task(watch.cut_ages(course.cut_ages))
            try:
                await sending.send(generate.lanes(self._files))
                ages.cancel()
                course.publishing_secs = time.monotonic() - began
                course.balanced = await balancing
            finally:
                for task in (ages, balancing):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
        course.whole_secs = time.monotonic() - began
        course.kills = sending.kills
        return course

    def _compare(self, expected: Expected, sending: Sending, watch: Watch, course: Course, *, keep: bool) -> bool:
        """Print figures, books, counts, faults and speed; the last line says how many cells are equal."""
        ours, books = oracle.at_the_published_level(watch.cells()), watch.books()
        inbox = Topics.of(self._settings.generation, self._convention)["inbox"]
        doors = asyncio.run(census.deliveries(access(self._settings), inbox, self._convention))
        told = sending.told() or {}
        console = self._console
        narrate.figures(console, self._published, ours)
        narrate.books(console, books)
        narrate.three_counts(console, told, doors, books)
        narrate.faults(console, expected)
        narrate.course(console, course, expected.deliveries)
        wrong = [*_complaints(expected, sending, course), *counts_differ(told, doors, books)]
        wrong += oracle.compare_books(books, expected)
        if keep or wrong or ours != expected.cells:
            _say_where(self._settings, console, runs=keep)
        return narrate.verdict(console, ours, expected.cells, wrong)


def _complaints(expected: Expected, sending: Sending, course: Course) -> list[str]:
    """Return what went otherwise than it should while sending."""
    found = [] if course.balanced else [f"the books did not balance within {BALANCE_SECS:.0f} s of the last verdict"]
    if len(course.kills) < len(VICTIMS):
        found.append(f"{len(course.kills)} of {len(VICTIMS)} workers were killed")
    for account, tally in sorted(sending.tallies.items()):
        refused = expected.books[account]["refused"]
        if tally.refused != refused or tally.unsendable:
            found.append(f"{' '.join(account)}: senders were told {tally.refused} refusals, expected {refused}")
    return found


def counts_differ(told: Mapping[Account, int], doors: Mapping[Account, int], books: Books) -> list[str]:
    """Return the accounts for which senders, doors and books do not count the same deliveries (law L5)."""
    found = []
    for account in sorted({*told, *doors, *books}):
        counts = (told.get(account, 0), doors.get(account, 0), books.get(account, {}).get("deliveries", 0))
        if len(set(counts)) > 1:
            found.append(f"{' '.join(account)}: senders {counts[0]}, doors {counts[1]}, books {counts[2]}")
    return found


def _say_where(settings: Settings, console: Console, *, runs: bool) -> None:
    """Print where the logs are, and how to look at the system with `migex`, or how to start it again."""
    environ = settings.home / "environment"
    kept = {name: value for name, value in settings.environment().items() if value != Settings().environment()[name]}
    environ.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(kept.items())))
    verbs = "look at it: `migex status`, `migex table F06`" if runs else "start it again: `migex up`"
    look = f"After `. {_short(environ)}` you can {verbs}; `migex down` stops it."
    console.print(f"Logs: {_short(settings.home / 'logs')}. {look}", highlight=False, soft_wrap=True)


def _short(path: Path) -> Path:
    with contextlib.suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
