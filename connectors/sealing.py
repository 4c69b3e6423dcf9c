"""Sealing: bodies are written under a data key of their agency and month, and read by few (law L8).

AES-256-GCM. A sealed body is the nonce, then ciphertext and tag; bound to it (AAD) are the record's id, its revision
and its schema, so that a body cannot stand in another's place. Nonces are 96 random bits: with at most 2^32 bodies
under one key, which is 1,600 a second of one agency for a whole month, two are ever alike with a chance below 2^-32
(NIST SP 800-38D, section 8.3); no count has to survive a restart, a fork or a second door, so none can be counted
twice. The key's id is its month's number; with the header's agency it names one key for ever.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.body_keys import NONCE, begins, key_id
from schemas.header import Header

_BOUND = struct.Struct(">16sII").pack
_chance = os.urandom


class Shut(StrEnum):
    """Why a body cannot be read."""

    DESTROYED = "body destroyed"  # on purpose: its agency's key of that month is gone for ever
    KEYLESS = "no key here"  # the key never was in this directory of secrets
    DAMAGED = "body damaged"  # it is not what was sealed, or not this record's


class Sealer:
    """What seals the bodies of a door; it forgets a month's keys with the first event of another month."""

    def __init__(self, obtain: Callable[[int, int], bytes]) -> None:
        """`obtain` returns the data key of an agency and month: see `BodyKeys.obtain`, also for what is raised."""
        self._obtain = obtain
        self._id = self._begins = self._ends = 0
        self._ciphers: dict[tuple[int, int], AESGCM] = {}

    def key_id(self, accepted_at: int) -> int:
        """Return the id of the keys for what is accepted at this instant, ms since 1970."""
        if not self._begins <= accepted_at < self._ends:
            self._id = key_id(accepted_at)
            self._begins, self._ends = begins(self._id), begins(self._id + 1)
            self._ciphers.clear()
        return self._id

    def seal(self, header: Header, body: bytes) -> bytes:
        """Return the body sealed under the key that its header names."""
        name = header.agency, header.body_key_id
        cipher = self._ciphers.get(name)
        if cipher is None:
            cipher = self._ciphers[name] = AESGCM(self._obtain(*name))
        nonce = _chance(NONCE)
        return nonce + cipher.encrypt(nonce, body, _bound(header))


class Opener:
    """What opens sealed bodies, for those who hold the keys."""

    def __init__(self, find: Callable[[int, int], bytes | None]) -> None:
        """`find` returns the data key of an agency and month: see `BodyKeys.find`."""
        self._find = find
        self._ciphers: dict[tuple[int, int], AESGCM | Shut] = {}

    def open(self, header: Header, body: bytes) -> bytes | Shut:
        """Return a body as it was before it was sealed, or why nobody can read it; one not sealed as it is."""
        name = header.agency, header.body_key_id
        if not header.body_key_id:
            return body
        cipher = self._ciphers.get(name)
        if cipher is None:
            cipher = self._ciphers[name] = self._cipher(name)
        if isinstance(cipher, Shut):
            return cipher
        try:
            return cipher.decrypt(body[:NONCE], body[NONCE:], _bound(header))
        except (InvalidTag, ValueError):
            return Shut.DAMAGED

    def _cipher(self, name: tuple[int, int]) -> AESGCM | Shut:
        key = self._find(*name)
        return Shut.KEYLESS if key is None else AESGCM(key) if key else Shut.DESTROYED


def _bound(header: Header) -> bytes:
    return _BOUND(header.record, header.revision, header.schema_id)
