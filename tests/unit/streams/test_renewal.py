"""What reconcile keeps is what it would reckon from scratch: each person's facts, and each cell as their sum.

Permits count persons, so that one decision changes what another one states; crossings and coupons do not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import core, frame, header
from schemas.contracts import FAMILIES
from schemas.core import DOCUMENT, NAME, PERSONAL_NO
from schemas.header import Header, Kind, Op
from streams.dataflows.definition import Fact
from streams.reconcile.cells import decode_value
from streams.reconcile.component import Component
from streams.reconcile.fold import Reconcile
from streams.replay import Station
from tests.laws.records import DAY_MS, digest16, link_key, rules

BLOCK = 19800101
CROSSING, PERMIT, ARRIVAL = "border.crossing", "permit.decision", "residence.registered"
LINKING = "link.decision"
PLAIN = {"permit_type": "TEMP_RES", "first_issue": 1, "region": "BY-BR"}
CODES: dict[str, tuple[dict[str, Any], ...]] = {
    CROSSING: ({"direction": "IN", "checkpoint": "BREST", "section": "PL", "mode": "ROAD", "result": "PASSED"},),
    PERMIT: tuple(
        {**PLAIN, "action": action, "permit_no": bytes([no]) * 16} for action in ("ISSUED", "EXTENDED") for no in (1, 2)
    ),
    LINKING: tuple(
        {"linking": linking, "ground": "OTHER", "first_record_no": digest16(one), "second_record_no": digest16(other)}
        for linking in ("LINK", "UNLINK")
        for one, other in ((0, 1), (2, 1))
    ),
    ARRIVAL: ({"from_country": "UZB", "region": "BY-BR", "district": "1401", "locality": "U"},),
}


class Statement(NamedTuple):
    """A record speaks, or falls silent (`family` None)."""

    record: int
    family: str | None
    variant: int
    day: int
    minute: int
    keys: tuple[int | None, int | None, int | None]  # personal number, document, name


one = st.none() | st.integers(0, 1)
statements = st.builds(
    Statement,
    st.integers(0, 6),
    st.none() | st.sampled_from((CROSSING, PERMIT, PERMIT, ARRIVAL, LINKING)),
    st.integers(0, 3),
    st.integers(0, 1),
    st.sampled_from((0, 8, 16, 27)),
    st.tuples(st.none() | one, one, st.integers(0, 1)),
)


def told(statement: Statement, seq: int) -> tuple[Header, bytes]:
    contract = FAMILIES[statement.family or CROSSING]
    day = 17600 + statement.day
    at = day * DAY_MS + statement.minute * 60_000
    kinds = zip((PERSONAL_NO, DOCUMENT, NAME), statement.keys, strict=True)
    keys = b"".join(sorted(link_key(kind, value) for kind, value in kinds if value is not None))
    variants = CODES[contract.name]
    chosen = variants[statement.variant % len(variants)]
    codes = tuple(chosen.get(name) for name in contract.core_fields)
    made = core.Core(day, at, keys, BLOCK, 1, ("UZB",), codes)
    kind, op = (Kind.RETRACT, Op.CANCEL) if statement.family is None else (Kind.ASSERT, Op.CREATE)
    spoken = Header(
        kind, op, 1 + statement.record % 2, contract.id, 1, seq, BLOCK, contract.schema_id, 1, 0, at, at,
        digest16(statement.record), bytes(16), bytes(8),
    )  # fmt: skip
    return spoken, b"" if statement.family is None else core.encode(made)


def log_frame(offset: int, batch: list[tuple[Header, bytes]]) -> bytes:
    cores = [raw for _, raw in batch]
    headers = header.pack([spoken for spoken, _ in batch])
    return frame.encode(
        frame.Frame(0, offset, offset - 1, 0, headers, frame.sizes(cores), b"".join(cores), b"", b"", b"")
    )


def kept(at: Station) -> list[Fact]:
    """Return all facts that the partition keeps, after comparing each component's with those reckoned anew."""
    stage = at.fold
    assert isinstance(stage, Reconcile)
    facts: list[Fact] = []
    for key, _ in at.state.scan(b"c"):
        component = Component(key, at.state)
        assert Counter(component.stated) == Counter(stage.facts(component))
        facts.extend(component.stated)
    return facts


def sums(facts: list[Fact]) -> dict[str, tuple[int, ...]]:
    cells: dict[str, tuple[int, ...]] = {}
    for fact in facts:
        so_far = cells.get(fact.cell, (0,) * (1 + len(fact.measures)))
        cells[fact.cell] = tuple(a + b for a, b in zip(so_far, (1, *fact.measures), strict=True))
    return cells


def cells(at: Station) -> dict[str, tuple[int, ...]]:
    found = {key[1:].decode(): decode_value(value) for key, value in at.state.scan(b"v")}
    return {key: (facts, *measures) for key, (facts, measures, _) in found.items() if facts}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(statements, min_size=1, max_size=4), max_size=12))
def test_facts_and_cells_are_those_reckoned_from_scratch_after_every_step(steps: list[list[Statement]]) -> None:
    at = Station(Reconcile(0, 1, rules()), 0)
    seqs: Counter[int] = Counter()
    speaking: dict[int, tuple[Header, bytes]] = {}
    for offset, step in enumerate(steps):
        batch = []
        for statement in step:
            seqs[statement.record] += 1
            batch.append(told(statement, seqs[statement.record]))
            speaking[statement.record] = batch[-1]
        at.step([log_frame(offset, batch)])
        assert cells(at) == sums(kept(at))
    alone = Station(Reconcile(0, 1, rules()), 0)
    alone.step([log_frame(0, [spoken for spoken in speaking.values() if spoken[0].kind == Kind.ASSERT])])
    assert cells(alone) == cells(at), "the same as if only the newest versions had ever been said"


def test_when_a_second_number_goes_those_whom_it_kept_apart_are_one_person_again() -> None:
    """Number 0 and number 1 share a document, so it joins nobody; without number 1 it joins the two decisions."""
    steps = [
        Statement(0, PERMIT, 0, 0, 0, (0, 0, 0)),
        Statement(1, PERMIT, 1, 0, 0, (None, 0, 1)),
        Statement(2, CROSSING, 0, 0, 0, (1, 0, 2)),
        Statement(2, None, 0, 0, 0, (1, 0, 2)),
    ]
    at = Station(Reconcile(0, 1, rules()), 0)
    persons = []
    for offset, statement in enumerate(steps):
        at.step([log_frame(offset, [told(statement, offset + 1)])])
        assert cells(at) == sums(kept(at))
        persons.append(sum(figures[2] for key, figures in cells(at).items() if key.startswith("F11|")))
    assert persons == [1, 1, 2, 1]


def test_an_operators_decision_joins_two_persons_and_tells_one_apart_until_it_is_withdrawn() -> None:
    permits = [Statement(n, PERMIT, n, 0, 0, (n, n, n)) for n in (0, 1)]
    link, unlink = Statement(5, LINKING, 0, 0, 0, (None, None, 0)), Statement(5, LINKING, 2, 0, 0, (None, None, 0))
    gone = Statement(5, None, 0, 0, 0, (None, None, 0))
    same = [Statement(n, PERMIT, n, 0, 0, (7, 7, 7)) for n in (0, 1)]
    assert persons_after(*permits) == 2
    assert persons_after(*permits, link) == persons_after(link, *permits) == 1, "whichever comes first"
    assert persons_after(*permits, link, gone) == 2
    assert persons_after(*same) == 1
    assert persons_after(*same, unlink) == persons_after(unlink, *same) == 2
    assert persons_after(*same, unlink, gone) == 1


def persons_after(*steps: Statement) -> int:
    """Return how many persons F11 counts after these steps."""
    at = Station(Reconcile(0, 1, rules()), 0)
    for offset, statement in enumerate(steps):
        at.step([log_frame(offset, [told(statement, offset + 1)])])
        assert cells(at) == sums(kept(at))
    return sum(figures[2] for key, figures in cells(at).items() if key.startswith("F11|"))
