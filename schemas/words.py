"""Words: texts in Russian, Belarusian and English, kept as CSV files beside what they speak of."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

LANGUAGES = ("ru", "be", "en")


class Words:
    """The texts of one file: a column for each of `LANGUAGES`, and one by which a text is found."""

    def __init__(self, path: Path, key: str = "code", more: Iterable[Mapping[str, str]] = ()) -> None:
        """`key` names the column by which a text is found; `more` are rows that are not in the file."""
        with path.open(encoding="utf-8", newline="") as lines:
            self._texts: dict[str, Mapping[str, str]] = {row[key]: row for row in (*csv.DictReader(lines), *more)}

    def __contains__(self, code: object) -> bool:
        """Whether the file has this text."""
        return code in self._texts

    def __iter__(self) -> Iterator[str]:
        """Yield by what the texts are found, in the order of the file."""
        return iter(self._texts)

    def __call__(self, code: str, lang: str) -> str:
        """Return the text in one of `LANGUAGES`, or the code itself when the file does not have it."""
        texts = self._texts.get(code)
        return code if texts is None else texts[lang]
