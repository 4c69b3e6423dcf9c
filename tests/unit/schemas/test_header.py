"""The packed header: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Broken
from schemas.header import SIZE, Header, Kind, Op, pack, record_id, unpack

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
i64 = st.integers(-(2**63), 2**63 - 1)
id16 = st.binary(min_size=16, max_size=16)
headers = st.builds(
    Header, u8, u8, u16, u16, u32, u32, u32, u32, u16, u16, i64, i64, id16, id16, st.binary(min_size=8, max_size=8)
)


@given(st.lists(headers, max_size=5))
def test_what_is_packed_is_unpacked(given_: list[Header]) -> None:
    packed = pack(given_)
    assert len(packed) == SIZE * len(given_)
    assert list(unpack(packed)) == given_


@given(st.lists(headers, min_size=1, max_size=3), st.integers(1, SIZE - 1))
def test_a_packed_block_that_was_cut_or_has_bytes_left_is_broken(given_: list[Header], cut: int) -> None:
    packed = pack(given_)
    for wrong in (packed[:-cut], packed + packed[:cut]):
        with pytest.raises(Broken, match="header-length"):
            list(unpack(wrong))


@given(st.binary(max_size=3 * SIZE))
def test_random_bytes_are_headers_or_broken(wrong: bytes) -> None:
    try:
        found = list(unpack(wrong))
    except Broken:
        assert len(wrong) % SIZE
    else:
        assert pack(found) == wrong


def test_a_header_keeps_its_size_and_kinds_and_ops_their_numbers() -> None:
    assert SIZE == 82
    assert {kind.name: kind.value for kind in Kind} == {"EVENT": 1, "REFUSED": 2, "ASSERT": 3, "RETRACT": 4}
    assert {op.name: op.value for op in Op} == {"CREATE": 1, "CORRECT": 2, "CANCEL": 3}


def test_a_record_is_named_by_agency_family_and_number_and_none_runs_into_another() -> None:
    names = [
        ("gpk", "border.crossing", "A-17"),
        ("mvd", "border.crossing", "A-17"),
        ("gpk", "permit.decision", "A-17"),
        ("gpk", "border.crossing", "A-1"),
        ("gpkb", "order.crossing", "A-17"),
    ]
    assert len({record_id(*name) for name in names}) == len(names)
    # a permanent name: everything derived from the inbox hangs on it
    assert record_id("gpk", "border.crossing", "A-17").hex() == "7bf9b3fe07bd32e4e88e0684be52b199"
