"""The words around the figures, in Russian, Belarusian and English: names of dimensions and measures, footnotes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from schemas.words import LANGUAGES, Words

__all__ = ["LANGUAGES", "number", "word"]


@cache
def _texts() -> Words:
    return Words(Path(__file__).with_name("words.csv"))


def word(code: str, lang: str) -> str:
    """Return the text of a code in one of `LANGUAGES`, or the code itself when words.csv does not have it."""
    return _texts()(code, lang)


def number(value: int, lang: str) -> str:
    """Return an integer with its thousands set apart as the language does it."""
    return f"{value:,}".replace(",", "," if lang == "en" else "\N{NO-BREAK SPACE}")
