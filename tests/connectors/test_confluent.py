"""Confluent's wire format: what is read, and what hostile bytes come to."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import confluent
from schemas.contracts import FAMILIES
from schemas.errors import Refused
from tests.connectors.events import REMOVE, cancellation, event

CROSSING = "border.crossing"
WHOLE = confluent.encode(FAMILIES[CROSSING], event())


def code(payload: bytes, family: str = CROSSING) -> str:
    with pytest.raises(Refused) as refused:
        confluent.decode(payload, family)
    assert len(refused.value.reasons) == 1
    assert refused.value.reasons[0].field == "(event)"
    return refused.value.code


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_encoded_is_decoded(family: str) -> None:
    decoded = confluent.decode(confluent.encode(FAMILIES[family], event(family)), family)
    assert decoded["header"]["record_no"] == event(family)["header"]["record_no"]
    assert decoded["header"]["occurred_at"].timestamp() == 1519888500
    assert confluent.decode(confluent.encode(FAMILIES[family], cancellation()), family)["event"] is None


def test_confluents_own_client_writes_the_same_bytes() -> None:
    assert WHOLE[:5] == b"\0\0\0\0\1"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "malformed-avro"),
        (b"\0\0\0\0", "malformed-avro"),
        (b'{"header":{}}', "malformed-avro"),
        (b"\x01" + WHOLE[1:], "malformed-avro"),
        (WHOLE[:-1], "malformed-avro"),
        (WHOLE[:5], "malformed-avro"),
        (WHOLE[:5] + b"\xff" * 100, "malformed-avro"),
        (WHOLE + b"\0", "trailing-bytes"),
        (WHOLE[:1] + b"\0\0\xff\xff" + WHOLE[5:], "unknown-schema"),
        (WHOLE[:1] + b"\0\0\0\2" + WHOLE[5:], "wrong-family"),
        (WHOLE + bytes(70_000), "too-large"),
    ],
)
def test_hostile_bytes_have_their_reason(payload: bytes, expected: str) -> None:
    assert code(payload) == expected


@pytest.mark.parametrize("at", [2**62, -(2**62), 9 * 10**15, -62135596800001])
def test_an_instant_beyond_the_calendar_is_malformed(at: int) -> None:
    import io

    import fastavro

    values = confluent.decode(WHOLE, CROSSING)
    values["header"]["recorded_at"] = at
    out = io.BytesIO()
    fastavro.schemaless_writer(out, FAMILIES[CROSSING].schema, values)
    assert code(WHOLE[:5] + out.getvalue()) == "malformed-avro"


@pytest.mark.parametrize(
    "changes",
    [
        {"event__checkpoint": REMOVE},
        {"event__x": 1},
        {"header__revision": "1"},
        {"header__revision": 2**70},
        {"header__occurred_at": "today"},
        {"person__citizenship": "UZB"},
        {"person": 7},
        {"header": None},
    ],
)
def test_what_does_not_fit_is_not_encoded(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        confluent.encode(FAMILIES[CROSSING], event(**changes))


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, len(WHOLE)), junk=st.binary(max_size=60), cut=st.integers(0, 60))
def test_damaged_bytes_are_an_event_or_refused(place: int, junk: bytes, cut: int) -> None:
    with contextlib.suppress(Refused):
        confluent.decode(WHOLE[:place] + junk + WHOLE[place + cut :], CROSSING)
