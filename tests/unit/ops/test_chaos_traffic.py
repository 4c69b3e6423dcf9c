"""What is sent in a run of chaos: every family, every fault, and what is broken is refused for certain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest

from connectors import confluent
from connectors.admission import Admission
from ops.chaos import broken
from ops.chaos.families import CONVENTION, KINDS
from ops.chaos.people import someone
from ops.chaos.tables import RULES
from ops.chaos.traffic import DELIVERIES_EACH, DOORS, PER_HUNDRED, Delivery, Traffic
from schemas import conventions
from schemas.contracts import FAMILIES
from schemas.errors import Refused
from tests.unit.ops.chaos_world import NOW, SECRETS, deliveries, rules


def traffic(seed: int, happenings: int = 300) -> Traffic:
    return Traffic(conventions.load(CONVENTION), seed, happenings)


def event(delivery: Delivery) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads(delivery.line)
    return stated


def accepted(family: str) -> Iterator[Delivery]:
    return (each for each in deliveries() if each.family == family and each.wanted == "accepted")


def test_the_same_seed_sends_the_same_and_another_one_another() -> None:
    assert list(traffic(1).deliveries()) == list(traffic(1).deliveries())
    assert list(traffic(1).deliveries()) != list(traffic(2).deliveries())


def test_everything_is_sent_in_order_of_time_through_all_doors_with_every_fault() -> None:
    made = traffic(3, happenings=4_000)
    sent = list(made.deliveries())
    assert [each.sent_at for each in sent] == sorted(each.sent_at for each in sent)
    assert made.counts.keys() == PER_HUNDRED.keys()
    assert {(each.family, each.door, each.wanted) for each in sent} == {
        (family, door, wanted) for family in KINDS for door in DOORS for wanted in ("accepted", "refused")
    }
    assert 0.9 < len(sent) / 4_000 / DELIVERIES_EACH < 1.1


def test_every_family_that_is_sent_is_counted_again_and_reported_by_two_agencies() -> None:
    agencies = conventions.load(CONVENTION).agencies.values()
    assert KINDS.keys() == RULES.keys()
    assert all(sum(family in agency.families for agency in agencies) > 1 for family in KINDS)
    assert sum(kind.share for kind in KINDS.values()) == 100


def test_no_two_people_have_a_name_a_paper_or_a_number_in_common() -> None:
    people = [someone(number, salt=5) for number in range(3_000)]
    names = {(surname, each.given_names, each.birth) for each in people for surname in each.surnames}
    papers = [paper for each in people for paper in each.papers]
    numbers = [each.personal_no for each in people if each.personal_no is not None]
    assert len(names) == 2 * len(people)
    assert len(set(papers)) == len(papers) > len(people)
    assert len(set(numbers)) == len(numbers) > 0


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize(
    "kind", [*broken.ANY_DOOR, *(kind for kind in broken.JSON_ONLY if kind != broken.NOT_ENTITLED)]
)
def test_what_is_broken_is_refused_as_json(kind: str, family: str) -> None:
    admission = Admission(rules().convention, rules().lists, SECRETS)
    for delivery in islice((each for each in accepted(family) if event(each)["header"]["op"] == "CREATE"), 5):
        line = {**broken.ANY_DOOR, **broken.JSON_ONLY}[kind](event(delivery), family, Random(1))
        with pytest.raises(Refused):
            admission.admit(delivery.agency, family, line, bytes(8), NOW)


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("kind", broken.KAFKA_ONLY)
def test_what_is_broken_is_refused_over_kafka(kind: str, family: str) -> None:
    for chance, delivery in enumerate(islice(accepted(family), 5)):
        with pytest.raises(Refused):
            confluent.decode(broken.KAFKA_ONLY[kind](event(delivery), family, Random(chance)), family)


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("kind", broken.ANY_DOOR)
def test_what_is_broken_for_any_door_can_be_written_as_avro(kind: str, family: str) -> None:
    line = broken.ANY_DOOR[kind](event(next(accepted(family))), family, Random(1))
    confluent.encode(FAMILIES[family], json.loads(line))
