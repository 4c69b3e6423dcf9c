"""Telling: what a contract demands of each field, in the words of one language and with the codes of one day."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from schemas.codelists import CodeList, CodeLists
from schemas.contract_words import contract_words
from schemas.contracts import AGENCY, DAY, Family, Field, without_nested_null
from schemas.conventions import Convention
from schemas.words import Words

_FEW = 8
"""Codes that are named beside the field; more stand in their list only."""


@cache
def words() -> Words:
    """Return the words of the pages themselves."""
    return Words(Path(__file__).with_name("words.csv"))


class Told(NamedTuple):
    """What is said of one field."""

    path: str
    name: str  # the path inside its part of the event
    meaning: str
    type: str
    needed: str  # required, optional, or what is taken when it is absent
    rules: tuple[str, ...]
    codelist: str | None
    codes: tuple[str, ...]  # of the list or of an enum, where they are few
    example: str  # as JSON
    mark: str | None  # drop, pseudonym; None: not personal
    door: str


@dataclass(frozen=True, slots=True)
class Telling:
    """A language and a day, and the convention under which it is told."""

    convention: Convention
    lists: CodeLists
    lang: str
    at: date

    def word(self, code: str, **values: object) -> str:
        """Return a text of the pages, with its places filled."""
        text = words()(code, self.lang)
        return text.format(**values) if values else text

    def doc(self, english: str) -> str:
        """Return what a contract says, in the language."""
        return contract_words()(english, self.lang)

    def entitled(self, family: Family) -> list[str]:
        """Return the agencies that may report the family, with their names."""
        agencies = self.convention.agencies.values()
        return [f"{a.names.get(self.lang, a.code)} ({a.code})" for a in agencies if family.name in a.families]

    def one_happening(self, family: Family) -> str:
        """Return when two reports are one happening."""
        named = {DAY: self.word("day"), AGENCY: self.word("agency")}
        fields = ", ".join(named.get(name, name) for name in family.natural_key)
        minutes = family.tolerance_minutes
        within = self.word("within", n=minutes) if minutes else ""
        if family.subject:
            subject = ", ".join(named.get(name, name) for name in family.subject)
            return self.word("same-subject", subject=subject, fields=fields, within=within)
        if not fields:
            return self.word("same-person-only")
        document = self.word("same-document") if family.doc_key else ""
        return self.word("same-person", fields=fields, document=document, within=within)

    def rules(self, family: Family) -> list[tuple[tuple[str, ...], str]]:
        """Return the rules across fields: the fields of each, and what it says."""
        return [
            (rule.fields, " ".join(self.doc(sentence).format(**values) for sentence, values in rule.sentences))
            for rule in family.rules
        ]

    def parts(self, family: Family) -> Iterator[tuple[str, str, list[Told]]]:
        """Yield each part of an event: name, what it is, its fields."""
        for part in family.avsc["fields"]:
            told = [self._told(family, f) for f in family.fields if f.path.startswith(f"{part['name']}.")]
            yield part["name"], self.doc(part["doc"]), told

    def lists_of(self, family: Family) -> list[CodeList]:
        """Return the code lists of a family's fields, in alphabetical order."""
        return [self.lists[name] for name in sorted({f.codelist for f in family.fields if f.codelist})]

    def _told(self, family: Family, field: Field) -> Told:
        raw = raw_field(family.avsc, field.path)
        return Told(
            path=field.path,
            name=field.path.partition(".")[2],
            meaning=self.doc(field.doc),
            type=self.word(field.type),
            needed=self._needed(field, raw),
            rules=tuple(self._limits(field)),
            codelist=field.codelist,
            codes=self._codes(field, raw),
            example=json.dumps(field.example, ensure_ascii=False),
            mark=field.personal,
            door=self.word(field.personal or ("core" if field.core else "kept")),
        )

    def _needed(self, field: Field, raw: Mapping[str, Any]) -> str:
        if "default" not in raw:
            return self.word("required")
        if field.path == "header.occurred_at":  # the one field that only a CANCEL may lack
            return self.word("required-unless-cancel")
        if raw["default"] is None:
            return self.word("optional")
        return self.word("default", value=json.dumps(raw["default"]))

    def _codes(self, field: Field, raw: Mapping[str, Any]) -> tuple[str, ...]:
        kind, _ = without_nested_null(raw["type"])
        if field.codelist:
            codes = self.lists[field.codelist].codes(self.at)
        else:
            codes = tuple(kind["symbols"]) if field.type == "enum" else ()
        return codes if len(codes) <= _FEW else ()

    def _limits(self, field: Field) -> Iterator[str]:
        unit = "count" if field.type == "array" else "length"
        yield from self._span(unit, field.min_length, field.max_length)
        yield from self._span("range", field.minimum, field.maximum)
        if field.pattern:
            yield self.word(field.pattern) if field.pattern in words() else field.pattern
        if field.not_before:
            yield self.word("not-before", path=field.not_before)

    def _span(self, unit: str, least: int | None, most: int | None) -> Iterator[str]:
        if least is not None and most is not None:
            yield self.word(unit, least=least, most=most)
        elif most is not None:
            yield self.word(f"{unit}-most", most=most)
        elif least is not None:
            yield self.word(f"{unit}-least", least=least)


def raw_field(avsc: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return a field of a contract as the file has it."""
    record: Any = avsc
    field: Mapping[str, Any] = {}
    for name in path.split("."):
        field = next(each for each in record["fields"] if each["name"] == name)
        record, _ = without_nested_null(field["type"])
    return field
