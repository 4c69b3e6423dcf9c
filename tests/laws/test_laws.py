"""The laws of the folds, for random records under a random broker."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.header import Op
from streams.books import ENTRIES
from streams.books import TABLE as BOOKS
from streams.reconcile.component import Component
from streams.reconcile.fold import Reconcile
from tests.laws.records import CROSSING, Entry
from tests.laws.worlds import Broker, book, figures, worlds

SEEDS = st.integers(0, 2**32 - 1)
laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _run(entries: list[Entry], seed: int) -> Broker:
    broker = Broker(random.Random(seed), inbox=1 + seed % 3, log=1 + seed // 3 % 3)
    broker.publish(entries)
    broker.finish()
    return broker


def _winners(entries: list[Entry]) -> dict[bytes, Entry]:
    """Return the version that speaks for each record, reckoned without the fold: law L1 word for word."""
    first: dict[tuple[bytes, int, bytes], Entry] = {}
    for entry in entries:
        name = (entry.header.record, entry.header.revision, entry.header.digest)
        if name not in first or entry.header.recorded_at < first[name].header.recorded_at:
            first[name] = entry
    best: dict[bytes, Entry] = {}
    for entry in first.values():
        h, rival = entry.header, best.get(entry.header.record)
        if rival is None or (h.revision, h.recorded_at, h.digest) > (
            rival.header.revision,
            rival.header.recorded_at,
            rival.header.digest,
        ):
            best[h.record] = entry
    return best


@laws
@given(worlds(), st.randoms(use_true_random=False), SEEDS, SEEDS)
def test_the_figures_depend_on_the_set_of_records_alone(
    entries: list[Entry], order: random.Random, one: int, other: int
) -> None:
    shuffled = entries + [order.choice(entries) for _ in range(3)]
    order.shuffle(shuffled)
    assert figures(_run(entries, one).replay.cells) == figures(_run(shuffled, other).replay.cells)


@laws
@given(worlds(), SEEDS)
def test_every_cut_is_exactly_what_was_accepted_before_it(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    accepted = dict(broker.accepted)
    assert broker.cuts, "at least the last tick closes"
    for cut in broker.cuts:
        alone = Broker(random.Random(0), inbox=1, log=1)
        alone.write(accepted[cut.tick])
        assert figures(cut.cells) == figures(alone.finish())


@laws
@given(worlds(), SEEDS)
def test_at_every_cut_each_current_record_speaks_once(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    accepted = dict(broker.accepted)
    for cut in broker.cuts:
        current = Counter(
            str(w.header.agency) for w in _winners(accepted[cut.tick]).values() if w.header.op != Op.CANCEL
        )
        speaking = {agency: n for (agency, entry), n in book(cut.cells).items() if entry == "speaking" and n}
        assert speaking == dict(current)


@laws
@given(worlds(), SEEDS)
def test_without_natural_duplicates_each_current_record_counts_once(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    counted = sum(cell.facts for key, cell in broker.replay.cells.items() if key.startswith("F06|"))
    crossings = [entry for entry in entries if entry.header.family == CROSSING.id]
    current = [w for w in _winners(crossings).values() if w.header.op != Op.CANCEL]
    happenings = {w.core for w in current}
    assert counted <= len(current)
    assert counted >= 1 or not happenings


@laws
@given(worlds(), SEEDS)
def test_the_books_balance_at_every_cut(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    accepted = dict(broker.accepted)
    for cut in broker.cuts:
        counts = book(cut.cells)
        told = Counter(agency for agency, _ in {(str(e.header.agency), e.header.delivery) for e in accepted[cut.tick]})
        for agency in told:
            entry = {name: counts.get((agency, name), 0) for name in ENTRIES}
            assert entry["deliveries"] == told[agency]
            assert entry["deliveries"] == entry["refused"] + entry["duplicate"] + entry["new_version"]
            assert entry["new_version"] == entry["current"] + entry["superseded"] + entry["cancelled"]
            assert entry["current"] == entry["speaking"]


@laws
@given(worlds(), SEEDS)
def test_the_causes_of_all_changes_add_up_to_the_figure(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    cells = broker.replay.cells
    net: Counter[str] = Counter()
    for cut in broker.closed:
        for change in cut.cells:
            net[change.key] += sum(stated - withdrawn for stated, withdrawn in change.causes.values())
    for key, value in net.items():
        if not key.startswith(BOOKS):
            assert value == (cells[key].facts if key in cells else 0)


@laws
@given(worlds(), SEEDS)
def test_what_is_renewed_piece_by_piece_is_what_the_whole_history_states(entries: list[Entry], seed: int) -> None:
    broker = _run(entries, seed)
    for station in broker.replay.reconcile:
        assert isinstance(station.fold, Reconcile)
        for key, _ in station.state.scan(b"c"):
            component = Component(key, station.state)
            assert Counter(component.stated) == Counter(station.fold.facts(component))


@pytest.mark.long
@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(most=16), st.randoms(use_true_random=False), SEEDS, SEEDS)
def test_the_figures_depend_on_the_set_of_records_alone_at_length(
    entries: list[Entry], order: random.Random, one: int, other: int
) -> None:
    shuffled = entries + [order.choice(entries) for _ in range(5)]
    order.shuffle(shuffled)
    assert figures(_run(entries, one).replay.cells) == figures(_run(shuffled, other).replay.cells)
