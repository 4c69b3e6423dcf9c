"""API keys: by which the gateway knows an agency. Each agency may have several, so that one can be replaced.

`agencies.json` in the directory of secrets holds SHA-256 of every key, never a key: it is 32 random bytes, so a plain
hash of it cannot be guessed. `api-keys/<agency>.key` holds one for the local programs that publish in an agency's name;
remove those files where real agencies hold them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as chance
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from connectors import key_files
from schemas.errors import Misconfigured, Unavailable

_HASHES = "agencies.json"

Clock = Callable[[], datetime]


class Key(NamedTuple):
    """One API key as we know it: not the key."""

    sha256: str  # hexadecimal digits
    made: str  # an instant of ISO 8601; empty: before such instants were noted
    revoked: str = ""  # an instant; empty: it is in force

    @property
    def id(self) -> str:
        """By what people name it: the first eight digits of its hash, which betray nothing of it."""
        return self.sha256[:8]


def utc_now() -> datetime:
    """Return the instant."""
    return datetime.now(UTC)


class ApiKeys:
    """The API keys of one installation."""

    def __init__(self, directory: Path, now: Clock = utc_now) -> None:
        """`directory` is that of the secrets."""
        self._directory = directory
        self._file = directory / _HASHES
        self._now = now

    def known(self) -> dict[str, list[Key]]:
        """Return all keys of each agency, revoked ones too; raises Misconfigured for a file that is none."""
        if not self._file.exists():
            return {}
        try:
            read = json.loads(key_files.read(self._file))
            return {agency: [_key(each) for each in keys] for agency, keys in read.items()}
        except (ValueError, TypeError, AttributeError):
            raise Misconfigured("bad-secret", f"{self._file} holds no keys' hashes. Restore it.") from None

    def add(self, agency: str) -> tuple[Key, str]:
        """Make one more key; return what is kept of it, and the key itself, which is told once."""
        with self._alone():
            return self._add(self.known(), agency, chance.token_urlsafe(32))

    def revoke(self, agency: str, key_id: str) -> Key:
        """Let a key be worth nothing; raises Misconfigured when the agency has none of this id, or several."""
        with self._alone():
            known = self.known()
            found = [key for key in known.get(agency, []) if key_id and key.sha256.startswith(key_id)]
            if len(found) != 1:
                detail = f"{agency} has {len(found)} keys with the id {key_id}: `migex agency list` shows them."
                raise Misconfigured("key-unknown", detail)
            revoked = found[0]._replace(revoked=found[0].revoked or self._instant())
            known[agency] = [revoked if key == found[0] else key for key in known[agency]]
            self._keep(known)
            return revoked

    def make(self, agencies: Iterable[str]) -> list[Path]:
        """Make a key in a file for each agency that has none; return the files made."""
        (self._directory / "api-keys").mkdir(mode=0o700, exist_ok=True)
        made = []
        with self._alone():
            known = self.known()
            for agency in agencies:
                path = self.path(agency)
                if agency in known and not path.exists():
                    continue  # the agency holds its key itself
                if key_files.write_once(path, chance.token_urlsafe(32)):
                    made.append(path)
                text = self.of(agency)
                if _hash(text) not in {key.sha256 for key in known.get(agency, [])}:
                    self._add(known, agency, text)
            if not self._file.exists():
                self._keep(known)
        return made

    def path(self, agency: str) -> Path:
        """Return the file in which an agency's key is kept here, if it is."""
        return self._directory / "api-keys" / f"{agency}.key"

    def of(self, agency: str) -> str:
        """Return the key of an agency whose key is kept here; raises Misconfigured."""
        return key_files.read(self.path(agency)).strip()

    def _add(self, known: dict[str, list[Key]], agency: str, text: str) -> tuple[Key, str]:
        key = Key(_hash(text), self._instant())
        known.setdefault(agency, []).append(key)
        self._keep(known)
        return key, text

    def _keep(self, known: Mapping[str, Iterable[Key]]) -> None:
        written = {agency: [key._asdict() for key in keys] for agency, keys in known.items()}
        key_files.replace(self._file, json.dumps(written, indent=1, sort_keys=True))

    def _instant(self) -> str:
        return self._now().isoformat(timespec="seconds")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from changing the file meanwhile."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


class InForce:
    """Whose each key in force is, as the file says now: a revoked key is worth nothing from the next request on."""

    def __init__(self, directory: Path) -> None:
        """Raises Misconfigured when the file is missing or cannot be read."""
        self._keys = ApiKeys(directory)
        self._file = directory / _HASHES
        if not self._file.exists():
            raise key_files.missing(self._file)
        self._seen: tuple[int, ...] = ()
        self._by_hash: Mapping[str, str] = {}
        self()

    def __call__(self) -> Mapping[str, str]:
        """Return SHA-256 of every key, as hexadecimal digits -> agency.

        Raises Unavailable when the file is gone or damaged: then nobody is let in by what it said before.
        """
        try:
            at = self._file.stat()
            seen = (at.st_mtime_ns, at.st_ino, at.st_size, at.st_mode)
            if seen != self._seen:
                known = self._keys.known()
                self._by_hash = {key.sha256: who for who, keys in known.items() for key in keys if not key.revoked}
                self._seen = seen
        except (OSError, Misconfigured) as error:
            if not self._seen:
                raise
            raise Unavailable("keys-away", "The API keys' hashes cannot be read now; nobody is let in.") from error
        return self._by_hash


def _key(read: object) -> Key:
    return Key(read, "") if isinstance(read, str) else Key(**read)  # type: ignore[arg-type]  # TypeError is expected


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
