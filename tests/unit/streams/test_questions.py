"""Questions about one record, answered from the states of the partitions that own it."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from schemas import core
from schemas.header import Kind, Op
from streams import questions
from streams.reconcile.fold import Reconcile
from streams.replay import Replay
from tests.laws.records import CROSSING, DAY_MS, Crossing, Entry, delivery, inbox_frame, rules

ONE = Crossing("A")


def world(*entries: Entry) -> Replay:
    replay = Replay(rules(), 1, 1)
    for entry in entries:
        replay.inbox.append(0, inbox_frame([entry]))
    replay.run()
    return replay


def versions(replay: Replay, entry: Entry) -> dict[str, Any] | None:
    return questions.versions(replay.deduplicate[0].state, entry.header.record)


def standing(replay: Replay, entry: Entry) -> dict[str, Any]:
    stage = replay.reconcile[0].fold
    assert isinstance(stage, Reconcile)
    return questions.standing(replay.reconcile[0].state, stage, ONE.birth, entry.header.record)


def test_a_record_that_was_never_heard_of() -> None:
    assert versions(world(delivery(ONE)), delivery(Crossing("B"))) is None
    assert standing(world(delivery(ONE)), delivery(Crossing("B"))) == {"standing": "silent", "cells": [], "seq": 0}


def test_versions_come_in_order_with_their_deliveries_and_one_of_them_speaks() -> None:
    later = ONE._replace(revision=2, op=Op.CORRECT, minute=5)
    told = versions(world(delivery(later), delivery(ONE), delivery(ONE, 1), delivery(ONE, 1)), delivery(ONE))
    assert told is not None
    assert [(v["revision"], v["op"], v["deliveries"], v["speaks"]) for v in told["versions"]] == [
        (1, "CREATE", 2, False),
        (2, "CORRECT", 1, True),
    ]
    assert told["versions"][0]["recorded_at"] == "2018-03-11T00:00:00+00:00"
    assert (told["cancelled"], told["refused_deliveries"], told["block"]) == (False, 0, ONE.birth)


def test_of_two_contents_under_one_revision_the_one_that_speaks_is_marked() -> None:
    rival = ONE._replace(minute=60, recorded_at=ONE.recorded_at + DAY_MS)
    told = versions(world(delivery(rival), delivery(ONE)), delivery(ONE))
    assert told is not None
    assert [(v["digest"], v["speaks"]) for v in told["versions"]] == [
        (delivery(ONE).header.digest.hex(), False),
        (delivery(rival).header.digest.hex(), True),
    ]


def test_a_cancelled_record_speaks_nowhere() -> None:
    gone = delivery(ONE._replace(revision=2, op=Op.CANCEL))
    replay = world(delivery(ONE), gone)
    told = versions(replay, gone)
    assert told is not None
    assert (told["cancelled"], told["block"]) == (True, 0)
    assert not any(version["speaks"] for version in told["versions"])
    assert standing(replay, gone)["standing"] == "silent"


def test_a_record_that_was_only_refused() -> None:
    refused = delivery(ONE)
    refused = refused._replace(header=refused.header._replace(kind=Kind.REFUSED), core=b"\x90")
    assert versions(world(refused), refused) == {
        "versions": [],
        "cancelled": False,
        "refused_deliveries": 1,
        "block": 0,
        "seq": 0,
    }
    assert questions.refusals(world(refused).deduplicate[0].state, refused.header.record) == [
        {"accepted_at": 0, "errors": []}
    ]


def test_a_record_that_counts_names_its_cells_and_how_many_reports_are_beside_it() -> None:
    other = delivery(ONE._replace(record="B", minute=600))
    told = standing(world(delivery(ONE), other), other)
    assert told == {
        "standing": "counted",
        "cells": ["F06|2018-03|IN|F|UZ|PL|CAR|_Z|BREST"],
        "reports_of_the_person": 2,
        "reports_of_the_happening": 1,
        "seq": 1,
        "outside": [],
    }


def test_a_record_that_another_one_represents_names_it() -> None:
    border, police = delivery(ONE), delivery(ONE._replace(record="B", agency=2, minute=9))
    replay = world(police, border)
    assert standing(replay, border)["standing"] == "counted"
    assert standing(replay, police) == {
        "standing": "represented",
        "cells": [],
        "reports_of_the_person": 2,
        "reports_of_the_happening": 2,
        "represented_by": border.header.record.hex(),
        "represented_by_agency": 1,
        "seq": 1,
    }


def test_a_record_that_no_table_counts_is_outside() -> None:
    refused = delivery(ONE)
    made = core.decode(refused.core)
    place = CROSSING.core_index["result"]
    codes = (*made.codes[:place], "REFUSED", *made.codes[place + 1 :])
    refused = refused._replace(core=core.encode(replace(made, codes=codes)))
    assert standing(world(refused), refused)["standing"] == "outside"


def test_a_record_that_a_table_failed_on_is_quarantined() -> None:
    broken = delivery(ONE)._replace(core=b"\xc1")
    assert standing(world(broken), broken) == {"standing": "quarantined", "cells": [], "seq": 1}


def test_two_persons_in_one_component_are_told_apart() -> None:
    one, other = delivery(ONE._replace(number=1, document=9)), delivery(ONE._replace(record="B", number=2, document=9))
    told = standing(world(one, other), other)
    assert (told["standing"], told["reports_of_the_person"]) == ("counted", 1)


def test_no_answer_holds_a_link_key() -> None:
    border, police = delivery(ONE), delivery(ONE._replace(record="B", agency=2, minute=9))
    replay = world(police, border)
    told = json.dumps([versions(replay, police), standing(replay, police), standing(replay, border)])
    for key in core.link_keys(core.decode(border.core).keys):
        assert key.hex() not in told
        assert key[1:].hex() not in told
