"""The schedule through admission and the folds, without Kafka: every answer, cell and count is the expected one."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from connectors.admission import Admission
from connectors.entry import Entry
from connectors.feed_store.books import books
from connectors.feed_store.cells import of_change
from connectors.inbox import frame
from ops.demo import generate, malformed
from ops.demo.faults import Delivery
from ops.demo.oracle import ENTRIES, ZERO_ENTRIES, compare, compare_books
from ops.demo.schedule import Schedule, schedule
from schemas import contracts, conventions, keys
from schemas import frame as wire
from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES
from schemas.conventions import Convention
from schemas.errors import Reason, Refused
from schemas.header import Kind
from streams.dataflows.definition import Rules
from streams.replay import Replay
from streams.topics import partition

NOW = 1_760_000_000_000
SECRETS = keys.Secrets(link_key=bytes(range(32)), digest_key=bytes(range(32, 64)))
RAW = Reason("malformed-avro", "(event)", "", "")


@pytest.fixture(scope="module")
def convention() -> Convention:
    return conventions.load(generate.CONVENTION)


@pytest.fixture(scope="module")
def lists(convention: Convention) -> CodeLists:
    return CodeLists.load(*convention.codelist_directories)


@pytest.fixture(scope="module")
def planned(convention: Convention) -> Schedule:
    return schedule(convention, "2410,3408", scale=0.15, seed=7)


@pytest.fixture(scope="module")
def admitted(planned: Schedule, convention: Convention, lists: CodeLists) -> list[tuple[Delivery, Entry]]:
    admission = Admission(convention, lists, SECRETS)
    deliveries = [delivery for _, delivery in planned.deliveries()]
    return [(each, admit(admission, each, number)) for number, each in enumerate(deliveries)]


def admit(admission: Admission, sent: Delivery, number: int) -> Entry:
    """What a door makes of a delivery; raw bytes are the Kafka door's own matter."""
    name = number.to_bytes(8, "big")
    try:
        if sent.raw:
            raise Refused((RAW,))
        return admission.admit(sent.agency, sent.family, sent.line, name, NOW + number)
    except Refused as refused:
        return admission.refusal(sent.agency, sent.family, refused.reasons, name, NOW + number)


def test_exactly_the_malformed_deliveries_are_refused(admitted: list[tuple[Delivery, Entry]]) -> None:
    wrong = [d for d, entry in admitted if (d.answer == "refused") != (entry.header.kind == Kind.REFUSED)]
    assert wrong == []


def test_versions_and_repeats_are_told_by_revision_and_content(admitted: list[tuple[Delivery, Entry]]) -> None:
    digests: dict[tuple[bytes, int], set[bytes]] = defaultdict(set)
    times: Counter[tuple[bytes, int]] = Counter()
    for delivery, entry in admitted:
        if delivery.answer != "refused":
            digests[entry.header.record, entry.header.revision].add(entry.header.digest)
            times[entry.header.record, entry.header.revision] += 1
    assert {len(of_one) for of_one in digests.values()} == {1}
    assert sum(times.values()) - len(times) == sum(d.answer == "duplicate" for d, _ in admitted)


def test_the_folds_make_the_expected_table_and_books(
    admitted: list[tuple[Delivery, Entry]], planned: Schedule, convention: Convention, lists: CodeLists
) -> None:
    replay = Replay(Rules(convention, lists), 2, 2)
    shares: list[list[Entry]] = [[], []]
    for _, entry in admitted:
        shares[partition(entry.partition_key, 2)].append(entry)
    for number, share in enumerate(shares):
        for begin in range(0, len(share), 100):
            replay.inbox.append(number, frame(share[begin : begin + 100]))
        replay.inbox.append(number, wire.encode(wire.tick_frame(NOW // 1000 + 60)))
    assert len(replay.run()) == 1
    assert replay.set_aside == []
    cells = [of_change(change, NOW // 1000) for change in replay.cells.values()]
    assert compare([cell for cell in cells if cell.table == "F06"], planned.expected) == []
    codes = {agency.id: code for code, agency in convention.agencies.items()}
    counted = {
        (codes[row.agency], contracts.family(row.family).name): {e: row[e] for e in ENTRIES + ZERO_ENTRIES}
        for row in books(cell for cell in cells if cell.table == "BOOKS")
    }
    assert compare_books(counted, planned.expected) == []


@pytest.mark.parametrize("kind", [*malformed.KAFKA_ONLY])
def test_raw_kinds_are_no_event_in_avro(kind: str, planned: Schedule) -> None:
    import json
    from io import BytesIO
    from random import Random

    import fastavro

    event = next(json.loads(d.line) for _, d in planned.deliveries() if d.answer == "new_version")
    family = FAMILIES["border.crossing"]
    prefix = b"\x00" + family.schema_id.to_bytes(4, "big")
    whole = BytesIO(malformed.framed(event)[5:])
    assert fastavro.schemaless_reader(whole, family.schema, None)["person"]["sex"] == event["person"]["sex"]
    for seed in range(20):
        raw = malformed.KAFKA_ONLY[kind](event, Random(seed))
        stream = BytesIO(raw[5:])
        readable = raw[:5] == prefix
        if readable:
            try:
                fastavro.schemaless_reader(stream, family.schema, None)
                readable = stream.tell() == len(raw) - 5
            except Exception:
                readable = False
        assert not readable
