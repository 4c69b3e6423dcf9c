"""Texts: what a door says about a delivery, in English, and in Russian or Belarusian when the sender asks for it.

A sentence is written once, in English, where it is needed; `rules.csv` and the contracts' words hold it in the other
languages, found by the English. What is filled into it (limits, names of fields, codes of a list) never comes from what
was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from connectors.error_catalogue import remedies
from schemas.contract_words import contract_words
from schemas.errors import Reason
from schemas.words import Words

ENGLISH = "en"
"""The language in which all texts are written first, and that of those who ask for none that we have."""


class Text(str):
    """Sentences in English that know how they were put together, so that they can be said in another language."""

    parts: tuple[tuple[str, Mapping[str, object]], ...]

    @classmethod
    def of(cls, template: str, **values: object) -> Text:
        """Return the sentence with its values filled in."""
        made = cls(template.format(**values) if values else template)
        made.parts = ((template, values),)
        return made

    @classmethod
    def joined(cls, texts: Iterable[Text]) -> Text:
        """Return several sentences, one after another."""
        several = list(texts)
        made = cls(" ".join(several))
        made.parts = tuple(part for each in several for part in each.parts)
        return made


@cache
def sentences() -> Words:
    """Return the rules and remedies that stand in the code, found by their English."""
    return Words(Path(__file__).with_name("rules.csv"), key="en")


def said(text: str, lang: str) -> str:
    """Return a text in one of our languages; what has no translation stays English."""
    if lang == ENGLISH or not isinstance(text, Text):
        return text
    return " ".join(_said(template, values, lang) for template, values in text.parts)


def translated(reason: Reason, lang: str) -> Reason:
    """Return the reason with rule and remedy in one of our languages."""
    if lang == ENGLISH:
        return reason
    return replace(reason, rule=said(reason.rule, lang), remedy=said(reason.remedy, lang))


def _said(template: str, values: Mapping[str, object], lang: str) -> str:
    if template in remedies():
        words = remedies()(template, f"remedy_{lang}")
    else:
        words = (sentences() if template in sentences() else contract_words())(template, lang)
    return words.format(**values) if values else words
