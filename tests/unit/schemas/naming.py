"""A synthetic population with names of the region, and the ways in which offices write one name; all invented.

The transliterations here are tables of their own, by their published standards: nothing of `schemas.phonetics` is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

import yaml

_LISTS = {
    name: text.split() for name, text in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")).items()
}
GIVEN = {"m": _LISTS["given_m"], "f": _LISTS["given_f"]}
EASTERN_GIVEN = {"m": _LISTS["eastern_given_m"], "f": _LISTS["eastern_given_f"]}

_SAME = "абвгдзиклмнопрстуфы", "abvgdziklmnoprstufy"
ICAO = {"е": "e", "ё": "e", "ж": "zh", "й": "i", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "ie"}
ICAO |= {"ь": "", "э": "e", "ю": "iu", "я": "ia"}
BGN = ICAO | {"й": "y", "ъ": "", "ю": "yu", "я": "ya", "ё": "yo"}
ISO9 = ICAO | {"ж": "ž", "й": "j", "х": "h", "ц": "c", "ч": "č", "ш": "š", "щ": "šč", "ъ": "", "ю": "ju", "я": "ja"}
GERMAN = ICAO | {"в": "w", "ж": "sch", "й": "j", "х": "ch", "ц": "z", "ч": "tsch", "ш": "sch", "щ": "schtsch"}
GERMAN |= {"ю": "ju", "я": "ja", "ъ": ""}
WRITERS: dict[str, dict[str, str] | None] = {"cyrillic": None, "icao": ICAO, "bgn": BGN, "iso9": ISO9}


class Person(NamedTuple):
    surname: str
    given: str
    patronymic: str


def latin(text: str, table: dict[str, str]) -> str:
    """Return Russian Cyrillic under a table of transliteration."""
    whole = dict(zip(*_SAME, strict=True)) | table
    if table is BGN:
        text = re.sub("(?<![бвгджзклмнпрстфхцчшщ])е|^е", "ye", text.lower())
    return "".join(whole.get(letter, letter) for letter in text.lower()).upper()


def population(size: int, seed: int) -> list[Person]:
    """Return people, two fifths of them with eastern names; frequent names are as frequent as Zipf's law has it."""
    chance = Random(seed)
    west = _drawn(chance, [root + end for end in (*_LISTS["suffixes"], "") for root in _LISTS["roots"]])
    east = _drawn(chance, [root + end for end in _LISTS["eastern_suffixes"] for root in _LISTS["eastern_roots"]])
    given = {
        (names is EASTERN_GIVEN, sex): _drawn(chance, names[sex], 0.6)
        for names in (GIVEN, EASTERN_GIVEN)
        for sex in "mf"
    }
    people = []
    for _ in range(size):
        eastern, sex = chance.random() < 0.4, chance.choice("mf")
        surname = (east if eastern else west)()
        people.append(Person(_of(surname, sex), given[eastern, sex](), chance.choice(_LISTS["patronymics"])))
    return people


def _drawn(chance: Random, names: Sequence[str], exponent: float = 0.8) -> Callable[[], str]:
    known = list(dict.fromkeys(names))
    chance.shuffle(known)
    weights = list(accumulate(1 / (place + 3) ** exponent for place in range(len(known))))
    return lambda: chance.choices(known, cum_weights=weights)[0]


def _of(surname: str, sex: str) -> str:
    if sex == "f" and surname.endswith("ский"):
        return surname[:-2] + "ая"
    return surname + "а" if sex == "f" and surname.endswith(("ов", "ев", "ин")) else surname


def written(person: Person, writer: str, chance: Random) -> tuple[str, str]:
    """Return surname and given names as an office writes them, with the small faults of offices."""
    table = WRITERS[writer]
    surname, given = person.surname, person.given
    if chance.random() < 0.2:
        given = f"{given} {person.patronymic}"
    if table is not None:
        surname, given = latin(surname, table), latin(given, table)
    parts = [_fault(each, chance) for each in (surname, given)]
    if chance.random() < 0.15:
        parts.reverse()
    return parts[0], parts[1]


def _fault(text: str, chance: Random) -> str:
    kind = chance.random()
    if kind < 0.06:  # a consonant twice, or once instead of twice
        doubled = re.sub(r"([lnmrstлнмрст])", r"\1\1", text, count=1, flags=re.IGNORECASE)
        return re.sub(r"(.)\1", r"\1", text, count=1) if re.search(r"(.)\1", text) else doubled
    if kind < 0.10:
        return text.lower()
    if kind < 0.14:
        return f" {text.upper()}. "
    return text.replace("ё", "е") if kind < 0.5 else text


def twins(size: int, seed: int) -> list[tuple[Person, Person]]:
    """Return pairs who share surname and birth date, and have different given names."""
    chance = Random(seed)
    found = []
    for one in population(size, seed):
        names = EASTERN_GIVEN if one.given in EASTERN_GIVEN["m"] + EASTERN_GIVEN["f"] else GIVEN
        sex = "m" if one.given in names["m"] else "f"
        other = chance.choice([name for name in names[sex] if name != one.given])
        found.append((one, one._replace(given=other)))
    return found
