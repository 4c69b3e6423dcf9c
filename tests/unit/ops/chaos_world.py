"""The doors and the folds in memory, where something may be changed, and the ledger of what was told and found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from connectors.admission import Admission
from connectors.entry import Entry
from connectors.feed_store.books import books
from connectors.feed_store.cells import of_change
from connectors.inbox import frame
from connectors.table_view import Edition, Source, view
from ops.chaos.check import Result, check
from ops.chaos.families import CONVENTION
from ops.chaos.ledger import Ledger, Record, Told
from ops.chaos.reckon import Reckoning
from ops.chaos.tables import TABLES, Country
from ops.chaos.traffic import Delivery, Traffic
from schemas import codelists, conventions, keys
from schemas import frame as wire
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.errors import Reason, Refused
from schemas.frame import Frame
from schemas.header import Header, pack, record_id
from streams import questions
from streams.books import TABLE as BOOKS
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Rules
from streams.fold import Effect, Fold, Message, Send, View
from streams.reconcile.fold import Reconcile
from streams.replay import Log, Replay
from streams.topics import partition

NOW = 1_760_000_000_000
SECRETS = keys.Secrets(link_key=bytes(range(32)), digest_key=bytes(range(32, 64)))
RAW = Reason("malformed-avro", "(event)", "", "")
BATCH = 40
PARTITIONS = 4

Part = tuple[Header, bytes]
"""One record of a frame with its core."""

Change = Callable[[Frame], list[Frame]]
"""What somebody makes of one frame on its way."""


@cache
def rules() -> Rules:
    convention = conventions.load(CONVENTION)
    return Rules(convention, CodeLists.load(*convention.codelist_directories))


@cache
def country() -> Country:
    return Country.read(CONVENTION, codelists.DIRECTORY / "COUNTRY.csv")


@cache
def deliveries() -> tuple[Delivery, ...]:
    return tuple(Traffic(rules().convention, seed=7, happenings=500).deliveries())


def as_it_is(frame: Frame) -> list[Frame]:
    return [frame]


class ChangedLog(Log):
    """A topic in which somebody changes messages as they are written."""

    def __init__(self, partitions: int, change: Change) -> None:
        super().__init__(partitions)
        self._change = change

    def append(self, partition: int, value: bytes) -> None:
        for changed in self._change(wire.decode(value)):
            super().append(partition, wire.encode(changed))


class ChangedFold:
    """A fold whose outputs somebody changes before they are sent."""

    def __init__(self, fold: Fold, change: Change) -> None:
        self.inner = fold
        self._change = change

    hot = b""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        return [changed for effect in self.inner.fold(view, messages) for changed in self._changed(effect)]

    def _changed(self, effect: Effect) -> Iterator[Effect]:
        if not isinstance(effect, Send) or effect.topic not in ("log", "partials"):
            yield effect
            return
        for changed in self._change(wire.decode(effect.value)):
            yield Send(effect.topic, effect.partition, wire.encode(changed))


class World:
    """One run: what is sent goes through the doors into the folds, then everything is asked and checked."""

    def __init__(self, inbox: Change = as_it_is, deduplicate: Change = as_it_is, reconcile: Change = as_it_is) -> None:
        """`inbox` changes what the doors write, the others what a fold sends."""
        self._replay = Replay(rules(), PARTITIONS, PARTITIONS)
        self._replay.inbox = ChangedLog(PARTITIONS, inbox)
        for stations, change in ((self._replay.deduplicate, deduplicate), (self._replay.reconcile, reconcile)):
            for station in stations:
                station.fold = ChangedFold(station.fold, change)
        self._ledger = Ledger()
        self._tick = 1_000
        self._admission = Admission(rules().convention, rules().lists, SECRETS)

    def run(self, sent: Sequence[Delivery] = ()) -> Result:
        sent = sent or deliveries()
        for start in range(0, len(sent), BATCH):
            self._write(sent[start : start + BATCH], start)
            self._replay.run()
        reckoned = Reckoning(self._ledger, country())
        self._find([fate.record for fate in reckoned.fates()])
        return check(self._ledger, reckoned)

    def _write(self, batch: Sequence[Delivery], start: int) -> None:
        shares: list[list[Entry]] = [[] for _ in range(PARTITIONS)]
        for number, delivery in enumerate(batch, start):
            entry, told = self._answer(delivery, number)
            shares[partition(entry.partition_key, PARTITIONS)].append(entry)
            self._ledger.tell([told])
        self._tick += 1
        for number, share in enumerate(shares):
            if share:
                self._replay.inbox.append(number, frame(share))
            self._replay.inbox.append(number, wire.encode(wire.tick_frame(self._tick)))

    def _answer(self, sent: Delivery, number: int) -> tuple[Entry, Told]:
        name = number.to_bytes(8, "big")
        try:
            if sent.raw:
                raise Refused((RAW,))
            entry, answer = self._admission.admit(sent.agency, sent.family, sent.line, name, NOW + number), "accepted"
        except Refused as refused:
            entry = self._admission.refusal(sent.agency, sent.family, refused.reasons, name, NOW + number)
            answer = "refused"
        return entry, Told(sent.agency, sent.family, sent.line, sent.wanted, answer, None)

    def _find(self, records: Sequence[Record]) -> None:
        changes = self._replay.cells
        for table in TABLES:
            self._ledger.find_cells(self._figures(table))
        agencies = {agency.id: code for code, agency in rules().convention.agencies.items()} | {0: "nobody"}
        families = {family.id: name for name, family in FAMILIES.items()} | {0: "unknown"}
        for row in books(of_change(c, self._tick) for key, c in changes.items() if key.startswith(BOOKS)):
            self._ledger.find_book((agencies[row.agency], families[row.family]), row.counts)
        self._ledger.find_fates((record, self._fate(record)) for record in records)

    def _figures(self, table: str) -> dict[str, int]:
        """Return a table as the feed shows it, by TABLE|PERIOD|code|…, with the measure behind it if there are some."""
        cells = [of_change(c, self._tick) for key, c in self._replay.cells.items() if key.startswith(f"{table}|")]
        source = Source(DATAFLOWS[table], rules().convention, rules().lists)
        shown = view(source, cells, Edition(self._tick, 1), detail=True)
        several = len(shown.measures) > 1
        return {
            "|".join((table, seen.period, *seen.codes, *([seen.measure.id] if several else []))): seen.value
            for seen in shown.observations
        }

    def _fate(self, named: Record) -> dict[str, Any] | None:
        record = record_id(*named)
        known = questions.versions(self._replay.deduplicate[partition(record, PARTITIONS)].state, record)
        if known is None or not known["block"]:
            return known and known | {"standing": None, "cells": []}
        block = known["block"]
        station = self._replay.reconcile[partition(block.to_bytes(4, "big"), PARTITIONS)]
        assert isinstance(station.fold, ChangedFold)
        assert isinstance(station.fold.inner, Reconcile)
        return known | questions.standing(station.state, station.fold.inner, block, record)


def with_parts(frame: Frame, parts: Sequence[Part]) -> Frame:
    """Return the frame with other records."""
    cores = [core for _, core in parts]
    return frame._replace(
        headers=pack([header for header, _ in parts]),
        core_sizes=wire.sizes(cores),
        cores=b"".join(cores),
        body_sizes=wire.sizes([b""] * len(parts)) if frame.body_sizes else b"",
        bodies=b"",
    )


def line_of(sent: Delivery) -> dict[str, Any]:
    """Return the event of a delivery that is JSON."""
    event: dict[str, Any] = json.loads(sent.line)
    return event
