"""Synthetic people as agencies know them: under two papers, with a number or without, with another name besides.

No two people share a name, a paper or a number, so that whoever hangs together is one person.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from ops.demo import people

CITIZENSHIPS = (
    ("BLR",), ("BLR",), ("BLR",), ("BLR",), ("RUS",), ("RUS",), ("UKR",), ("UZB",), ("POL",), ("BLR", "RUS"), ("XXA",),
)  # fmt: skip
NEWCOMERS, REGULARS = 0.35, 0.1
"""Share of those to whom something happens for the first time, and of those to whom it happens again and again."""

_KNOWN, _REGULARS = 120, 40
_SPELT = str.maketrans("0123456789", "BDLMNRSTFP")


class Someone(NamedTuple):
    """A person who exists nowhere else."""

    number: int
    surname: str
    given_names: str
    birth: str  # "1980-05-17"; "1980" for one in forty
    sex: int  # ISO 5218
    citizenship: tuple[str, ...]
    papers: tuple[str, ...]
    personal_no: str | None


def someone(number: int, salt: int) -> Someone:
    """Return person `number`."""
    who = people.person(number, salt)
    papers = (who.document_no, f"{who.document_no}N") if number % 4 == 0 else (who.document_no,)
    birth = who.birth_date.isoformat()
    return Someone(
        number=number,
        surname=f"{who.surname} {f'{number:07d}'.translate(_SPELT)}",
        given_names=who.given_names,
        birth=birth[:4] if number % 40 == 7 else birth,
        sex=(who.sex, who.sex, who.sex, 0)[number // 3 % 4],
        citizenship=CITIZENSHIPS[number % len(CITIZENSHIPS)],
        papers=papers,
        personal_no=who.personal_no,
    )


def described(who: Someone, chance: Random) -> dict[str, Any]:
    """Return the person as one report describes them."""
    name = who.surname if chance.random() < 0.94 else f"{who.surname} SON"
    person: dict[str, Any] = {
        "surname": name,
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

    def next(self) -> Someone:
        """Return to whom something happens next."""
        chosen = self._chance.random()
        if self._known and chosen >= NEWCOMERS:
            return self._chance.choice(self._regulars if chosen > 1 - REGULARS else self._known)
        who = someone(self._count, self._salt)
        self._count += 1
        if len(self._regulars) < _REGULARS:
            self._regulars.append(who)
        if len(self._known) < _KNOWN:
            self._known.append(who)
        else:
            self._known[self._chance.randrange(_KNOWN)] = who
        return who
