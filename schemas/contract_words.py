"""What the contracts say, in Russian and Belarusian, found by the English: a sentence that many share stands once.

`schemas/avro/words.csv` has it; a contract may also bring its own, as `doc_ru` and `doc_be` beside a `doc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from schemas.contracts import CONTRACTS, DIRECTORY
from schemas.words import Words


@cache
def contract_words() -> Words:
    """Return the sentences of all contracts and of their rules, in every language."""
    own = [text for each in CONTRACTS.values() for text in _own(each.avsc)]
    return Words(DIRECTORY / "words.csv", key="en", more=own)


def _own(part: Any) -> Iterator[dict[str, str]]:
    """Yield the sentences that a contract brings in other languages itself."""
    if isinstance(part, list):
        for each in part:
            yield from _own(each)
    elif isinstance(part, dict):
        if "doc_ru" in part:
            yield {"en": part["doc"], "ru": part["doc_ru"], "be": part["doc_be"]}
        yield from _own(part.get("fields", []))
        yield from _own(part.get("type", []))
