"""What must hold in a convention beyond the types of its values: that all its parts fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from schemas.codelists import CodeLists
from schemas.contracts import FAMILIES

if TYPE_CHECKING:
    from schemas.conventions import Convention, Table

Fault = tuple[str, str]
"""The key that is wrong, and the rule that it breaks."""


def faults(convention: Convention, lists: CodeLists) -> Iterator[Fault]:
    """Yield everything that is wrong in a convention of the right shape."""
    if convention.timezone not in available_timezones():
        yield "timezone", "It must be an IANA name such as Europe/Minsk."
    if convention.country == "UNK" or lists.area(convention.country_alpha3) != convention.country:
        yield "country_alpha3", "It must be the ISO 3166-1 alpha-3 code of `country`."
    yield from _agency_faults(convention)
    for agency in convention.agencies.values():
        yield from _text_faults(f"agencies.{agency.code}.names", agency.names, convention.languages)
    for table in convention.tables.values():
        yield from _text_faults(f"tables.{table.id}.title", table.title, convention.languages)
        yield from _universe_faults(table, lists)


def _agency_faults(convention: Convention) -> Iterator[Fault]:
    seen: set[int] = set()
    for agency in convention.agencies.values():
        if agency.id in seen:
            yield f"agencies.{agency.code}.id", "Each agency has a number of its own, for ever."
        seen.add(agency.id)
        for name in agency.families:
            if name not in FAMILIES:
                yield f"agencies.{agency.code}.families", f"A family is one of {', '.join(FAMILIES)}."
        if set(agency.families) != set(agency.precedence):
            yield "precedence", f"{agency.code} must stand in the list of each of its families, and in no other."


def _text_faults(key: str, texts: Mapping[str, str], languages: tuple[str, ...]) -> Iterator[Fault]:
    for language in languages:
        if not texts.get(language):
            yield key, f"A text in {language} is missing; `languages` asks for it."


def _universe_faults(table: Table, lists: CodeLists) -> Iterator[Fault]:
    known = {field.name: field.codelist for each in FAMILIES.values() for field in each.fields if field.core}
    for name, codes in table.universe.items():
        listed = known.get(name)
        if listed is None:
            yield f"tables.{table.id}.universe", f"`{name}` is no coded core field of a family."
        elif not all(code in lists[listed] for code in codes):
            yield f"tables.{table.id}.universe.{name}", f"Every code must stand in the list {listed}."
