"""The words around the figures, in Russian, Belarusian and English: names of dimensions and measures, footnotes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LANGUAGES = ("ru", "be", "en")


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    with Path(__file__).with_name("words.csv").open(encoding="utf-8", newline="") as lines:
        return {row["code"]: row for row in csv.DictReader(lines)}


def word(code: str, lang: str) -> str:
    """Return the text of a code in one of `LANGUAGES`, or the code itself when words.csv does not have it."""
    texts = _texts().get(code)
    return code if texts is None else texts[lang]


def number(value: int, lang: str) -> str:
    """Return an integer with its thousands set apart as the language does it."""
    return f"{value:,}".replace(",", "," if lang == "en" else "\N{NO-BREAK SPACE}")
