"""Unpacking: what is packed comes out as it was, and never more than there is room for."""

from __future__ import annotations

import gzip
import random
import zlib

import cramjam
import pytest
from backports import zstd

from connectors.unpacking import MAX_MEMBERS, NotPackedSo, TooMuch, Unpacking, of_deflate, of_snappy, unpacked

TEXT = bytes(random.Random(3).choices(b"abcdefgh", k=50_000))


def raw_deflate(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


PACKED = {
    "gzip": gzip.compress(TEXT),
    "zstd": zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}),
    "": TEXT,
}


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
def test_what_comes_out_is_what_went_in_however_it_is_cut(codec: str, step: int) -> None:
    packed = PACKED[codec]
    unpacking = Unpacking(codec, len(TEXT))
    for begin in range(0, len(packed), step):
        unpacking.add(packed[begin : begin + step])
    assert unpacking.done() == TEXT


@pytest.mark.parametrize("codec", PACKED)
def test_one_byte_more_than_there_is_room_for_is_too_much(codec: str) -> None:
    with pytest.raises(TooMuch):
        unpacked(codec, PACKED[codec], len(TEXT) - 1)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_several_members_are_one_body(codec: str) -> None:
    twice = PACKED[codec] * 2
    assert unpacked(codec, twice, 2 * len(TEXT)) == TEXT * 2
    unpacking = Unpacking(codec, 2 * len(TEXT))
    for begin in range(len(twice)):
        unpacking.add(twice[begin : begin + 1])
    assert unpacking.done() == TEXT * 2


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_empty_members_are_not_unpacked_for_ever(codec: str) -> None:
    empty = gzip.compress(b"") if codec == "gzip" else zstd.compress(b"")
    with pytest.raises(NotPackedSo):
        unpacked(codec, empty * (MAX_MEMBERS + 1), 10**6)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("fault", ["cut", "other", "empty", "damaged"])
def test_bytes_that_are_not_packed_so(codec: str, fault: str) -> None:
    packed = bytearray(PACKED[codec])
    if fault == "damaged":
        for place in range(100, 140):
            packed[place] ^= 255
    faulty = {"cut": packed[:-3], "other": b"{}" + TEXT, "empty": b"", "damaged": bytes(packed)}[fault]
    with pytest.raises((NotPackedSo, TooMuch)):
        unpacked(codec, bytes(faulty), 10 * len(TEXT))


def test_a_frame_with_a_huge_window_is_refused() -> None:
    packing = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    wide = packing.compress(TEXT) + packing.flush()
    with pytest.raises(NotPackedSo):
        unpacked("zstd", wide, 10**6)


def test_a_bare_deflate_stream_may_have_something_behind_it() -> None:
    packed = raw_deflate(TEXT)
    assert of_deflate(packed + b"abc", len(TEXT)) == TEXT
    with pytest.raises(TooMuch):
        of_deflate(packed, len(TEXT) - 1)
    for faulty in (packed[:-5], b"", b"\xff" * 9):
        with pytest.raises(NotPackedSo):
            of_deflate(faulty, len(TEXT))


def test_snappy_says_its_size_before() -> None:
    packed = bytes(cramjam.snappy.compress_raw(TEXT))
    assert of_snappy(packed, len(TEXT)) == TEXT
    with pytest.raises(TooMuch):
        of_snappy(packed, len(TEXT) - 1)
    with pytest.raises(TooMuch):
        of_snappy(b"\xff\xff\xff\xff\x0f" + packed, len(TEXT))
    with pytest.raises(NotPackedSo):
        of_snappy(packed[:-10], len(TEXT))
