"""Persons: a pure function of the set of reports, and never two personal numbers in one."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.contracts import FAMILIES
from schemas.core import DOCUMENT, NAME, PERSONAL_NO, Core, encode
from streams.reconcile.happenings import Report, read_report
from streams.reconcile.people import connected, persons
from tests.laws.records import CROSSING, digest16, link_key

Told = tuple[int | None, int | None, int | None]
"""What a report tells of its person: personal number, document, name."""


def report(record: object, told: Told) -> Report:
    kinds = (PERSONAL_NO, DOCUMENT, NAME)
    keys = sorted(link_key(kind, value) for kind, value in zip(kinds, told, strict=True) if value is not None)
    core = Core(17600, 0, b"".join(keys), 19800101, 1, ("UZB",), ("IN", "BREST", "PL", "CAR", None, "PASSED"))
    return Report(digest16(record), 1, CROSSING.id, 0, 1, core, tuple(keys), b"")


def reports(*told: Told) -> list[Report]:
    return [report(n, each) for n, each in enumerate(told)]


def clusters(found: list[list[Report]]) -> set[frozenset[bytes]]:
    return {frozenset(each.record for each in person) for person in found}


def who(*told: Told) -> list[list[int]]:
    """Return which reports are one person, by their places."""
    given_ = reports(*told)
    places = {each.record: n for n, each in enumerate(given_)}
    return sorted(sorted(places[each.record] for each in person) for person in persons(given_))


tellings = st.lists(
    st.tuples(*[st.none() | st.integers(0, 2) for _ in range(3)]).map(lambda t: (t[0], t[1], t[2])),
    min_size=1,
    max_size=9,
)


@settings(max_examples=400, deadline=None)
@given(tellings, st.randoms(use_true_random=False))
def test_persons_do_not_depend_on_the_order_of_the_reports(told: list[Told], order: random.Random) -> None:
    one = reports(*told)
    other = list(one)
    order.shuffle(other)
    assert clusters(persons(one)) == clusters(persons(other))


@settings(max_examples=400, deadline=None)
@given(tellings)
def test_every_report_is_of_one_person_and_nobody_has_two_personal_numbers(told: list[Told]) -> None:
    given_ = reports(*told)
    found = persons(given_)
    assert sorted(each.record for person in found for each in person) == sorted(each.record for each in given_)
    for person in found:
        assert len({key for each in person for key in each.keys if key[0] == PERSONAL_NO}) <= 1


@settings(max_examples=400, deadline=None)
@given(tellings)
def test_one_personal_number_is_one_person(told: list[Told]) -> None:
    found = persons(reports(*told))
    for number in (0, 1, 2):
        key = link_key(PERSONAL_NO, number)
        assert sum(any(key in each.keys for each in person) for person in found) <= 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([(1, 1, 1), (None, 1, 2)], [[0, 1]], id="a document joins, whatever the name"),
        pytest.param([(None, 1, 1), (None, 2, 1)], [[0, 1]], id="a name joins while nobody's number speaks against it"),
        pytest.param([(1, 9, 1), (2, 9, 2)], [[0], [1]], id="a document of two numbers joins nobody"),
        pytest.param([(1, 9, 1), (2, 9, 2), (None, 9, 3)], [[0], [1], [2]], id="nor a third that has only it"),
        pytest.param([(1, 9, 1), (2, 9, 2), (None, 9, 1)], [[0, 2], [1]], id="who has the name of one is that one"),
        pytest.param([(1, 1, 5), (2, 2, 5), (None, 2, None)], [[0], [1, 2]], id="the document decides before the name"),
        pytest.param(
            [(1, 1, 1), (1, 9, 1), (2, 9, 2), (None, 1, 5)], [[0, 1, 3], [2]], id="one bad document spoils no other"
        ),
        pytest.param(
            [(1, 1, 1), (2, 2, 2), (None, 5, 1), (None, 5, 2)], [[0], [1], [2, 3]], id="two names of two joins nobody"
        ),
        pytest.param([(1, 1, 1), (1, 2, 2), (2, 3, 3)], [[0, 1], [2]], id="equal numbers need nothing else"),
        pytest.param(
            [(1, 1, 1), (2, 2, 2), (None, 1, 7), (None, 2, 7)],
            [[0, 2], [1, 3]],
            id="a name of two persons joins nobody",
        ),
    ],
)
def test_who_is_who(told: list[Told], expected: list[list[int]]) -> None:
    assert who(*told) == expected


def test_a_chain_through_somebody_without_number_does_not_join_two_numbers() -> None:
    """Documents 1 and 2 are each of one number only, yet one report has a key with both of them."""
    first, second = report("a", (1, 1, None)), report("b", (2, None, 2))
    between = report("c", (None, 1, 2))
    found = clusters(persons([first, second, between]))
    assert found == {frozenset({first.record, between.record}), frozenset({second.record})}


def test_connected_keeps_the_order_and_joins_through_others() -> None:
    assert connected("abcde", [{1}, {2}, {1, 3}, {4}, {3}]) == [["a", "c", "e"], ["b"], ["d"]]
    assert connected("ab", [set[int](), set[int]()]) == [["a"], ["b"]]


def decision(number: int, linking: str, one: int, other: int, at: int = 0) -> Report:
    contract = FAMILIES["link.decision"]
    named = {"linking": linking, "first_record_no": digest16(one), "second_record_no": digest16(other)}
    codes = tuple(named.get(name) for name in contract.core_fields)
    raw = encode(Core(17600, at, b"", 19800101, 0, (), codes))
    return read_report(digest16(number), (1, contract.id, 1, 0), raw)


def decided(told: Sequence[Told], *decisions: Report) -> list[list[int]]:
    given_ = reports(*told)
    places = {each.record: n for n, each in enumerate(given_)}
    found = persons([*given_, *decisions])
    assert clusters(persons([*decisions, *reversed(given_)])) == clusters(found)
    return sorted(sorted(places[each.record] for each in person) for person in found)


@pytest.mark.parametrize(
    ("told", "decisions", "expected"),
    [
        ([(1, 1, 1), (2, 2, 2)], [("LINK", 0, 1)], [[0, 1]]),
        ([(1, 1, 1), (2, 2, 2), (2, 3, 3)], [("LINK", 0, 1)], [[0, 1, 2]]),
        ([(1, 1, 1), (1, 1, 1)], [("UNLINK", 0, 1)], [[0], [1]]),
        ([(None, 5, 1), (None, 5, 2), (None, 6, 1)], [("UNLINK", 0, 1)], [[0, 2], [1]]),
        ([(1, 1, 1), (2, 2, 2), (3, 3, 3)], [("LINK", 0, 1), ("LINK", 1, 2), ("UNLINK", 0, 2)], [[0], [1], [2]]),
        ([(1, 1, 1), (2, 2, 2)], [("LINK", 0, 7)], [[0], [1]]),
    ],
    ids=[
        "two numbers are one person if an operator says so",
        "and then whoever has one of the numbers is that person",
        "one number is two persons if an operator says so",
        "then no key joins them, yet other keys go on",
        "decisions that contradict each other join nobody",
        "a record that is not here is nobody",
    ],
)
def test_an_operator_decides(
    told: list[Told], decisions: list[tuple[str, int, int]], expected: list[list[int]]
) -> None:
    assert decided(told, *[decision(100 + n, *each) for n, each in enumerate(decisions)]) == expected


def test_of_two_decisions_on_one_pair_the_newer_one_counts() -> None:
    told: list[Told] = [(1, 1, 1), (2, 2, 2)]
    older, newer = decision(100, "LINK", 0, 1, at=1), decision(99, "UNLINK", 1, 0, at=2)
    assert decided(told, older, newer) == [[0], [1]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 2), st.integers(0, 2)), max_size=6),
    st.lists(st.tuples(st.sampled_from(["LINK", "UNLINK"]), st.integers(0, 5), st.integers(0, 5)), max_size=4),
)
def test_whom_an_operator_told_apart_are_never_one_person(
    told: list[Told], decisions: list[tuple[str, int, int]]
) -> None:
    made = [decision(100 + n, *each, at=n) for n, each in enumerate(decisions)]
    newest = {frozenset(each[1:]): each[0] for each in decisions}
    for person in decided(told, *made):
        assert not any(
            linking == "UNLINK" and len(pair) == 2 and pair <= set(person) for pair, linking in newest.items()
        )
