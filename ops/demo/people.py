"""Synthetic people: who crosses, with names, birth dates and documents that no two of them share.

A person is a function of a number, so a thousand or a million of them need no memory. Those who cross again are kept
in a pool of limited size at each port.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from ops.demo.bts import Crossing

SURNAMES = tuple(
    first + last
    for first in ("Abel", "Brack", "Cor", "Dun", "Ever", "Fen", "Ran", "Hol", "Is", "Jar", "Tam", "Lor")
    for last in ("by", "dale", "ford", "ham", "ley", "mont", "ner", "rick", "sen", "ton", "well", "wood")
)
GIVEN_NAMES = (
    ("Aron", "Basil", "Cedric", "Denzel", "Edgar", "Felix", "Gavin", "Hugo", "Ivor", "Jonas", "Kurt", "Leon"),
    ("Alma", "Bella", "Clara", "Dora", "Edith", "Flora", "Greta", "Hilda", "Irene", "Julia", "Nora", "Lydia"),
)
FIRST_BIRTH = date(1935, 1, 1)
BIRTH_DAYS = 28_001  # until 2011-08-30; a prime, so that any step runs through all of them
_NAMES = len(SURNAMES) * 24
_NUMBERS = 10**8
APART_SECS = 45 * 60
"""A person never crosses twice within it: well above the tolerance of natural duplicates, ten minutes on both sides."""

CITIZENSHIPS = (
    (("USA",), 46), (("CAN",), 36), (("MEX",), 10), (("GBR",), 2), (("DEU",), 1), (("FRA",), 1), (("IND",), 1),
    (("CHN",), 1), (("UKR",), 1), (("USA", "CAN"), 1),
)  # fmt: skip
"""Citizenships and how many in a hundred hold them."""
_CITIZENSHIPS = tuple(codes for codes, share in CITIZENSHIPS for _ in range(share))


class Person(NamedTuple):
    """A person who exists nowhere else; names and numbers are unique to the person."""

    surname: str
    given_names: str
    birth_date: date
    sex: int  # ISO 5218
    citizenship: tuple[str, ...]
    document_no: str
    personal_no: str | None


def person(number: int, salt: int) -> Person:
    """Return person `number`; no two numbers below 90 million share name and birth date, a document or a number."""
    turn, place = divmod(number, BIRTH_DAYS)
    day = (place * 7_919 + salt) % BIRTH_DAYS
    name = (turn * 1_009 + day * 31 + salt) % _NAMES
    surname, given = divmod(name, 24)
    sex, which = divmod(given, 12)
    spread = (number * 38_614_741 + salt) % _NUMBERS  # odd and no multiple of five: every number once
    return Person(
        surname=SURNAMES[surname],
        given_names=GIVEN_NAMES[sex][which],
        birth_date=FIRST_BIRTH + timedelta(days=day),
        sex=sex + 1,
        citizenship=_CITIZENSHIPS[(spread // 100) % 100],
        document_no=f"P{spread:08d}",
        personal_no=f"N{(spread * 7 + 3) % _NUMBERS:08d}" if number % 3 == 0 else None,
    )


def mistaken(birth: date, chance: Random) -> date:
    """Return a birth date that a clerk might have typed instead: day and month exchanged, or another year."""
    if birth.day <= 12 and birth.day != birth.month:
        return birth.replace(month=birth.day, day=birth.month)
    year = birth.year + chance.choice((-10, -1, 1))
    return birth.replace(year=year, day=min(birth.day, 28) if birth.month == 2 else birth.day)


class _Traveller:
    """A person who may cross again."""

    __slots__ = ("last_at", "left", "person")

    def __init__(self, who: Person, at: int, left: int) -> None:
        self.person = who
        self.last_at = at
        self.left = left


class Travellers:
    """The people at the ports: newcomers, regulars, and some who are seen at another port than usually."""

    NEWCOMERS = 0.4
    VISITORS = 0.03
    POOL = 400

    def __init__(self, chance: Random) -> None:
        """`chance` decides everything, so that the same seed brings the same people."""
        self._chance = chance
        self._salt = chance.randrange(BIRTH_DAYS)
        self._pools: dict[str, list[_Traveller]] = {}
        self.persons = 0

    def crossing(self, crossing: Crossing) -> Person:
        """Return who makes this crossing; crossings come in order of time."""
        pool = self._pools.setdefault(crossing.port.code, [])
        if pool and self._chance.random() >= self.NEWCOMERS:
            found = self._again(pool, crossing.at)
            if found is not None:
                return found
        traveller = self._newcomer(crossing.at)
        if len(pool) < self.POOL:
            pool.append(traveller)
        else:
            pool[self._chance.randrange(self.POOL)] = traveller
        return traveller.person

    def _again(self, pool: list[_Traveller], at: int) -> Person | None:
        """Return a regular who has not crossed just now, or None."""
        if self._chance.random() < self.VISITORS:
            pool = self._chance.choice(list(self._pools.values())) or pool
        place = self._chance.randrange(len(pool))
        traveller = pool[place]
        if at - traveller.last_at < APART_SECS:
            return None
        traveller.last_at = at
        traveller.left -= 1
        if traveller.left == 0:
            pool[place] = pool[-1]
            pool.pop()
        return traveller.person

    def _newcomer(self, at: int) -> _Traveller:
        """Return a new person with the number of further crossings: mostly few, for one in twenty up to sixty."""
        often = self._chance.random() < 0.05
        left = self._chance.randint(10, 60) if often else self._chance.randint(1, 4)
        traveller = _Traveller(person(self.persons, self._salt), at, left)
        self.persons += 1
        return traveller
