"""A whole system that takes the trace, and what it has counted: at its end, and at every cut on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from connectors.feed_store.cells import Cell
from streams import questions
from streams.books import TABLE as BOOKS
from streams.dataflows import DATAFLOWS
from streams.partition import Partition
from streams.reconcile.fold import Reconcile
from streams.topics import partition
from tests.laws import census
from tests.laws.census import Account, Count, Place
from tests.laws.processes import INBOX, LOG, Agent, Fate, Feed, Gateway, Letters, Ticks, World
from tests.laws.trace import TOPICS, trace


class Result(NamedTuple):
    """What must not depend on crashes."""

    cells: dict[tuple[str, str, tuple[str, ...]], tuple[int, ...]]
    books: dict[Account, int]
    fates: dict[bytes, Any]  # what is known of each record, and what it counts for


class System:
    """All processes and the way of the trace through them."""

    def __init__(
        self, home: Path, fate: Fate, late: Callable[[int], bool], partition: type[Partition] = Partition
    ) -> None:
        """See `World`."""
        self.world = World(home, fate, late, partition)
        self._gateway = Gateway(self.world)
        self._letters = Letters(self.world)
        self._clock = Ticks(self.world)
        self._agents = [Agent(self.world, "deduplicate", "inbox", INBOX), Agent(self.world, "reconcile", "log", LOG)]
        self._feed = Feed(self.world, "aggregate", "partials", 1)

    async def take(self) -> Result:
        """Take the trace, round by round, the agents always somewhat behind; return what was counted at the end."""
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # of tasks that died
        for number, each in enumerate(trace()):
            for nth, letter in enumerate(each.letters):
                self.world.kafka.append(TOPICS[letter.agency], (number + nth) % 2, letter.value)
            for put in each.puts:
                await self._gateway.take(put)
            await self._letters.answer()
            await self._clock.tick()
            await self._move(number)
            for agent in (*self._agents, self._feed):
                await agent.fold(2)
        await self._clock.tick()
        while sum([await agent.fold() for agent in (*self._agents, self._feed)]):
            pass
        return Result(_figures(self._cells(DATAFLOWS)), _books(self._cells([BOOKS])), self._fates())

    async def _move(self, number: int) -> None:
        """Publish checkpoints and move partitions, away and back to where an older state lies."""
        deduplicate, reconcile = self._agents
        if number in (1, 3, 5):
            await deduplicate.publish()
            await reconcile.publish()
        if number == 3:
            await deduplicate.move("b")
        elif number == 4:
            await reconcile.move("b")
        elif number == 5:
            await self._feed.move("b")
        elif number == 6:
            await deduplicate.move("a")

    def inbox(self) -> list[list[bytes]]:
        """Return the partitions of the inbox."""
        return [self.world.kafka.log(self.world.topics.name("inbox"), number) for number in range(INBOX)]

    def cuts(self) -> dict[int, Count]:
        """Return for each cut what the feed store says."""
        assert self._feed.store is not None
        found = {}
        for cut in reversed(self._feed.store.cuts(1000)):
            cells = self._cells(("F06", BOOKS), cut.tick)
            found[cut.tick] = Count(_books(cells), _crossings(cells))
        return found

    def close(self) -> None:
        """Let go of all states."""
        for agent in (*self._agents, self._feed):
            agent.fall()

    def _cells(self, tables: Iterable[str], cut: int | None = None) -> list[Cell]:
        assert self._feed.store is not None
        return [cell for table in tables for cell in self._feed.store.cells(table, cut=cut)]

    def _fates(self) -> dict[bytes, Any]:
        return {record: self._fate(record) for record in {row[0].record for row in census.before(self.inbox(), -1)}}

    def _fate(self, record: bytes) -> Any:
        deduplicate, reconcile = self._agents
        known = questions.versions(_state(deduplicate, partition(record, INBOX)).view, record)
        for version in () if known is None else known["versions"]:
            for name in ("offset", "tick", "accepted_at"):  # how it came, which is no figure
                del version[name]
        if known is None or not known["block"]:
            return known
        number = partition(known["block"].to_bytes(4, "big"), LOG)
        stage = reconcile.stage(number)
        assert isinstance(stage, Reconcile)
        return known | questions.standing(_state(reconcile, number).view, stage, known["block"], record)


def _state(agent: Agent, number: int) -> Partition:
    assert agent.worker is not None
    workplace = agent.worker.workplaces[number]
    assert isinstance(workplace, Partition)
    return workplace


def _figures(cells: list[Cell]) -> dict[tuple[str, str, tuple[str, ...]], tuple[int, ...]]:
    return {(c.table, c.period, c.codes): (c.facts, *c.measures) for c in cells}


def _books(cells: list[Cell]) -> dict[Account, int]:
    counts: dict[Account, int] = {}
    for cell in cells:
        if cell.table == BOOKS and cell.measures[0]:
            agency, family, entry, _ = cell.codes
            account = int(agency), int(family), entry
            counts[account] = counts.get(account, 0) + cell.measures[0]
    return counts


def _crossings(cells: list[Cell]) -> dict[Place, int]:
    """Return the crossings by month, direction and checkpoint: first and last of the table's codes."""
    counts: dict[Place, int] = {}
    for cell in cells:
        if cell.table == "F06":
            place = cell.period, cell.codes[0], cell.codes[-1]
            counts[place] = counts.get(place, 0) + cell.facts
    return counts
