"""Take-over: a worker is killed; where do the seconds go until another one folds on, here and on a host without state?

    python -m bench.takeover [--originals 1000000] [--report FILE] [--home DIR]

The state is that of a whole loaded inbox. The next worker is forked from a template, as a supervisor does it. The other
host has an empty home and shares checkpoints, broker and feed store. Ticks are written all the time, so that there is
something to fold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bench import ours
from bench.arena import Arena, Loaded, arena, fill
from bench.crew import Crew, crew
from bench.sheet import Sheet, Table, Value, asked
from bench.ticks import Ticks
from connectors.feed_store.store import FeedStore
from ops.access import access
from ops.processes import AGENTS
from ops.processes.worker import BEGINS, SOURCES
from ops.settings import Checkpoints, Settings, with_free_ports
from ops.template import Forked, Template
from streams.rocks import CACHE_BYTES
from streams.topics import Topics
from streams.worker import TAKEN_OVER

PATIENCE_SECS = 180.0


def main(argv: Sequence[str] | None = None) -> None:
    """Load, fold, kill, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=int, default=1_000_000)
    options.add_argument("--home", type=Path)
    asked(options)
    chosen = options.parse_args(argv)
    with arena(chosen.home) as place:
        loaded = asyncio.run(fill(access(place.settings), place.topics(), chosen.originals))
        ours.run(place, loaded, 1, 2)
        for table in measured(place, 1, loaded):
            Sheet(chosen.report).add(table)


def measured(place: Arena, number: int, loaded: Loaded) -> list[Table]:
    """Measure on what a round has left behind: kill each agent's only worker twice; return times and sizes."""
    settings = place.round(number)
    shared = Checkpoints(directory=str(settings.checkpoints_directory), secs=1.0)
    settings = settings.model_copy(update={"checkpoints": shared})
    topics = place.topics(number)
    rows: list[Sequence[Value]] = []
    with prepared() as template, crew(settings) as workers, Ticks(settings, topics, loaded.last_tick) as ticks:
        for agent in reversed(AGENTS):
            workers.start(agent)
        for agent in AGENTS:
            until_folding(settings, agent, topics)
        sizes = _sizes(settings, workers, topics)
        rehearsal = Rehearsal(workers, template, settings, topics, ticks)
        try:
            for agent in AGENTS:
                other = _other_host(settings, place.settings.home / f"other-{agent}")
                for host, its in (("the same host", settings), ("a host without state", other)):
                    rows.append((f"{agent} on {host}", *rehearsal.take_over(agent, its)))
        finally:
            rehearsal.end()
    notes = [
        f"seconds from SIGKILL; state of {loaded.current:,} records; one worker of each agent holds all partitions",
        "a worker that comes back under its name gets its partitions at once; another one waits for its session to end",
        f"checkpoints every {settings.checkpoints.secs:.0f} s here, so that hardly anything is left to fold",
    ]
    columns = ("worker", *(name.replace("_", " ") for name in Moments._fields))
    return [sizes, Table("Take-over", columns, rows, notes)]


class Moments(NamedTuple):
    """Seconds from SIGKILL until something was so."""

    set_up: float  # settings and rules read, metrics and feed store open
    in_the_group: float  # it knows its partitions
    states_open: float  # those of all of them; without local state, copied from checkpoints
    first_step: float
    all_partitions: float
    next_cut_in_the_feed: float


@dataclass(frozen=True)
class Rehearsal:
    """What is killed, and what goes on meanwhile."""

    workers: Crew
    template: Template
    settings: Settings
    topics: Topics
    ticks: Ticks
    next: dict[str, Forked] = field(default_factory=dict)

    def end(self) -> None:
        """End the workers that came next; the first ones are the crew's."""
        for worker in self.next.values():
            worker.kill()
            worker.wait()

    def take_over(self, agent: str, its: Settings) -> Moments:
        """Kill an agent's worker and start the next one with its own settings; return how it went."""
        until_published(self.settings, agent, self.topics)
        log = its.home / "logs" / f"{agent}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        victim = self.next.pop(agent, None) or self.workers.workers.pop(agent)
        victim.kill()
        killed, at, tick = time.monotonic(), time.time(), self.ticks.last
        victim.wait()
        forked = self.template.fork(["worker", agent], its.inherited(), log)
        if forked is None:
            sys.exit("the template has died")
        self.next[agent] = forked
        first = _until(lambda: bool(folded(its, agent)), f"a step of {agent}")
        whole = until_folding(its, agent, self.topics)
        with closing(FeedStore(self.settings.feed_url, self.settings.generation)) as store:
            cut = _until(lambda: (found := store.latest_cut()) is not None and found.tick > tick, "a cut")
        return Moments(*said(log, at), first - killed, whole - killed, cut - killed)


@contextmanager
def prepared() -> Iterator[Template]:
    """Give a template that is ready."""
    template = Template()
    try:
        while not template.prepared(time.monotonic()):
            time.sleep(0.02)
        yield template
    finally:
        template.end()


def said(log: Path, since: float) -> tuple[float, float, float]:
    """Return the seconds from `since` until a worker was set up, had its partitions, had opened them, by its log."""
    begun = assigned = opened = 0.0
    for line in map(json.loads, filter(lambda line: line.startswith("{"), log.read_text().splitlines())):
        after = datetime.fromisoformat(line["timestamp"]).timestamp() - since
        if after < 0:
            continue
        if line["event"] == BEGINS:
            begun = after
        elif line["event"] == TAKEN_OVER and line["open"]:
            assigned, opened = after - line["secs"], after
    return begun, assigned, opened


def folded(settings: Settings, agent: str) -> set[int]:
    """Return the partitions of which the worker that runs now has folded something, as it says itself."""
    host, port = settings.address(agent)
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, HTTPException):  # it does not answer yet
        return set()
    finally:
        connection.close()
    families = text_string_to_metric_families(text)
    samples = (sample for family in families if family.name == "migex_applied_offset" for sample in family.samples)
    return {int(sample.labels["partition"]) for sample in samples}


def until_folding(settings: Settings, agent: str, topics: Topics) -> float:
    """Return when (monotonic) an agent's worker has folded something of every partition."""
    partitions = topics.partitions(SOURCES[agent])
    return _until(lambda: len(folded(settings, agent)) == partitions, f"all partitions of {agent}")


def until_published(settings: Settings, agent: str, topics: Topics) -> None:
    """Return when every partition of an agent has a checkpoint; aggregate keeps its state in the feed store."""
    if agent != "aggregate":
        place = settings.checkpoints_directory / f"g{settings.generation}" / agent
        partitions = topics.partitions(SOURCES[agent])
        _until(lambda: len(list(place.glob("p*/[0-9]*/manifest.json"))) >= partitions, f"checkpoints of {agent}")


def _until(done: Callable[[], bool], what: str) -> float:
    deadline = time.monotonic() + PATIENCE_SECS
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not after {PATIENCE_SECS:.0f} s")
        time.sleep(0.02)
    return time.monotonic()


def _other_host(settings: Settings, home: Path) -> Settings:
    """Return the settings of a host with a home and ports of its own, and all else shared."""
    shared = {name: getattr(settings, name) for name in ("broker", "generation", "checkpoints")}
    shared["feed"] = settings.feed.model_copy(update={"url": settings.feed_url})
    return with_free_ports(home).model_copy(update=shared)


def _sizes(settings: Settings, workers: Crew, topics: Topics) -> Table:
    """Return how large the states are, and what of them is held in memory."""
    rows: list[Sequence[Value]] = []
    for agent in AGENTS[:2]:
        place = settings.state / f"g{settings.generation}" / agent
        state = sum(file.stat().st_size for file in place.rglob("*.sst")) / 1e6
        cache = topics.partitions(SOURCES[agent]) * CACHE_BYTES / 1e6
        rows.append((agent, state, cache, state / cache, workers.workers[agent].memory_info().rss / 1e6))
    columns = ("agent", "state MB", "block cache MB", "state/cache", "resident MB of a worker")
    return Table("State on disk", columns, rows, ("one worker of each agent, with all partitions, just started",))


if __name__ == "__main__":
    main()
