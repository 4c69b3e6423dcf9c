"""The core of a record: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.core import DOCUMENT, KEY_SIZE, NAME, PERSONAL_NO, Core, decode, encode, link_keys
from schemas.errors import Broken

integers = st.integers(-(2**63), 2**64 - 1)
cores = st.builds(
    Core,
    integers,
    integers,
    st.binary(max_size=3 * KEY_SIZE),
    integers,
    integers,
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.lists(st.none() | st.text(max_size=5) | integers | st.binary(max_size=16), max_size=8).map(tuple),
    st.none() | st.text(max_size=3),
    st.none() | st.text(max_size=1),
)


@given(cores)
def test_what_is_encoded_is_decoded(core: Core) -> None:
    assert decode(encode(core)) == core


def test_a_core_from_before_it_held_country_of_birth_and_education_is_read() -> None:
    old = msgspec.msgpack.encode([17591, 2, b"", 19800517, 1, ["UZB"], ["IN"]])
    assert decode(old) == Core(17591, 2, b"", 19800517, 1, ("UZB",), ("IN",), None, None)


@given(cores, st.data())
def test_a_core_that_was_cut_is_broken(core: Core, data: st.DataObject) -> None:
    raw = encode(core)
    with pytest.raises(Broken, match="core-unreadable"):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(cores, st.binary(min_size=1, max_size=9))
def test_a_core_with_bytes_left_is_broken(core: Core, rest: bytes) -> None:
    with pytest.raises(Broken, match="core-unreadable"):
        decode(encode(core) + rest)


@given(st.binary(max_size=60))
def test_random_bytes_are_a_core_or_broken(raw: bytes) -> None:
    for wrong in (raw, b"\x99" + raw):  # the second one says that it is an array of nine
        with suppress(Broken):
            decode(wrong)


@given(cores, st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_core_with_bytes_changed_is_another_core_or_broken(core: Core, changes: list[tuple[int, int]]) -> None:
    raw = bytearray(encode(core))
    for place, byte in changes:
        raw[place % len(raw)] = byte
    with suppress(Broken):
        decode(bytes(raw))


@pytest.mark.parametrize(
    "wrong",
    [
        [1, 2, b"", 0, 1, ["UZB"]],
        [1, 2, b"", 0, 1, ["UZB"], [], None, None, None],
        [1, 2, "text", 0, 1, ["UZB"], []],
        [None, 2, b"", 0, 1, ["UZB"], []],
        [1, 2, b"", 0, 1, [5], []],
        {"day": 1},
        [1, 2, b"", 0, 1, ["UZB"], 5],
        [1, 2, b"", 0, 1, ["UZB"], [], 5],
    ],
    ids=["short", "long", "text for bytes", "no day", "number for a country", "map", "codes", "country of birth"],
)
def test_another_shape_is_broken(wrong: object) -> None:
    with pytest.raises(Broken, match="core-unreadable"):
        decode(msgspec.msgpack.encode(wrong))


def test_lists_nested_without_end_are_broken() -> None:
    with pytest.raises(Broken, match="core-unreadable"):
        decode(b"\x97\x01\x02\xc4\x00\x00\x01\x90" + b"\x91" * 100_000 + b"\x90")


def test_link_keys_are_cut_at_their_size() -> None:
    keys = [bytes([kind]) * KEY_SIZE for kind in (PERSONAL_NO, DOCUMENT, NAME)]
    assert link_keys(b"".join(keys)) == tuple(keys)
    assert link_keys(b"") == ()


def test_kinds_of_link_keys_are_ordered_from_strong_to_weak() -> None:
    assert [PERSONAL_NO, DOCUMENT, NAME] == [1, 2, 3]
