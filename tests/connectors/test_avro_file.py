"""Avro files: every datum is answered as on Kafka; what is hostile or torn is refused as a whole."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import confluent
from connectors.avro_file import Bounds, events_of
from connectors.places import Values
from schemas.contracts import FAMILIES, Family
from schemas.errors import Refused
from tests.connectors.doors import Door, codes, opened
from tests.connectors.events import REPORTER, event

CROSSING = FAMILIES["border.crossing"]
BOUNDS = Bounds(body_bytes=1_000_000, event_bytes=20_000, events=100)
AVRO = {"Content-Type": "application/avro"}
SYNC = bytes(range(16))


def data(count: int, family: Family = CROSSING, **changes: Any) -> list[dict[str, Any]]:
    made = [event(family.name, header__record_no=f"A-{n}", **changes) for n in range(count)]
    return [confluent.with_times(family, each) for each in made]


def file(
    events: Sequence[dict[str, Any]], schema: Any = CROSSING.avsc, codec: str = "null", interval: int = 16_000
) -> bytes:
    out = BytesIO()
    fastavro.writer(out, schema, events, codec=codec, sync_marker=SYNC, sync_interval=interval)
    return out.getvalue()


def read(body: bytes, family: str = CROSSING.name, bounds: Bounds = BOUNDS) -> list[tuple[bytes, Values | Refused]]:
    return list(events_of(body, family, bounds))


def refused(body: bytes, family: str = CROSSING.name, bounds: Bounds = BOUNDS) -> str:
    with pytest.raises(Refused) as error:
        read(body, family, bounds)
    return error.value.code


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
@pytest.mark.parametrize("interval", [100, 16_000])
def test_every_datum_is_read_as_from_kafka(codec: str, interval: int) -> None:
    events = data(40)
    found = read(file(events, codec=codec, interval=interval))
    messages = [confluent.encode(CROSSING, event(header__record_no=f"A-{n}")) for n in range(40)]
    assert [payload for payload, _ in found] == [message[confluent.HEAD :] for message in messages]
    assert [each for _, each in found] == [confluent.decode(message, CROSSING.name) for message in messages]


async def test_a_file_is_answered_event_by_event() -> None:
    events = data(3)
    events[1]["event"]["checkpoint"] = "NOWHERE"
    async with opened(Door()) as door:
        response = await door.post(file(events, codec="deflate"), **AVRO)
        again = await door.post(file(data(1), schema=CROSSING.avsc), **AVRO)
    verdicts = response.json()["verdicts"]
    assert response.json()["summary"] == {"accepted": 2, "refused": 1, "codes": {"not-in-codelist": 1}}
    assert [each["record_no"] for each in verdicts] == ["A-0", "A-1", "A-2"]
    assert codes(verdicts[1]) == [("not-in-codelist", "event.checkpoint")]
    assert again.json()["verdicts"][0]["receipt"] == verdicts[0]["receipt"], "what it says is the same"


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_family_comes_by_file(family: str) -> None:
    contract = FAMILIES[family]
    async with opened(Door()) as door:
        response = await door.post(file(data(2, contract), contract.avsc), family, REPORTER.get(family, "mvd"), **AVRO)
    assert response.json()["summary"]["accepted"] == 2


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_ill_shaped_datum_is_refused_for_its_reason(family: str) -> None:
    contract = FAMILIES[family]
    events = data(3, contract)
    events[1]["header"]["record_no"] = ""
    async with opened(Door()) as door:
        response = await door.post(file(events, contract.avsc), family, REPORTER.get(family, "mvd"), **AVRO)
    assert [each["answer"] for each in response.json()["verdicts"]] == ["accepted", "refused", "accepted"]
    found = codes(response.json()["verdicts"][1])
    assert [field for _, field in found] == ["header.record_no"], found


def test_a_datum_out_of_range_is_refused_alone() -> None:
    bare = json.loads(json.dumps(CROSSING.avsc).replace('"logicalType": "date"', '"x": 0'))
    events = data(3)
    epoch = events[0]["person"]["birth_date"].toordinal() - 719163
    for each in events:
        each["person"] = each["person"] | {"birth_date": epoch}
        each["event"] = each["event"] | {"document_expires": 0}
    events[1]["person"]["birth_date"] = 2**31 - 1
    body = file(events, bare).replace(b'"x": 0', b'"logicalType": "date"')
    found = [each for _, each in read(_resized(body, bare))]
    assert isinstance(found[1], Refused)
    assert found[1].code == "malformed-avro"
    assert [type(each) for each in found] == [dict, Refused, dict]


def _resized(body: bytes, bare: Any) -> bytes:
    """Return the same blocks behind a head that says the contract's own schema."""
    head = file([], CROSSING.avsc)
    return head + body[body.index(SYNC) + 16 :]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda avsc: avsc["fields"].pop(), "unknown-schema"),
        (lambda avsc: avsc.update(name="Other"), "unknown-schema"),
        (lambda avsc: avsc["fields"].append({"name": "more", "type": "string", "default": ""}), "unknown-schema"),
    ],
)
def test_another_schema_is_refused(change: Any, code: str) -> None:
    avsc = copy.deepcopy(CROSSING.avsc)
    change(avsc)
    assert refused(file([], avsc)) == code


def test_another_logical_type_is_another_schema() -> None:
    micros = json.loads(json.dumps(CROSSING.avsc).replace("timestamp-millis", "timestamp-micros"))
    assert refused(file([], micros)) == "unknown-schema"


def test_words_and_marks_make_no_other_schema() -> None:
    bare = json.loads(fastavro.schema.to_parsing_canonical_form(CROSSING.schema))
    assert refused(file([], bare)) == "unknown-schema", "a canonical form has lost what an instant is"
    without_words = copy.deepcopy(CROSSING.avsc) | {"doc": "Other words.", "migex": {}}
    assert len(read(file(data(2), without_words))) == 2


def test_another_family_is_named() -> None:
    assert refused(file([], FAMILIES["permit.decision"].avsc)) == "wrong-family"


def metadata(**entries: bytes) -> bytes:
    out = bytearray(b"Obj\x01")
    out += number(len(entries))
    for name, value in entries.items():
        out += number(len(name)) + name.encode() + number(len(value)) + value
    return bytes(out + number(0) + SYNC)


def number(value: int) -> bytes:
    rest, out = (value << 1) ^ (value >> 63), bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes((*out, rest))


def head(codec: bytes = b"null") -> bytes:
    return metadata(**{"avro.schema": json.dumps(CROSSING.avsc).encode(), "avro.codec": codec})


def block(count: int, packed: bytes, sync: bytes = SYNC) -> bytes:
    return number(count) + number(len(packed)) + packed + sync


RECURSIVE = b'{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}'
ONE = confluent.encode(CROSSING, event())[confluent.HEAD :]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed-avro"),
        (b"Obj\x01", "malformed-avro"),
        (b"PK\x03\x04", "malformed-avro"),
        (b"Obj\x01" + number(2**62), "malformed-avro"),
        (b"Obj\x01" + b"\xff" * 20, "malformed-avro"),
        (b"Obj\x01" + number(-3) + number(9) + number(0), "malformed-avro"),
        (metadata(), "unknown-schema"),
        (metadata(**{"avro.schema": b"[" * 100_000}), "unknown-schema"),
        (metadata(**{"avro.schema": b'{"type":"array","items":' * 500 + b'"int"' + b"}" * 500}), "unknown-schema"),
        (metadata(**{"avro.schema": RECURSIVE}), "unknown-schema"),
        (head(b"bzip2"), "unknown-codec"),
        (head(b"\xff"), "unknown-codec"),
        (head() + block(1, ONE)[:-1], "malformed-avro"),
        (head() + block(1, ONE, bytes(16)), "malformed-avro"),
        (head() + block(1, ONE + b"\0"), "malformed-avro"),
        (head() + block(2, ONE), "malformed-avro"),
        (head() + block(2**40, ONE), "too-many"),
        (head() + block(0, b""), "malformed-avro"),
        (head() + block(-1, ONE), "malformed-avro"),
        (head() + number(1) + number(2**50) + ONE, "malformed-avro"),
        (head() + number(1) + number(-5) + ONE, "malformed-avro"),
        (head() + block(1, ONE) * 101, "too-many"),
        (head() + block(1, bytes(1_000_001)), "too-large"),
        (head(b"deflate") + block(1, ONE), "malformed-avro"),
        (head(b"snappy") + block(1, ONE), "malformed-avro"),
        (head(b"zstandard") + block(1, ONE), "malformed-avro"),
    ],
)  # fmt: skip
def test_what_is_no_whole_file_is_refused_as_a_whole(body: bytes, code: str) -> None:
    assert refused(body) == code


def test_an_event_beyond_the_limit_is_refused_alone() -> None:
    found = read(file(data(3)), bounds=BOUNDS._replace(event_bytes=len(ONE)))
    assert [type(each) for _, each in found] == [dict] * 3
    found = read(file(data(3)), bounds=BOUNDS._replace(event_bytes=10))
    assert {each.code for _, each in found if isinstance(each, Refused)} == {"too-large"}


async def test_nothing_of_a_torn_file_is_taken_in() -> None:
    async with opened(Door()) as door:
        response = await door.post(file(data(40), interval=100)[:-20], **AVRO)
    assert (response.status_code, codes(response.json())) == (422, [("malformed-avro", "(event)")])
    assert len(door.inbox.entries) == 1


@given(st.data())
@settings(max_examples=300)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(chosen: st.DataObject) -> None:
    body = bytearray(file(data(5), codec=chosen.draw(st.sampled_from(["null", "deflate", "snappy", "zstandard"]))))
    for _ in range(chosen.draw(st.integers(1, 6))):
        body[chosen.draw(st.integers(0, len(body) - 1))] = chosen.draw(st.integers(0, 255))
    with suppress(Refused):
        assert len(read(bytes(body))) <= BOUNDS.events
