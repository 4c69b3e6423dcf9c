"""Entry: what the doors write into the inbox for one delivery, accepted or refused."""

from __future__ import annotations

from typing import NamedTuple

from schemas.header import Header

NOBODY = bytes(16)
"""The record of a refused delivery that named none."""


class Entry(NamedTuple):
    """One delivery as the inbox keeps it: pseudonymised, or only counted when it was refused."""

    header: Header
    core: bytes  # schemas.core; of a refused delivery: msgpack list of [code, field]
    body: bytes  # Avro under the contract's stored schema; empty when refused

    @property
    def size(self) -> int:
        """Bytes of core and body together."""
        return len(self.core) + len(self.body)

    @property
    def partition_key(self) -> bytes:
        """What places the entry in the inbox: its record, or the delivery when it named none."""
        return self.header.delivery if self.header.record == NOBODY else self.header.record
