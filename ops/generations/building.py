"""Building: a generation is begun and counted from the inbox, beside the running one, until it is as far."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from connectors.feed_store import Manifest, State
from connectors.feed_store.manifest import Standing
from connectors.feed_store.reading import iso
from ops import topics
from ops.access import access
from ops.crews import Place, crew, noted
from ops.generations.rules import manifest
from ops.generations.site import Site
from ops.pids import read_json
from ops.supervisor import GRACE_SECS, Child, Patience, supervisor_file
from schemas.conventions import load
from schemas.errors import Reason, Refused, Unavailable
from streams.fold import VERSION
from streams.topics import Topics

POLL_SECS = 0.2
UNFINISHED = (State.BUILDING, State.READY)
"""States of a generation that is to be gone on with."""


def begin(at: Site, number: int | None = None) -> int:
    """Begin a generation that counts as this program and these settings do, and return its number, by default the next.

    One that is being built, or is ready, is gone on with. Raises Refused when the number was used otherwise.
    """
    own = following(at)
    found = None if number is None else at.generations.find(number)
    if number is None or found is None:
        return begin_as(at, own, number)
    if found.state not in UNFINISHED or not found.manifest.counts_as(own):
        rule = f"Generation {number} is {found.state}, or was begun with other rules."
        raise Refused((Reason("generation-used", "generation", rule, "Leave the number out: the next one is taken."),))
    return number


def following(at: Site, link_level: int = 1) -> Manifest:
    """Return the manifest of a generation after the current one, which links at no earlier level of link keys."""
    current = at.current()
    newest = at.generations.standing(current).newest
    level = max(link_level, at.generation(current).manifest.link_level)
    return manifest(at.settings, speaks_from=newest, every_from=newest, previous=current, link_level=level)


def begin_as(at: Site, rules: Manifest, number: int | None = None) -> int:
    """Begin a generation with this manifest: first its topics, then its line in the list, at which workers start."""
    number = number or max(each.number for each in at.generations.all()) + 1
    own = Topics.of(number, load(at.settings.convention))
    asyncio.run(topics.apply(access(at.settings), own))
    at.generations.begin(number, rules)
    return number


def build(at: Site, number: int, console: Console, *, until: int, stay: bool = False) -> None:
    """Return when the generation has closed the cut `until` (seconds since 1970) or a later one, showing how far it is.

    The supervisor of the running system has its workers; without one they run here and end with this command, or,
    when they are to `stay`, when the generation is dropped. Raises Unavailable when one of them was given up.
    """
    with _workers(at, number) as look:
        with _bar(at, number, until, console) as show:
            while (standing := at.generations.standing(number)).newest < until:
                look()
                show(standing)
                time.sleep(POLL_SECS)
            show(standing)
        at.generations.ready(number)
        if stay:
            console.print(f"generation {number} is ready; its workers go on here until it is dropped, or Ctrl-C")
        while stay and (found := at.generations.find(number)) and found.state in (State.READY, State.CURRENT):
            look()
            time.sleep(POLL_SECS)


def supervised(at: Site) -> bool | None:
    """Whether the running supervisor takes on workers of this program's generations; None: there is no supervisor."""
    file = supervisor_file(at.settings.home)
    if file.pid() is None:
        return None
    return bool(read_json(at.settings.home / "run" / "supervisor.json").get("folds") == VERSION)


@contextmanager
def _workers(at: Site, number: int) -> Iterator[Callable[[], None]]:
    """Have workers for a generation, and yield what looks after them."""
    if supervised(at):
        yield lambda: _require_alive(at, number)
        return
    place = Place(1, os.cpu_count() or 1)
    programs = dict(crew(at.settings, at.generation(number), place))
    children = [Child(name, program, Patience()) for name, program in programs.items()]

    def look() -> None:
        for child in children:
            child.watch(time.monotonic())
        _require_alive(at, number)

    try:
        yield look
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.see_end(time.monotonic() + GRACE_SECS)


def _require_alive(at: Site, number: int) -> None:
    """Raise Unavailable when a worker of the generation was given up."""
    home = at.settings.home
    for name in noted(home):
        found = read_json(home / "run" / f"{name}.json")
        if found.get("generation") == number and found.get("state") == "failed":
            log = home / "logs" / f"{name}.log"
            raise Unavailable("generation-failed", f"{name} was given up; its log is {log}.")


@contextmanager
def _bar(at: Site, number: int, until: int, console: Console) -> Iterator[Callable[[Standing], None]]:
    """Show how much of the time between the current generation's first cut and `until` it has, and yield the mover."""
    columns = (
        TextColumn("generation {task.fields[number]}"), BarColumn(), TaskProgressColumn(),
        TextColumn("cut {task.fields[cut]}"), TimeElapsedColumn(),
    )  # fmt: skip
    begin = at.generations.standing(at.current()).oldest
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=max(until - begin, 1), number=number, cut="-")

        def show(standing: Standing) -> None:
            done = min(max(standing.newest - begin, 0), until - begin)
            progress.update(task, completed=done, cut=iso(standing.newest) if standing.newest else "-")

        yield show
