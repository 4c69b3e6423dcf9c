"""Keys: what is left of an identity past the door (law L8), and the digest of what an event says.

All are HMAC-SHA-256 cut to 16 bytes. Each purpose has its own text before the first separator, so that no digest
of one purpose can be taken for one of another.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from schemas import names
from schemas.core import DOCUMENT, NAME, PERSONAL_NO

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The keys of one installation; never shown, not even by `repr`.

    `link_key` makes link keys and pseudonyms; each key of `nested` is put over what the one before it made, so that
    rotation needs no identities (law L8: key_n = HMAC(k_n, key_{n-1})). `digest_key` makes content digests and never
    changes, for an old delivery must be recognised for ever (law L1).
    """

    link_key: bytes = field(repr=False)
    digest_key: bytes = field(repr=False)
    nested: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse short keys: HMAC-SHA-256 wants 32 bytes (RFC 2104, section 3)."""
        if min(map(len, (self.link_key, self.digest_key, *self.nested))) < 32:
            raise ValueError("A key must have at least 32 bytes.")

    @property
    def link_key_id(self) -> int:
        """The level of the link keys that these secrets make: 1, and 1 more for each rotation."""
        return 1 + len(self.nested)


@lru_cache(maxsize=64)
def _begun(key: bytes) -> hmac.HMAC:
    """Return an HMAC before its text: to copy one takes less than to begin one with the key."""
    return hmac.new(key, digestmod="sha256")


def _mac(key: bytes, text: bytes) -> bytes:
    mac = _begun(key).copy()
    mac.update(text)
    return mac.digest()[:16]


def raised(digest: bytes, nested: Sequence[bytes]) -> bytes:
    """Return a link key's or pseudonym's 16 bytes after so many further levels (law L8)."""
    for key in nested:
        digest = _mac(key, digest)
    return digest


def _keyed(secrets: Secrets, *parts: str) -> bytes:
    text = _SEPARATOR.join(parts).encode("utf-8", "surrogatepass")
    digest = _mac(secrets.link_key, text)
    return raised(digest, secrets.nested) if secrets.nested else digest


def content_digest(secrets: Secrets, canonical: bytes) -> bytes:
    """Return the 16 bytes that are equal for equal content; `canonical` is the event in canonical form."""
    return _mac(secrets.digest_key, b"migex.content\x1f" + canonical)


def pseudonym(secrets: Secrets, purpose: str, text: str) -> bytes:
    """Return the 16 bytes that stand for a personal number; empty when the text holds no letter and no digit.

    `purpose` is the name of the field, so that a permit and a visa of one number are not taken for one thing.
    """
    number = names.number(text)
    return _keyed(secrets, "migex.pseudonym", purpose, number) if number else b""


def personal_no_key(secrets: Secrets, country: str, personal_no: str) -> bytes:
    """Return the link key of a person's number in a country's register; empty when it is none that identifies."""
    number = names.identifying(personal_no)
    if not number:
        return b""
    return bytes((PERSONAL_NO,)) + _keyed(secrets, "migex.link.personal_no", country, number)


def document_key(secrets: Secrets, issuer: str, document_no: str) -> bytes:
    """Return the link key of an identity document; empty when its number is none that identifies."""
    number = names.identifying(document_no)
    return bytes((DOCUMENT,)) + _keyed(secrets, "migex.link.document", issuer, number) if number else b""


def name_keys(secrets: Secrets, surname: str, given_names: str, birth: int) -> tuple[bytes, ...]:
    """Return the link keys of name and birth date (yyyymmdd), at most three; none without a full date or a letter.

    Two ways to write one name share one of them: see `schemas.names.spellings`.
    """
    if birth % 100 == 0:
        return ()
    day = str(birth)
    return tuple(
        [
            bytes((NAME,)) + _keyed(secrets, "migex.link.name", spelt, day)
            for spelt in names.spellings(surname, given_names)
        ]
    )


def joined(*keys: bytes) -> bytes:
    """Return the link keys one after another, ascending, without the empty ones: the form of `Core.keys`."""
    return b"".join(sorted(keys))
