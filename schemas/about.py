"""What reports without a person are about: a licence, a quota, a corridor of remittances.

A plain digest of the contract's `subject` stands where a person has the birth date and link keys, so that the folds
need not know the difference. Plain, because nothing of it is secret, and because it must outlive every secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from schemas.core import SUBJECT

BLOCKS = 1 << 31
"""Blocks from here on are of subjects; birth dates stay below (yyyymmdd)."""


def subject_key(family: str, values: Sequence[str | int | bytes | None]) -> bytes:
    """Return the link key of a subject: of its kind, for which the family's name stands, and of what tells it apart."""
    text = msgspec.msgpack.encode((family, *values))
    return bytes((SUBJECT,)) + blake2b(text, digest_size=16, person=b"migex-subject").digest()


def subject_block(key: bytes) -> int:
    """Return the block in which all reports of the subject with this key meet."""
    return BLOCKS | int.from_bytes(key[1:5], "big") % BLOCKS
