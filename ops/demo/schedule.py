"""The schedule: everything the agencies send, in order of simulated time, and what must come of it.

A function of ports, scale and seed. Crossings are made in order of time; what is sent later waits in a heap, so that
memory holds one month of crossings and what is under way: some tenth of everything.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from ops.demo import bts
from ops.demo.events import FAMILY
from ops.demo.faults import Deck, Delivery, Reporter, Sender
from ops.demo.oracle import Expected
from ops.demo.people import Travellers
from schemas.conventions import Convention
from schemas.errors import Misconfigured

BATCH = 500


class Lane(NamedTuple):
    """One connection of an agency to a door: `stage` counts its connections; `raw` are Kafka messages as bytes."""

    stage: int
    door: str
    agency: str
    family: str
    raw: bool

    @property
    def file_name(self) -> str:
        """The name of the file that holds what is sent on it."""
        form = "raw.b64" if self.raw else "jsonl"
        return f"{self.stage + 1:02d}-{self.agency}.{self.family}.{self.door}.{form}"


class Batch(NamedTuple):
    """Some lines of one lane, in the order of sending."""

    lane: Lane
    lines: list[bytes]


class Schedule:
    """All deliveries of a demonstration; iterate `batches` to its end, then read `expected`."""

    def __init__(self, published: bts.Published, convention: Convention, seed: int = 1, batch: int = BATCH) -> None:
        """`published` is the part of the table to be sent; raises Misconfigured if fewer than two agencies may send."""
        self._published = published
        self._convention = convention
        self._seed = seed
        self._batch = batch
        self._senders = [
            Sender(agency.code, frozenset(agency.families))
            for agency in convention.agencies.values()
            if FAMILY in agency.families
        ]
        if len(self._senders) < 2:
            raise Misconfigured("demo-agencies", f"The demo needs two agencies that may send {FAMILY}.")
        self.expected = Expected.of(published)

    def batches(self) -> Iterator[Batch]:
        """Yield everything that is sent, stage by stage; the lanes of one stage can be sent at the same time."""
        waiting: dict[Lane, list[bytes]] = {}
        stage = 0
        for stage_now, delivery in self.deliveries():
            if stage_now != stage:
                yield from (Batch(lane, lines) for lane, lines in waiting.items() if lines)
                waiting, stage = {}, stage_now
            lane = Lane(stage, delivery.door, delivery.agency, delivery.family, delivery.raw)
            lines = waiting.setdefault(lane, [])
            lines.append(delivery.line)
            if len(lines) >= self._batch:
                yield Batch(lane, lines)
                waiting[lane] = []
        yield from (Batch(lane, lines) for lane, lines in waiting.items() if lines)

    def deliveries(self) -> Iterator[tuple[int, Delivery]]:
        """Yield the deliveries in order of simulated time, each with its stage, and keep the expectation."""
        expected = self.expected = Expected.of(self._published)
        zone = self._convention.zone
        origin, _ = bts.month_bounds(min(cell.period for cell in self._published.persons), zone)
        travellers = Travellers(self._chance("people"))
        deck = Deck(self._chance("deck"))
        ports = list(self._published.ports.values())
        reporter = Reporter(self._senders, ports, zone, origin, self._chance("faults"))
        under_way: list[Delivery] = []
        for crossing in bts.crossings(self._published, zone, self._chance("times")):
            while under_way and under_way[0].sent_at < crossing.at:
                yield self._sent(heapq.heappop(under_way), reporter)
            outcome = reporter.report(crossing, travellers.crossing(crossing), deck.next())
            expected.add_outcome(outcome, FAMILY)
            for delivery in outcome.deliveries:
                heapq.heappush(under_way, delivery)
        while under_way:
            yield self._sent(heapq.heappop(under_way), reporter)
        expected.faults = dict(sorted(reporter.counts.items()))
        expected.persons = travellers.persons

    def _chance(self, use: str) -> Random:
        return Random(f"{self._seed}/{use}")  # noqa: S311 - no secret: the same seed must bring the same demonstration

    def _sent(self, delivery: Delivery, reporter: Reporter) -> tuple[int, Delivery]:
        self.expected.add_delivery(delivery)
        return reporter.stage(delivery.sent_at), delivery


def schedule(convention: Convention, ports: str | None = None, scale: float = 1.0, seed: int = 1) -> Schedule:
    """Return the schedule for a choice of ports (see `bts.choose`), a scale and a seed."""
    return Schedule(bts.choose(bts.read(), ports).scaled(scale), convention, seed)
