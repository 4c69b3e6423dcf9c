"""Synthetic people: nobody shares what links records, and nobody crosses twice at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import date
from random import Random
from zoneinfo import ZoneInfo

from ops.demo import bts, people
from schemas import names


def test_no_two_persons_share_a_number_or_name_and_birth_date() -> None:
    near = range(60_000)
    far = range(people.BIRTH_DAYS * 2_000, people.BIRTH_DAYS * 2_000 + 5_000)
    found = [people.person(number, salt=77) for number in (*near, *far)]
    assert len({p.document_no for p in found}) == len(found)
    spelt = [(each, p.birth_date) for p in found for each in names.spellings(p.surname, p.given_names)]
    assert len(set(spelt)) == len(spelt) >= len(found)
    numbers = [p.personal_no for p in found if p.personal_no]
    assert len(set(numbers)) == len(numbers) > len(found) / 4


def test_names_stay_different_in_the_spelling_of_link_keys() -> None:
    all_given = sum(people.GIVEN_NAMES, ())
    spelt = [each for surname in people.SURNAMES for given in all_given for each in names.spellings(surname, given)]
    assert len(set(spelt)) == len(spelt) >= len(people.SURNAMES) * 24


def test_a_mistaken_birth_date_is_another_day_before_2018() -> None:
    chance = Random(3)
    for number in range(5_000):
        birth = people.person(number, 0).birth_date
        wrong = people.mistaken(birth, chance)
        assert wrong != birth
        assert wrong < date(2018, 1, 1)


def test_leap_days_can_be_mistaken() -> None:
    assert people.mistaken(date(2000, 2, 29), Random(1)).month == 2


def test_nobody_crosses_twice_within_45_minutes_and_some_cross_often() -> None:
    zone = ZoneInfo("America/Chicago")
    travellers = people.Travellers(Random(5))
    times: dict[str, list[int]] = defaultdict(list)
    for crossing in bts.crossings(bts.choose(bts.read(), "3"), zone, Random(5)):
        times[travellers.crossing(crossing).document_no].append(crossing.at)
    assert len(times) == travellers.persons
    gaps = [later - earlier for at in times.values() for earlier, later in itertools.pairwise(at)]
    assert min(gaps) >= people.APART_SECS
    assert max(len(at) for at in times.values()) > 10
