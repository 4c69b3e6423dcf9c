"""Key files: secrets as files that only their owner may read, and that are there as a whole or not at all."""

from __future__ import annotations

import os
import secrets as chance
from pathlib import Path

from schemas.errors import Misconfigured
from streams.directories import keep_names


def read(path: Path) -> str:
    """Return what a file says; raises Misconfigured when it is missing, no ASCII, or open to others."""
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured("open-secret", f"{path} can be read by others: run `chmod 600` on it.")
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        raise missing(path) from None


def read_key(path: Path) -> bytes:
    """Return a key of at least 32 bytes; raises Misconfigured when the file is missing, open to others, or no key."""
    try:
        key = bytes.fromhex(read(path))
    except ValueError:
        key = b""
    if len(key) < 32:
        raise Misconfigured("bad-secret", f"{path} holds no key: at least 64 hexadecimal digits. Restore it.")
    return key


def missing(path: Path) -> Misconfigured:
    """Return the error that a file is not there."""
    return Misconfigured("no-secret", f"{path} is missing: run `migex init`, or restore it.")


def write_once(path: Path, text: str) -> bool:
    """Put a file where none is, on disk when this returns; False: there was one, and it stays as it is."""
    fresh = _written(path, text)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
    keep_names(path.parent)
    return True


def replace(path: Path, text: str) -> None:
    """Put a whole new file in the place of the old one, on disk when this returns."""
    _written(path, text).replace(path)
    keep_names(path.parent)


def new_key() -> str:
    """Return a new key of 32 bytes as a file has it."""
    return chance.token_hex(32)


def _written(path: Path, text: str) -> Path:
    """Write a file beside the one it will become, under a name that no other process takes."""
    fresh = path.with_name(f".{path.name}.{chance.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text.rstrip("\n") + "\n")
        file.flush()
        os.fsync(file.fileno())
    return fresh
