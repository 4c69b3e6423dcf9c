"""Body keys: the data keys that seal bodies, one for each agency and month, as files wrapped by a key-encryption key.

A key is named by its agency's permanent number and by its month, in which the door accepted what it seals; both stand
in each header, so no counter gives out ids and no two doors can give out the same. `kek/<n>.key` wraps all of them
(AES-GCM); `body-keys/<agency>-<yyyy-mm>.json` holds a wrapped key, or says when it was destroyed. Whoever changes
anything here holds the lock: of two doors that need a new month's key one makes it, and the other finds it.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors import key_files
from schemas.errors import Misconfigured, Reason, Refused, Unavailable

NONCE = 12
"""Bytes of a nonce of AES-GCM."""

REST_MS = 86_400_000
"""How long a month must be over before its key may be destroyed: doors may still be writing its last events."""

_FIRST_YEAR = 2000
_NAME = re.compile(r"(\d+)-(\d{4}-\d\d)\.json")
_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])")


class BodyKey(msgspec.Struct, frozen=True):
    """A data key as its file has it."""

    kek: int = 0  # number of the key that wraps it
    wrapped: str = ""  # nonce and wrapped key, hexadecimal digits; empty: destroyed
    destroyed: str = ""  # when, as an instant in UTC


class Listed(NamedTuple):
    """A data key as `migex keys list` shows it."""

    agency: int
    month: str  # yyyy-mm, UTC
    key: BodyKey


def key_id(at: int) -> int:
    """Return the number of the month (UTC) of an instant in ms since 1970: January 2000 is 1."""
    day = datetime.fromtimestamp(at / 1000, UTC)
    return (day.year - _FIRST_YEAR) * 12 + day.month


def month_name(number: int) -> str:
    """Return a month as yyyy-mm from its number."""
    return f"{_FIRST_YEAR + (number - 1) // 12}-{(number - 1) % 12 + 1:02}"


def begins(number: int) -> int:
    """Return the instant at which a month begins, in ms since 1970."""
    return int(datetime(_FIRST_YEAR + (number - 1) // 12, (number - 1) % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def month_number(name: str) -> int:
    """Return the number of a month written yyyy-mm; raises Refused for anything else."""
    if not _MONTH.fullmatch(name):
        raise Refused((Reason("bad-month", "month", "A month is written yyyy-mm.", "Write it like 2026-11."),))
    return (int(name[:4]) - _FIRST_YEAR) * 12 + int(name[5:])


class BodyKeys:
    """The data keys of one installation, in its directory of secrets."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read or made yet."""
        self._keks = directory / "kek"
        self._keys = directory / "body-keys"

    def make(self) -> list[Path]:
        """Make the first key-encryption key unless something was ever wrapped by one; return the files made."""
        for path in (self._keks, self._keys):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = self._kek_file(1)
        if any(self._keks.glob("*.key")) or any(self._keys.glob("*.json")):
            return []
        return [first] if key_files.write_once(first, key_files.new_key()) else []

    def check(self) -> None:
        """Raise Misconfigured when the key-encryption key is missing, open to others, or no key."""
        self._kek(self._newest())

    def obtain(self, agency: int, month: int) -> bytes:
        """Return a data key, made now if there is none.

        Raises Misconfigured when the key-encryption key is missing or not the one that wrapped it, or when the data
        key was destroyed; Unavailable when a new one cannot be written.
        """
        try:
            with self._locked():
                found = self.find(agency, month)
                key = self._make(agency, month) if found is None else found
        except OSError as error:
            raise Unavailable("body-key-unkept", f"A new key cannot be written to {self._keys}: {error}.") from error
        if not key:
            detail = f"The key of {month_name(month)} was destroyed, and this clock is still there: set it right."
            raise Misconfigured("body-key-destroyed", detail)
        return key

    def find(self, agency: int, month: int) -> bytes | None:
        """Return a data key; empty: it was destroyed; None: there never was one. Raises Misconfigured."""
        path = self._file(agency, month)
        stored = self._read(path)
        if stored is None:
            return None
        if not stored.wrapped:
            return b""
        wrapped = bytes.fromhex(stored.wrapped)
        try:
            return AESGCM(self._kek(stored.kek)).decrypt(wrapped[:NONCE], wrapped[NONCE:], _bound(agency, month))
        except InvalidTag:
            detail = f"{path} was not wrapped by {self._kek_file(stored.kek)}: restore the one that belongs to it."
            raise Misconfigured("bad-secret", detail) from None

    def all(self) -> list[Listed]:
        """Return every data key there ever was, by agency and month."""
        found = []
        for path in self._keys.glob("*.json"):
            named = _NAME.fullmatch(path.name)
            key = self._read(path)
            if named and key:
                found.append(Listed(int(named[1]), named[2], key))
        return sorted(found)

    def rotate(self) -> tuple[int, int]:
        """Make a new key-encryption key, wrap all data keys by it, remove the old ones; its number, and how many.

        Cut short anywhere, it leaves every data key with the key that wraps it, and can be run again.
        """
        with self._locked():
            number = self._newest() + 1
            key_files.write_once(self._kek_file(number), key_files.new_key())
            wrapped = [each for each in self.all() if each.key.wrapped]
            for each in wrapped:
                month = month_number(each.month)
                self._wrap(each.agency, month, self.find(each.agency, month) or b"", number)
            for path in self._keks.glob("*.key"):
                if path != self._kek_file(number):
                    path.unlink()
            return number, len(wrapped)

    def destroy(self, agency: int, month: int, now: int) -> None:
        """Destroy a data key for ever at `now` (ms since 1970).

        Raises Refused for a month that is not over by a day, and for a key that is not there.
        """
        if now < begins(month + 1) + REST_MS:
            rule = "The key of a month can be destroyed when the month (UTC) has been over for a day."
            raise Refused((Reason("month-not-over", "month", rule, "Wait until then."),))
        path = self._file(agency, month)
        with self._locked():
            stored = self._read(path)
            if stored is None or not stored.wrapped:
                rule = "There is no such key, or it is destroyed already."
                raise Refused((Reason("body-key-absent", "month", rule, "`migex keys list` shows all."),))
            gone = BodyKey(destroyed=datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            with path.open("r+b") as old:
                key_files.replace(path, msgspec.json.encode(gone).decode())
                old.write(b"0" * os.fstat(old.fileno()).st_size)  # or the wrapped key lies on the disk for a while
                old.flush()
                os.fsync(old.fileno())

    def _make(self, agency: int, month: int) -> bytes:
        key = AESGCM.generate_key(256)
        self._wrap(agency, month, key, self._newest())
        return key

    def _wrap(self, agency: int, month: int, key: bytes, kek: int) -> None:
        nonce = os.urandom(NONCE)
        wrapped = nonce + AESGCM(self._kek(kek)).encrypt(nonce, key, _bound(agency, month))
        key_files.replace(self._file(agency, month), msgspec.json.encode(BodyKey(kek, wrapped.hex())).decode())

    def _newest(self) -> int:
        numbers = [int(path.stem) for path in self._keks.glob("*.key") if path.stem.isdecimal()]
        if not numbers:
            raise key_files.missing(self._kek_file(1))
        return max(numbers)

    def _kek(self, number: int) -> bytes:
        return key_files.read_key(self._kek_file(number))[:32]

    def _kek_file(self, number: int) -> Path:
        return self._keks / f"{number}.key"

    def _file(self, agency: int, month: int) -> Path:
        return self._keys / f"{agency}-{month_name(month)}.json"

    def _read(self, path: Path) -> BodyKey | None:
        if not path.exists():
            return None
        try:
            found = msgspec.json.decode(key_files.read(path), type=BodyKey)
            bytes.fromhex(found.wrapped)
        except ValueError:
            raise Misconfigured("bad-secret", f"{path} is no wrapped key. Restore it.") from None
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep all others out who would make, wrap or destroy keys."""
        self._keys.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(self._keys / "lock", os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _bound(agency: int, month: int) -> bytes:
    """Return what a wrapped key is bound to, so that no file can stand in for another."""
    return f"migex.body-key\x1f{agency}\x1f{month_name(month)}".encode()
