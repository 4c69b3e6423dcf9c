from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import names, phonetics
from tests.unit.schemas import naming

SPELLINGS = Path(__file__).parent / "spellings.csv"
"""People of invented names as offices of several countries would write them."""


def meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return bool(set(names.spellings(*one)) & set(names.spellings(*other)))


def share(found: Iterable[bool]) -> float:
    seen = list(found)
    return sum(seen) / len(seen)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("mp 123-45 67", "MP1234567"),
        ("МР1234567", "MP1234567"),  # Cyrillic М and Р
        ("ｍｐ１２３", "MP123"),  # full width
        ("№ 12/34", "1234"),
        ("АВЕКМНОРСТХУІЅ", "ABEKMHOPCTXYIS"),
        ("I-ОБ №456789", "IOБ456789"),  # Б looks like no Latin letter
        ("0012-340", "12340"),  # a spreadsheet took the zeros
        ("MP0012340", "MP0012340"),
        ("_-./ ", ""),
    ],
)
def test_number_has_one_spelling(written: str, seen: str) -> None:
    assert names.number(written) == seen == names.number(names.number(written))


@pytest.mark.parametrize("said", ["", "-", "НЕТ", "нет данных", "none", "б/н", "0", "000000", "XXXXXXXX", "1111111"])
def test_what_stands_where_there_is_no_number_identifies_nobody(said: str) -> None:
    assert names.identifying(said) == ""


@pytest.mark.parametrize("said", ["7", "AB1", "1112", "KB 0000001"])
def test_a_number_that_looks_odd_is_a_number(said: str) -> None:
    assert names.identifying(said)


def test_people_of_the_region_are_known_in_the_spellings_of_many_offices() -> None:
    met: dict[str, list[bool]] = defaultdict(list)
    for row in csv.DictReader(SPELLINGS.open(encoding="utf-8")):
        ways = [
            (surname, given_names)
            for surname, _, given_names in (s.partition("/") for s in row["spellings"].split(";"))
        ]
        met[row["people"]] += [meet(one, other) for one, other in combinations(ways, 2)]
    assert share(each for people in met.values() for each in people) >= 0.98
    unmet = {people for people, found in met.items() if not all(found)}
    assert unmet <= {"Armenian", "Chinese", "Turkmen"}, "docs/names-and-keys.md says which these are"


def test_a_population_is_known_again_whoever_writes() -> None:
    chance = Random(3)
    people = naming.population(2_500, seed=7)
    ways = [[naming.written(person, writer, chance) for writer in naming.WRITERS] for person in people]
    assert share(meet(one, other) for each in ways for one, other in combinations(each, 2)) >= 0.998
    keys = Counter(len(names.spellings(*way)) for each in ways for way in each)
    assert set(keys) <= {1, 2, 3}
    assert keys[1] > 0.8 * keys.total()


def test_different_people_of_one_birth_date_seldom_share_a_key() -> None:
    people = naming.population(25_000, seed=11)
    named: dict[str, Counter[naming.Person]] = defaultdict(Counter)
    for person in people:
        for spelt in names.spellings(person.surname, person.given):
            named[spelt][person._replace(patronymic="")] += 1
    false = sum(pairs(found.total()) - sum(map(pairs, found.values())) for found in named.values())
    true = sum(map(pairs, Counter(person._replace(patronymic="") for person in people).values()))
    assert false / pairs(len(people)) < 5e-6
    assert false < true / 4, "namesakes, whom no name tells apart, must stay the greater part by far"


def pairs(count: int) -> int:
    return count * (count - 1) // 2


def test_twins_are_two() -> None:
    found = naming.twins(4_000, seed=5)
    assert share(meet(one[:2], other[:2]) for one, other in found) < 0.001


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hasan", "Husan"), ("Анна", "Яна"), ("Анна", "Инна"), ("Алина", "Алена"), ("Alla", "Aliya"), ("Дана", "Диана"),
        ("Александр", "Александра"), ("Евгений", "Евгения"), ("Farid", "Farida"), ("Marina", "Marianna"),
        ("Ольга", "Олег"), ("Muhammad Ali", "Muhammad Amin"), ("Мария", "Марина"), ("Дарья", "Диера"), ("Юлия", "Илья"),
    ],
)  # fmt: skip
def test_given_names_of_twins_stay_apart(one: str, other: str) -> None:
    assert not meet(("Rahmonov", one), ("Rahmonov", other))
    assert not meet(("Rahmonov", one), (other, "РАҲМОНОВ"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Иванов", "Иван Иванович"), ("IVAN", "IVANOV")),
        (("Иванов Иван Иванович", "-"), ("IVANOV", "IVAN")),
        (("", "Ivan Ivanov"), ("IVANOV", "IVAN")),
        (("Петрова-Сидорович", "Анна"), ("SIDOROVICH-PETROVA", "HANNA")),
        (("Петрова-Іванова", "Анна"), ("IVANOVA", "ANNA")),
        (("Абдурахмонов", "Нур Али"), ("ABDURAKHMONOV", "NURALI")),
        (("Юсупов", "Дилшод Рустам ўғли"), ("YUSUPOV", "DILSHOD")),
        (("Məmmədova", "Günay Rafiq qızı"), ("МАМЕДОВА", "Гюнай")),
        (("O'Brien", "Shawn"), ("O BRIEN", "SHAWN")),
        (("de la Cruz", "José"), ("CRUZ", "JOSE")),
        (("Cru\u0301z", "Ana"), ("CRÚZ", "Ana")),
        (("Suharto", ""), ("", "SUHARTO")),
        (("Иван Иванович", "Иванов"), ("IVANOV", "IVAN")),
    ],
)
def test_parts_that_are_missing_swapped_or_joined_do_not_matter(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert meet(one, other)


def test_a_name_in_one_part_is_not_everybody_of_that_surname() -> None:
    assert not meet(("Иванов", ""), ("Иванов", "Иван"))
    assert names.spellings("-", "...") == names.spellings("", "") == ()


def test_the_rules_are_those_by_which_stored_keys_were_made() -> None:
    """Whoever changes one of these makes keys that do not meet the old ones: see docs/names-and-keys.md."""
    made = {
        ("Соловьёв", "Ильдар"): ("ALDR SLVV",),
        ("Тихановская", "Светлана"): ("SVTLNA TKNVSKA",),
        ("Раҳмонов", "Ҳусан"): ("KSN=Husan RKMNV",),
        ("Ким", "Чен Ир"): ("!NR KIM", "!AN KIM", "IR KIM"),
        ("JAKOVLEVA", "JULIJA"): ("AKVLVA ULA", "ULA ZKVLVA"),
        ("王", "小明"): ("KMNK VNK",),
    }
    assert {name: set(names.spellings(*name)) for name in made} == {name: set(spelt) for name, spelt in made.items()}


def test_a_form_belongs_to_one_given_name() -> None:
    forms: dict[str, set[str]] = defaultdict(set)
    for row in csv.DictReader(names.GIVEN_NAMES.open(encoding="utf-8")):
        for form in (row["name"], *row["forms"].split()):
            assert len(phonetics.words(form)) == 1, form
            forms[phonetics.voiced(phonetics.words(form)[0])].add(row["name"])
    assert [found for found in forms.values() if len(found) > 1] == []


@given(st.text(), st.text())
def test_any_text_has_spellings_whatever_its_order(a: str, b: str) -> None:
    spelt = names.spellings(a, b)
    assert len(spelt) <= names.MOST
    assert all(each.isascii() and each == each.strip() and each for each in spelt)
    assert names.number(names.number(a)) == names.number(a)
    if len(phonetics.words(a)) == len(phonetics.words(b)) == 1:
        assert spelt == names.spellings(b, a)
