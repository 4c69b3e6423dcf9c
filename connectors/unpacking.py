"""Unpacking: gzip, zstd, deflate and Snappy under a cap on what comes out, so that a small bomb stays small."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Protocol

import cramjam
from backports import zstd

MAX_MEMBERS = 100
"""Members of gzip, or frames of zstd, in one body; each costs time, and an empty one brings nothing."""

STEP = 1 << 20
"""Bytes that are unpacked at a time."""

WINDOW_LOG = 23
"""A zstd frame that wants a larger window than 8 MiB is refused (RFC 9659, section 3)."""

_RAW_DEFLATE, _GZIP = -15, 31  # zlib's `wbits`


class TooMuch(Exception):
    """More comes out than there is room for."""


class NotPackedSo(Exception):
    """The bytes are not what they are said to be, or are not whole."""


class _Stream(Protocol):
    """One member or frame being unpacked."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...  # behind the end of the member
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


_STREAMS: Mapping[str, Callable[[], _Stream]] = MappingProxyType(
    {
        "gzip": lambda: zlib.decompressobj(_GZIP),
        "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG}),
    }
)


class Unpacking:
    """The bytes of one body, unpacked as they come."""

    def __init__(self, codec: str, max_bytes: int) -> None:
        """`codec` is gzip, zstd, or empty: nothing is packed."""
        self._make = _STREAMS.get(codec)
        self._stream = None if self._make is None else self._make()
        self._max_bytes = max_bytes
        self._members = 1
        self._taken = 0
        self._out = BytesIO()  # gives what it holds away without a copy

    def add(self, chunk: bytes) -> None:
        """Take further bytes; raises TooMuch and NotPackedSo."""
        self._taken += len(chunk)
        if self._taken > self._max_bytes:
            raise TooMuch
        if self._make is None or self._stream is None:
            self._out.write(chunk)
            return
        more = bool(chunk)
        while more:
            if self._stream.eof:
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise NotPackedSo
                self._stream = self._make()
            # with room for one byte more than allowed, whatever is left over means too much
            most = min(self._max_bytes - self._out.tell() + 1, STEP)
            try:
                out = self._stream.decompress(chunk, most)
            except (zlib.error, zstd.ZstdError):
                raise NotPackedSo from None
            self._out.write(out)
            if self._out.tell() > self._max_bytes:
                raise TooMuch
            if self._stream.eof:
                chunk = self._stream.unused_data
                more = bool(chunk)
            else:
                chunk = getattr(self._stream, "unconsumed_tail", b"")  # zstd keeps that to itself
                more = bool(chunk) or len(out) == most

    def done(self) -> bytes:
        """Return all that came out; raises NotPackedSo when the end is missing."""
        if self._stream is not None and not self._stream.eof:
            raise NotPackedSo
        return self._out.getvalue()


def unpacked(codec: str, packed: bytes, max_bytes: int) -> bytes:
    """Return what the bytes unpack to; raises TooMuch and NotPackedSo."""
    unpacking = Unpacking(codec, max_bytes)
    unpacking.add(packed)
    return unpacking.done()


def of_deflate(packed: bytes, max_bytes: int) -> bytes:
    """Return what a bare deflate stream unpacks to; raises TooMuch and NotPackedSo.

    What follows its end is passed over: some writers of Avro leave the rest of zlib's checksum there.
    """
    stream = zlib.decompressobj(_RAW_DEFLATE)
    try:
        out = stream.decompress(packed, max_bytes + 1)
    except zlib.error:
        raise NotPackedSo from None
    if len(out) > max_bytes:
        raise TooMuch
    if not stream.eof:
        raise NotPackedSo
    return out


def of_snappy(packed: bytes, max_bytes: int) -> bytes:
    """Return what a Snappy block unpacks to, which says its size itself; raises TooMuch and NotPackedSo."""
    try:
        if cramjam.snappy.decompress_raw_len(packed) > max_bytes:
            raise TooMuch
        return bytes(cramjam.snappy.decompress_raw(packed))
    except cramjam.DecompressionError:
        raise NotPackedSo from None
