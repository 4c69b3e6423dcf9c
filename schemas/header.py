"""The packed header of a record: what deduplication reads, without decoding anything else.

One fixed-size struct per record serves the inbox and the log alike; big-endian, so that versions
compare as bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

from schemas.errors import Broken


class Kind(IntEnum):
    """What one entry of a frame is."""

    EVENT = 1  # inbox: an accepted delivery of a version of a record
    REFUSED = 2  # inbox: a delivery that was refused at the door; no body, so that the books know it
    ASSERT = 3  # log: this version now speaks for the record in this block
    RETRACT = 4  # log: the record no longer speaks in this block


class Op(IntEnum):
    """What the sender does with the record (conventions, section 9.6)."""

    CREATE = 1
    CORRECT = 2
    CANCEL = 3


class Door(IntEnum):
    """By which door a delivery came; in the inbox it stands in `Header.seq`, which only the log needs."""

    UNKNOWN = 0  # written before doors were noted, or by something that is none
    HTTP = 1
    KAFKA = 2
    FILE = 3


class Header(NamedTuple):
    """The header of one entry; times are milliseconds since 1970-01-01T00:00Z."""

    kind: int
    op: int
    agency: int  # permanent number of the agency, from the convention file; 0: nobody's (refused before it was known)
    family: int  # permanent number of the event family; 0: unknown (refused)
    revision: int  # the sender's number of this version, from 1
    seq: int  # log: the how-manieth statement about this record this is, from 1; inbox: the `Door`
    block: int  # birth date as yyyymmdd (yyyy0000: only the year is known); 0: none
    schema_id: int  # permanent id of the contract the event was written under
    link_key_id: int  # level of the link keys: how many secrets, one over the other, made them
    body_key_id: int  # month of the agency's data key that seals the body, January 2000 is 1; 0: not sealed
    recorded_at: int  # when the agency recorded this version
    accepted_at: int  # when the door accepted the delivery
    record: bytes  # 16 bytes, see `record_id`
    digest: bytes  # 16 bytes: keyed digest of the event's canonical content
    delivery: bytes  # 8 bytes: the same for transport repeats of one delivery


_FORMAT = ">BBHHIIIIHHqq16s16s8s"
_PACKED = struct.Struct(_FORMAT)
SIZE = _PACKED.size


def _place(name: str, through: str | None = None) -> slice:
    """Return where a field (or all from it through another) stands in a packed header."""
    codes = re.findall(r"\d*[a-zA-Z]", _FORMAT)
    first = Header._fields.index(name)
    last = Header._fields.index(through or name) + 1
    return slice(struct.calcsize(">" + "".join(codes[:first])), struct.calcsize(">" + "".join(codes[:last])))


# Folds read the few fields that they need from the packed bytes, and compare numbers as big-endian bytes: unpacking
# all fields of every record took a third of deduplicate's time.
OP = _place("op")
OWNER = _place("agency", "family")
"""Agency and family together: whose record it is, as the books know it."""
REVISION = _place("revision")
SEQ = _place("seq")
BLOCK = _place("block")
LINK_KEY_ID = _place("link_key_id")
RECORDED_AT = _place("recorded_at")
ACCEPTED_AT = _place("accepted_at")
RECORD = _place("record")
DIGEST = _place("digest")
DELIVERY = _place("delivery")
_AFTER_KIND = slice(OP.start, SEQ.start)
_SPOKEN = struct.Struct(">2xHH4xI4s8xq8x16s")  # the other fields are passed over
_KINDS = {kind: bytes([kind]) for kind in Kind}


def pack(headers: Sequence[Header]) -> bytes:
    """Return the headers as one block of `SIZE` bytes each."""
    one = _PACKED.pack
    return b"".join([one(*h) for h in headers])


def each(data: bytes) -> list[bytes]:
    """Return the packed headers one by one; raises Broken when the length is not a multiple of `SIZE`."""
    if len(data) % SIZE:
        raise Broken("header-length", f"Packed headers are {SIZE} bytes each.")
    return [data[i : i + SIZE] for i in range(0, len(data), SIZE)]


def spoken(header: bytes) -> tuple[int, int, int, bytes, int, bytes]:
    """Return agency, family, seq, block, recorded_at (ms) and record of a packed header."""
    agency, family, seq, block, recorded_at, record = _SPOKEN.unpack_from(header)
    return agency, family, seq, block, recorded_at, record


def statement(header: bytes, kind: Kind, seq: bytes, block: bytes) -> bytes:
    """Return the packed header of a delivery as one of a statement to the log; `seq` and `block` are four bytes."""
    return _KINDS[kind] + header[_AFTER_KIND] + seq + block + header[BLOCK.stop :]


def recorded(header: bytes, recorded_at: bytes) -> bytes:
    """Return the packed header with another instant of recording (eight bytes)."""
    return header[: RECORDED_AT.start] + recorded_at + header[RECORDED_AT.stop :]


def unpack(data: bytes) -> Iterator[Header]:
    """Yield the headers of a packed block; raises Broken when its length is not a multiple of `SIZE`."""
    if len(data) % SIZE:
        raise Broken("header-length", f"Packed headers are {SIZE} bytes each.")
    return map(Header._make, _PACKED.iter_unpack(data))


def record_id(agency: str, family: str, record_no: str) -> bytes:
    """Return the 16 bytes that name a record: a digest of agency code, family and the agency's own number.

    The family is part of it because agencies number each of their registers from one.
    """
    name = "\x1f".join((agency, family, record_no)).encode()
    return blake2b(name, digest_size=16, person=b"migex-record").digest()
