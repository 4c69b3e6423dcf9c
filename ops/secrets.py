"""Secrets: the keys of one installation, as files that only their owner may read.

`link-<n>.key` makes link keys (the greatest number counts), `digest.key` makes content digests and never changes,
`agencies.json` holds SHA-256 of every agency's API keys. The keys themselves lie in `api-keys/<agency>.key` for the
local programs that publish in an agency's name; remove those files where real agencies hold them. An API key is 32
random bytes, so a plain hash of it cannot be guessed.
"""

from __future__ import annotations

import json
import os
import secrets as chance
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from schemas.errors import Misconfigured
from schemas.keys import Secrets

_HASHES = "agencies.json"


def make(directory: Path, agencies: Iterable[str]) -> list[Path]:
    """Make what is missing for these agencies and return the files made; keys that are there stay as they are."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "api-keys").mkdir(mode=0o700, exist_ok=True)
    made = [path for path in (directory / "link-1.key", directory / "digest.key") if _make_key(directory, path)]
    hashes = _read_hashes(directory)
    for agency in agencies:
        path = directory / "api-keys" / f"{agency}.key"
        if agency in hashes and not path.exists():
            continue  # the agency holds its key itself
        if _write_once(path, chance.token_urlsafe(32)):
            made.append(path)
        known = hashes.setdefault(agency, [])
        digest = sha256(api_key(directory, agency).encode()).hexdigest()
        if digest not in known:
            known.append(digest)
    _replace(directory / _HASHES, json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    return made


def load(directory: Path) -> Secrets:
    """Return the keys of the doors; raises Misconfigured when a file is missing, open to others, or not a key."""
    numbers = [int(path.stem.removeprefix("link-")) for path in directory.glob("link-*.key")]
    if not numbers:
        raise _missing(directory / "link-1.key")
    newest = max(numbers)
    return Secrets(
        link_key=_key(directory / f"link-{newest}.key"), link_key_id=newest, digest_key=_key(directory / "digest.key")
    )


def agencies(directory: Path) -> Mapping[str, str]:
    """Return SHA-256 of every API key, as hexadecimal digits -> agency; raises Misconfigured."""
    if not (directory / _HASHES).exists():
        raise _missing(directory / _HASHES)
    return {digest: agency for agency, known in _read_hashes(directory).items() for digest in known}


def api_key(directory: Path, agency: str) -> str:
    """Return the API key of an agency whose key is kept here; raises Misconfigured."""
    return _read(directory / "api-keys" / f"{agency}.key").strip()


def _make_key(directory: Path, path: Path) -> bool:
    """Make a key of 32 bytes; a link key only where there is none, whatever its number."""
    if path.name.startswith("link-") and any(directory.glob("link-*.key")):
        return False
    return _write_once(path, chance.token_hex(32))


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(_read(path))
    except ValueError:
        key = b""
    if len(key) < 32:
        raise Misconfigured("bad-secret", f"{path} holds no key: at least 64 hexadecimal digits. Restore it.")
    return key


def _read_hashes(directory: Path) -> dict[str, list[str]]:
    path = directory / _HASHES
    if not path.exists():
        return {}
    try:
        hashes: dict[str, list[str]] = json.loads(_read(path))
    except ValueError:
        raise Misconfigured("bad-secret", f"{path} is not JSON. Restore it.") from None
    return hashes


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured("open-secret", f"{path} can be read by others: run `chmod 600` on it.")
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        raise _missing(path) from None


def _missing(path: Path) -> Misconfigured:
    return Misconfigured("no-secret", f"{path} is missing: run `migex init`, or restore it.")


def _write_once(path: Path, text: str) -> bool:
    """Write a file that is not there yet, never readable by others; False: it is there."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    return True


def _replace(path: Path, text: str) -> None:
    """Put the whole new file in the place of the old one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _write_once(fresh, text.rstrip("\n"))
    fresh.replace(path)
