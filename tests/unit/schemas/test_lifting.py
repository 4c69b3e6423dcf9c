"""Lifting: what an earlier level made becomes what the later one would have made, without identities."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas import core as cores
from schemas import keys
from schemas.contracts import FAMILIES, PSEUDONYM
from schemas.core import Core, link_keys
from schemas.errors import Broken
from schemas.header import Header, Kind, Op, pack
from schemas.lifting import Lift

NESTED = (b"2" * 32, b"3" * 32, b"4" * 32)
PERMIT = FAMILIES["permit.decision"]
PLACES = [PERMIT.core_index[f.name] for f in PERMIT.fields if f.core and f.personal == PSEUDONYM]


def secrets(level: int) -> keys.Secrets:
    return keys.Secrets(b"l" * 32, b"d" * 32, NESTED[: level - 1])


def core(level: int) -> Core:
    """Return a person's core as the doors make it at a level."""
    own = secrets(level)
    codes: list[object] = [f"code-{n}" for n in range(len(PERMIT.core_fields))]
    for place in PLACES:
        codes[place] = keys.pseudonym(own, PERMIT.core_fields[place], "P-17")
    return Core(
        day=17_000,
        at=1_500_000_000_000,
        keys=keys.joined(
            keys.personal_no_key(own, "UZB", "31705801234567"),
            keys.document_key(own, "UZB", "AA1234567"),
            keys.document_key(own, "UZB", "AA7654321"),
            *keys.name_keys(own, "Karimov", "Aziz", 19800517),
        ),
        birth=19800517,
        sex=1,
        citizenship=("UZB",),
        codes=tuple(codes),
    )


def header(level: int, family: int = PERMIT.id) -> bytes:
    return pack(
        [Header(Kind.ASSERT, Op.CREATE, 2, family, 1, 1, 19800517, 1, level, 0, 0, 0, bytes(16), bytes(16), bytes(8))]
    )


def test_a_level_is_put_over_the_one_before() -> None:
    assert PLACES, "no pseudonym stands in the core of a permit: nothing is tried here"
    assert [secrets(level).link_key_id for level in (1, 2, 4)] == [1, 2, 4]
    one, two = (core(level) for level in (1, 2))
    assert not set(link_keys(one.keys)) & set(link_keys(two.keys))
    assert [key[:1] for key in link_keys(one.keys)] == [key[:1] for key in link_keys(two.keys)]


@pytest.mark.parametrize("since", [1, 2, 3])
@pytest.mark.parametrize("upto", [2, 3, 4])
def test_what_is_lifted_is_what_the_doors_make_at_that_level(since: int, upto: int) -> None:
    lift = Lift(NESTED[: upto - 1])
    assert lift.level == upto.to_bytes(2, "big")
    if since < upto:
        assert lift(header(since), cores.encode(core(since))) == cores.encode(core(upto))


def test_what_is_no_keyed_digest_stays() -> None:
    subject = bytes([4]) + b"s" * 16  # the plain digest of what is no person (a later kind of link key)
    said = replace(core(1), keys=core(1).keys + subject, codes=(b"r" * 16, None, "code", 7))
    crossing = FAMILIES["border.crossing"].id
    lifted = cores.decode(Lift(NESTED)(header(1, crossing), cores.encode(said)))
    assert lifted == replace(said, keys=core(4).keys + subject)


def test_an_older_contracts_core_may_lack_a_pseudonym_and_an_event_may_too() -> None:
    absent = [None if place in PLACES else code for place, code in enumerate(core(1).codes)]
    for codes in (core(1).codes[: min(PLACES)], tuple(absent)):
        said = replace(core(1), codes=codes)
        assert cores.decode(Lift(NESTED)(header(1), cores.encode(said))).codes == codes


def test_what_is_no_core_is_said_to_be_none() -> None:
    with pytest.raises(Broken):
        Lift(NESTED)(header(1), b"\xc1")
