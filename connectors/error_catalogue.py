"""The error catalogue: every code under which a door refuses, what it means and what the sender should do.

`errors.csv` is the only source, in three languages; `GET /v1/errors/{code}` and docs/errors*.md show it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from schemas.words import Words

_FILE = Path(__file__).with_name("errors.csv")


@cache
def catalogue() -> Words:
    """Return every code of a reason or a problem, with its meaning; the columns `remedy_*` say what to do."""
    return Words(_FILE)


@cache
def remedies() -> Words:
    """Return the same, found by the English remedy."""
    return Words(_FILE, key="remedy_en")


def meaning(code: str, lang: str = "en") -> str:
    """Return what a code means; a code that is not in the catalogue, itself."""
    return catalogue()(code, lang)


def remedy(code: str, lang: str = "en") -> str:
    """Return what the sender usually should do."""
    return catalogue()(code, f"remedy_{lang}")
