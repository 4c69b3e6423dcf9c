"""The schedule: faults in their shares, the right version last, books that a plain recount confirms."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ops.demo import bts, generate
from ops.demo.faults import PER_HUNDRED, Delivery
from ops.demo.oracle import Expected
from ops.demo.schedule import Schedule, schedule
from schemas import conventions
from schemas.conventions import Convention
from schemas.errors import Misconfigured

Record = tuple[str, str]


@pytest.fixture(scope="module")
def convention() -> Convention:
    return conventions.load(generate.CONVENTION)


@pytest.fixture(scope="module")
def planned(convention: Convention) -> Schedule:
    return schedule(convention, "2410,3408", scale=0.3, seed=11)


@pytest.fixture(scope="module")
def sent(planned: Schedule) -> list[tuple[int, Delivery]]:
    return list(planned.deliveries())


@pytest.fixture(scope="module")
def true_events(sent: list[tuple[int, Delivery]]) -> list[tuple[Delivery, dict[str, Any]]]:
    return [(delivery, json.loads(delivery.line)) for _, delivery in sent if delivery.answer != "refused"]


def newest(true_events: list[tuple[Delivery, dict[str, Any]]]) -> dict[Record, dict[str, Any]]:
    """Every record's version with the greatest revision."""
    found: dict[Record, dict[str, Any]] = {}
    for delivery, event in true_events:
        key = (delivery.agency, event["header"]["record_no"])
        if key not in found or event["header"]["revision"] > found[key]["header"]["revision"]:
            found[key] = event
    return found


def test_the_last_versions_make_the_published_table(
    true_events: list[tuple[Delivery, dict[str, Any]]], planned: Schedule, convention: Convention
) -> None:
    happened: dict[tuple[str, str, str, str], list[datetime]] = defaultdict(list)
    for event in newest(true_events).values():
        if event["header"]["op"] != "CANCEL":
            crossing, person = event["event"], event["person"]
            key = (person["document"]["number"], crossing["section"], crossing["mode"], crossing["checkpoint"])
            happened[key].append(datetime.fromisoformat(event["header"]["occurred_at"]))
    counted: Counter[bts.Cell] = Counter()
    for (_, section, mode, checkpoint), times in happened.items():
        times.sort()
        for earlier, later in zip([None, *times], times, strict=False):
            if earlier is None or (later - earlier).total_seconds() > 600:
                counted[bts.Cell("IN", section, mode, checkpoint, f"{later.astimezone(convention.zone):%Y-%m}")] += 1
    assert dict(counted) == planned.expected.cells


def test_the_books_are_what_a_recount_finds(
    true_events: list[tuple[Delivery, dict[str, Any]]], sent: list[tuple[int, Delivery]], planned: Schedule
) -> None:
    versions: dict[Record, dict[int, str]] = defaultdict(dict)
    books: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for _, delivery in sent:
        books[delivery.agency, delivery.family]["deliveries"] += 1
        books[delivery.agency, delivery.family]["refused"] += delivery.answer == "refused"
    for delivery, event in true_events:
        known = versions[delivery.agency, event["header"]["record_no"]]
        content = json.dumps([event["header"]["op"], event["header"]["occurred_at"], event["person"], event["event"]])
        again = event["header"]["revision"] in known
        assert known.setdefault(event["header"]["revision"], content) == content, "no two contents under one revision"
        books[delivery.agency, delivery.family]["duplicate" if again else "new_version"] += 1
    ends = newest(true_events)
    for (agency, record_no), known in versions.items():
        cancelled = ends[agency, record_no]["header"]["op"] == "CANCEL"
        books[agency, "border.crossing"]["cancelled" if cancelled else "current"] += 1
        books[agency, "border.crossing"]["speaking"] += not cancelled
        books[agency, "border.crossing"]["superseded"] += len(known) - 1
    assert {k: {e: n for e, n in b.items() if n} for k, b in books.items()} == {
        k: {e: n for e, n in b.items() if n} for k, b in planned.expected.books.items()
    }


def test_of_each_hundred_crossings_each_fault_strikes_exactly_its_share(planned: Schedule, sent: object) -> None:
    expected = planned.expected
    hundreds = expected.crossings // 100
    counts = expected.faults
    found = {
        "re-sent": counts["re-sent on the same connection"] + counts["re-sent on a new connection"],
        "wrong port or month": counts["corrected: wrong port at first"] + counts["corrected: wrong month at first"],
        "wrong birth date": counts["corrected: birth date, to another block"]
        + counts["corrected: birth date, to another block and back"],
        "cancelled and re-issued": counts["cancelled and re-issued"],
        "late": counts["late by up to five months"],
        "by two agencies": counts["by two agencies"],
        "malformed": counts["malformed"],
    }
    for fault, share in PER_HUNDRED.items():
        assert hundreds * share <= found[fault] <= (hundreds + 1) * share, fault
    assert abs(counts["re-sent on the same connection"] - counts["re-sent on a new connection"]) <= 1
    assert abs(counts["by two agencies"] / 3 - counts["by two agencies: some minutes apart"]) < 1


def test_some_corrections_and_cancellations_come_before_their_originals(
    true_events: list[tuple[Delivery, dict[str, Any]]], planned: Schedule
) -> None:
    seen: set[Record] = set()
    first_op: Counter[str] = Counter()
    for delivery, event in true_events:
        key = (delivery.agency, event["header"]["record_no"])
        if key not in seen:
            seen.add(key)
            first_op[event["header"]["op"]] += 1
    assert first_op["CORRECT"] > 0
    assert first_op["CANCEL"] > 0
    counts = planned.expected.faults
    assert first_op["CANCEL"] <= counts["sent before its original: cancellation"]


def test_late_reports_are_recorded_up_to_five_months_later_and_out_of_order(
    true_events: list[tuple[Delivery, dict[str, Any]]],
) -> None:
    late = []
    for _, event in true_events:
        header = event["header"]
        if header["occurred_at"] and header["op"] == "CREATE":
            recorded = datetime.fromisoformat(header["recorded_at"])
            days = (recorded - datetime.fromisoformat(header["occurred_at"])).days
            if days > 30:
                late.append((recorded, days))
    assert max(days for _, days in late) > 140
    assert [recorded for recorded, _ in late] != sorted(recorded for recorded, _ in late)


def test_agencies_write_instants_in_different_zones(true_events: list[tuple[Delivery, dict[str, Any]]]) -> None:
    offsets = {(d.agency, e["header"]["recorded_at"][-6:]) for d, e in true_events}
    assert {("cbp", "-06:00"), ("cbp", "-05:00"), ("carriers", "+00:00"), ("cbsa_liaison", "+00:00")} == offsets


def test_a_new_connection_is_another_stage_and_stages_come_in_order(sent: list[tuple[int, Delivery]]) -> None:
    assert [stage for stage, _ in sent] == sorted(stage for stage, _ in sent)
    first: dict[tuple[str, str, int], int] = {}
    same = new = 0
    for stage, delivery in sent:
        if delivery.answer == "refused":
            continue
        header = json.loads(delivery.line)["header"]
        key = (delivery.agency, header["record_no"], header["revision"])
        if key in first:
            same, new = same + (first[key] == stage), new + (first[key] != stage)
        first.setdefault(key, stage)
    assert abs(same - new) <= 1


def test_the_same_seed_sends_the_same_and_another_seed_does_not(convention: Convention) -> None:
    def all_of(seed: int) -> list[object]:
        return [list(b) for b in schedule(convention, "3408", 0.1, seed).batches()]

    assert all_of(4) == all_of(4) != all_of(5)


def test_files_hold_the_batches_and_the_expectation_reads_back(convention: Convention, tmp_path: Path) -> None:
    planned = schedule(convention, "3408", 0.3, seed=2)
    expected = generate.write(planned, tmp_path / "out")
    stages = generate.lanes(tmp_path / "out")
    lines = Counter({(lane.agency, lane.family, lane.door): 0 for stage in stages for lane, _ in stage})
    for stage in stages:
        for lane, path in stage:
            assert path.name == lane.file_name
            lines[lane.agency, lane.family, lane.door] += path.read_bytes().count(b"\n")
    assert lines == expected.sent
    stored = json.loads((tmp_path / "out" / generate.EXPECTED).read_text())
    assert Expected.from_json(stored) == expected
    with pytest.raises(Misconfigured, match="holds files"):
        generate.write(planned, tmp_path / "out")


def test_the_command_line_writes_and_complains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--out", str(tmp_path / "a"), "--ports", "3321", "--scale", "0.1"]) == 0
    assert "12 cells" in capsys.readouterr().out
    assert generate.main(["--out", str(tmp_path / "b"), "--ports", "nowhere"]) == 78
    assert "--ports" in capsys.readouterr().err


def test_one_agency_is_not_enough(convention: Convention) -> None:
    from dataclasses import replace

    alone = replace(convention, agencies={"cbp": convention.agencies["cbp"]})
    with pytest.raises(Misconfigured, match="two agencies"):
        schedule(alone, "3321")
