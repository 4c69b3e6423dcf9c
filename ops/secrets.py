"""Secrets: the keys of one installation, as files that only their owner may read.

`link-<n>.key` is the key of level n: the first makes link keys, each further one is put over what the one before made
(law L8); `link-level` says up to which one the doors go. `digest.key` makes content digests and never changes. `kek/`
and `body-keys/` seal bodies (`connectors.body_keys`).
`agencies.json` and `api-keys/` are about the agencies' API keys (`ops.api_keys`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from connectors import key_files
from connectors.body_keys import BodyKeys
from ops.api_keys import ApiKeys
from schemas.errors import Misconfigured
from schemas.keys import Secrets
from schemas.lifting import Lift

_LEVEL = "link-level"


def make(directory: Path, agencies: Iterable[str]) -> list[Path]:
    """Make what is missing for these agencies and return the files made; keys that are there stay as they are."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = [directory / "digest.key"]
    if not any(directory.glob("link-*.key")):  # a new first one under old further ones would link nothing
        missing.insert(0, _link_file(directory, 1))
    made = [path for path in missing if key_files.write_once(path, key_files.new_key())]
    made += BodyKeys(directory).make()
    return made + ApiKeys(directory).make(agencies)


def load(directory: Path) -> Secrets:
    """Return the keys of the doors; raises Misconfigured when a file is missing, open to others, or not a key."""
    first, *nested = [key_files.read_key(_link_file(directory, n + 1)) for n in range(level(directory))]
    return Secrets(link_key=first, digest_key=key_files.read_key(directory / "digest.key"), nested=tuple(nested))


def lifting(directory: Path, upto: int) -> Lift:
    """Return what brings cores up to a level, from the keys of the levels after the first; raises Misconfigured.

    The first key is not asked for: whoever has only the later ones can try no names on what is stored.
    """
    return Lift([key_files.read_key(_link_file(directory, n)) for n in range(2, upto + 1)])


def level(directory: Path) -> int:
    """Return the level at which the doors make link keys now; raises Misconfigured for a file that says none."""
    path = directory / _LEVEL
    if not path.exists():
        return 1
    said = key_files.read(path).strip()
    if not said.isdecimal() or int(said) < 1:
        raise Misconfigured("bad-secret", f"{path} names no level: a whole number from 1. Restore it.")
    return int(said)


def raise_level(directory: Path, to: int) -> None:
    """Let the doors make link keys at a level from now on, unless they are there or beyond; raises Misconfigured."""
    key_files.read_key(_link_file(directory, to))
    if level(directory) < to:
        key_files.replace(directory / _LEVEL, str(to))


def make_link_key(directory: Path, number: int) -> Path | None:
    """Make the link key of a level; None: it is there. The doors use it when `raise_level` says so."""
    path = _link_file(directory, number)
    return path if key_files.write_once(path, key_files.new_key()) else None


def api_key(directory: Path, agency: str) -> str:
    """Return the API key of an agency whose key is kept here; raises Misconfigured."""
    return ApiKeys(directory).of(agency)


def _link_file(directory: Path, number: int) -> Path:
    return directory / f"link-{number}.key"
