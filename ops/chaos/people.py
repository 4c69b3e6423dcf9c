"""Synthetic people as agencies know them: under two names and two papers, with a number or without.

No two people share a paper, a number, or a name and a birth date, not even one that was reported by mistake: whoever
hangs together is one person.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

from ops.demo import people

CITIZENSHIPS = (
    ("BLR",), ("BLR",), ("BLR",), ("BLR",), ("RUS",), ("RUS",), ("UKR",), ("UZB",), ("POL",), ("BLR", "RUS"), ("XXA",),
)  # fmt: skip
NEWCOMERS, REGULARS = 0.35, 0.1
"""Share of those to whom something happens for the first time, and of those to whom it happens again and again."""

_KNOWN, _REGULARS = 120, 40


class Someone(NamedTuple):
    """A person who exists nowhere else."""

    number: int
    surnames: tuple[str, str]  # now, and before they married
    given_names: str
    birth: str  # "1980-05-17"; "1980" for one in forty
    sex: int  # ISO 5218
    citizenship: tuple[str, ...]
    papers: tuple[str, ...]
    personal_no: str | None


def someone(number: int, salt: int) -> Someone:
    """Return person `number`."""
    who = people.person(number, salt)
    married = people.SURNAMES[(people.SURNAMES.index(who.surname) + 71) % len(people.SURNAMES)]
    papers = (who.document_no, f"{who.document_no}N") if number % 4 == 0 else (who.document_no,)
    birth = who.birth_date.isoformat()
    return Someone(
        number=number,
        surnames=(married, who.surname),
        given_names=who.given_names,
        birth=birth[:4] if number % 40 == 7 else birth,
        sex=(who.sex, who.sex, who.sex, 0)[number // 3 % 4],
        citizenship=CITIZENSHIPS[number % len(CITIZENSHIPS)],
        papers=papers,
        personal_no=who.personal_no,
    )


def described(who: Someone, chance: Random) -> dict[str, Any]:
    """Return the person as one report describes them."""
    person: dict[str, Any] = {
        "surname": who.surnames[chance.random() > 0.94],
        "given_names": who.given_names,
        "sex": who.sex,
        "citizenship": list(who.citizenship),
        "personal_no": who.personal_no if chance.random() < 0.7 else None,
        "document": None,
    }
    if chance.random() < 0.93:
        person["document"] = {"type": "P", "issuer": who.citizenship[0], "number": chance.choice(who.papers)}
    return person | born(who.birth)


def born(birth: str) -> dict[str, Any]:
    """Return the fields of a birth of which the day is known or only the year."""
    return {"birth_date": birth} if len(birth) > 4 else {"birth_year": int(birth)}


class Population:
    """Those to whom things happen: newcomers, people who have just been seen, and some who stay for the whole run."""

    def __init__(self, chance: Random) -> None:
        """`chance` decides everything, so that the same seed brings the same people."""
        self._chance = chance
        self._salt = chance.randrange(people.BIRTH_DAYS)
        self._known: list[Someone] = []
        self._regulars: list[Someone] = []
        self._count = 0
        self._born: dict[tuple[str, str, str], int] = {}  # birth and name -> whose

    def next(self) -> Someone:
        """Return to whom something happens next."""
        chosen = self._chance.random()
        if self._known and chosen >= NEWCOMERS:
            return self._chance.choice(self._regulars if chosen > 1 - REGULARS else self._known)
        who = self._newcomer()
        if len(self._regulars) < _REGULARS:
            self._regulars.append(who)
        if len(self._known) < _KNOWN:
            self._known.append(who)
        else:
            self._known[self._chance.randrange(_KNOWN)] = who
        return who

    def mistaken(self, who: Someone) -> str:
        """Return a birth that a clerk might have typed instead, and that nobody else of the name has."""
        while True:
            if len(who.birth) == 4:  # no name goes with a year alone
                return str(int(who.birth) - 1)
            typed = people.mistaken(date.fromisoformat(who.birth), self._chance)
            birth = (typed - timedelta(days=self._chance.choice((0, 0, 0, 1, 10)))).isoformat()
            if self._claim(who, birth):
                return birth

    def _newcomer(self) -> Someone:
        while True:
            who = someone(self._count, self._salt)
            self._count += 1
            if self._claim(who, who.birth):
                return who

    def _claim(self, who: Someone, birth: str) -> bool:
        """Take a birth date for both names of a person; return whether nobody else has one of them on it."""
        names = [(birth, surname, who.given_names) for surname in who.surnames]
        if any(self._born.get(name, who.number) != who.number for name in names):
            return False
        self._born.update(dict.fromkeys(names, who.number))
        return True
