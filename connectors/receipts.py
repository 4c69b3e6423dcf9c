"""Receipts: what a sender keeps as proof of an accepted version, and what a question about it is asked by.

A receipt is the version's name (family, record, revision, content) sealed by AES-SIV (RFC 5297), bound to its agency:
the same version always has the same receipt, whoever does not hold our secret can neither make one nor try out guesses
on one, and for another agency it opens nothing. So what a receipt opens to *was* accepted, even where no fold has heard
of it yet, and it leads to its record without an index. The key comes from the digest key, which never rotates.
"""

from __future__ import annotations

import base64
import hmac
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from schemas.header import Header
from schemas.keys import Secrets

_NAME = struct.Struct(">HI16s8s")
DIGEST_SIZE = 8
"""Bytes of a content's digest in a receipt: it tells the few versions of one record apart."""

SIZE = 4 * -(-(_NAME.size + 16) // 3) - 2
"""Characters of a receipt."""

_BEYOND_LETTERS = b"~_"


class Receipt(NamedTuple):
    """What a receipt says."""

    family: int  # permanent number
    revision: int
    record: bytes  # `schemas.header.record_id`
    digest: bytes  # the first bytes of the content's

    @classmethod
    def of(cls, header: Header) -> Receipt:
        """Return what the receipt of this delivery says."""
        return cls(header.family, header.revision, header.record, header.digest[:DIGEST_SIZE])


class Receipts:
    """What issues and reads receipts."""

    def __init__(self, secrets: Secrets) -> None:
        """The key is derived from the digest key, for a receipt must be the same for ever."""
        self._cipher = AESSIV(hmac.digest(secrets.digest_key, b"migex.receipt", "sha512"))

    def issue(self, agency: str, receipt: Receipt) -> str:
        """Return the receipt as it is told to the agency (its code): letters, digits, ~ and _.

        No "-": where one begins with it, a spreadsheet takes it for a formula.
        """
        family, revision, record, digest = receipt
        sealed = self._cipher.encrypt(_NAME.pack(family, revision, record, digest), [agency.encode()])
        return base64.b64encode(sealed, _BEYOND_LETTERS).rstrip(b"=").decode()

    def read(self, agency: str, told: str) -> Receipt | None:
        """Return what a receipt says; None: it is none that was ever given to this agency."""
        if len(told) != SIZE or not told.isascii():
            return None
        try:
            sealed = base64.b64decode(told + "==", altchars=_BEYOND_LETTERS, validate=True)
            return Receipt(*_NAME.unpack(self._cipher.decrypt(sealed, [agency.encode()])))
        except (ValueError, InvalidTag):
            return None
