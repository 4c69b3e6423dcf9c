"""Frames: what goes in comes out, and whatever else is Broken, never anything else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Broken
from schemas.frame import VERSION, Frame, decode, encode, entries, sizes, split, tick_frame
from schemas.header import SIZE, Header, pack

int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
column = st.binary(max_size=40)
frames = st.builds(Frame, int32, int64, int64, int64, column, column, column, column, column, column)
PLAIN = Frame(3, 17, 11, 5, b"headers", b"\0\0\0\1", b"c", b"", b"", b"notes")


@given(frames)
def test_what_is_encoded_is_decoded(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(frames, st.data())
def test_a_frame_that_was_cut_is_broken(frame: Frame, data: st.DataObject) -> None:
    raw = encode(frame)
    with pytest.raises(Broken, match="frame-"):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(frames, st.binary(min_size=1, max_size=9))
def test_a_frame_with_bytes_left_is_broken(frame: Frame, rest: bytes) -> None:
    with pytest.raises(Broken, match="frame-trailing"):
        decode(encode(frame) + rest)


@given(st.binary(max_size=80))
def test_random_bytes_are_a_frame_or_broken(raw: bytes) -> None:
    for wrong in (raw, VERSION + raw):
        with suppress(Broken):
            decode(wrong)


@given(st.lists(st.tuples(st.integers(1, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_frame_with_bytes_changed_is_another_frame_or_broken(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(encode(PLAIN))
    for place, byte in changes:
        raw[1 + place % (len(raw) - 1)] = byte
    with suppress(Broken):
        decode(bytes(raw))


@pytest.mark.parametrize(
    "length", [b"\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
)
def test_a_column_that_claims_to_be_negative_or_endless_is_broken(length: bytes) -> None:
    with pytest.raises(Broken, match="frame-truncated"):
        decode(VERSION + b"\x00\x00\x00\x00" + length + b"\x00" * 40)


@given(st.lists(column, max_size=6))
def test_a_column_is_split_as_it_was_joined(parts: list[bytes]) -> None:
    assert split(sizes(parts), b"".join(parts)) == parts


@pytest.mark.parametrize(
    ("lengths", "data"),
    [(b"\0\0\0", b""), (b"\0\0\0\1", b""), (b"\0\0\0\1", b"ab"), (b"", b"a"), (b"\xff\xff\xff\xff", b"abc")],
)
def test_lengths_that_do_not_fit_their_column_are_broken(lengths: bytes, data: bytes) -> None:
    with pytest.raises(Broken, match="frame-lengths"):
        split(lengths, data)


HEADER = Header(1, 1, 1, 1, 1, 0, 19800101, 1, 1, 0, 0, 0, bytes(16), bytes(16), bytes(8))


def test_records_are_headers_with_their_cores() -> None:
    frame = PLAIN._replace(headers=pack([HEADER, HEADER]), core_sizes=sizes([b"a", b"bc"]), cores=b"abc")
    assert entries(frame) == [(pack([HEADER]), b"a"), (pack([HEADER]), b"bc")]


@pytest.mark.parametrize(
    "frame",
    [
        PLAIN._replace(headers=pack([HEADER]), core_sizes=b"", cores=b""),
        PLAIN._replace(headers=b"", core_sizes=sizes([b"a"]), cores=b"a"),
        PLAIN._replace(headers=bytes(SIZE - 1)),
    ],
    ids=["more headers", "more cores", "part of a header"],
)
def test_columns_that_do_not_fit_one_another_are_broken(frame: Frame) -> None:
    with pytest.raises(Broken, match=r"frame-lengths|header-length"):
        entries(frame)


def test_a_clocks_frame_says_its_instant_and_nothing_else() -> None:
    frame = tick_frame(1_700_000_000)
    assert (frame.source, frame.tick) == (-1, 1_700_000_000)
    assert entries(frame) == []
