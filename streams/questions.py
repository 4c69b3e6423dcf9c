"""Questions about one record, answered from the state of the partition that owns it.

Nothing is copied elsewhere for this: deduplicate knows the versions, reconcile what the record states and beside whom.
Answers hold no identity: link keys, blocks of other records and birth dates stay inside.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.header import ACCEPTED_AT, SEQ, Door, Op
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Rules
from streams.deduplicate import DELIVERY_SIZE, Version, read_state, refusals_key, winner
from streams.fold import View
from streams.reconcile.component import BROKEN, SILENT, Component, component_key, read_place
from streams.reconcile.fold import Reconcile
from streams.reconcile.happenings import DECISION, Report, happenings
from streams.reconcile.people import persons

_read_reasons = msgspec.msgpack.Decoder(list[tuple[str, str]]).decode
_DOORS = frozenset(Door)
_INSTANT = 8  # bytes before the reasons of a refusal


def versions(view: View, record: bytes) -> dict[str, Any] | None:
    """Return what deduplicate knows of a record: its versions, which speaks, in which block; None: never heard of.

    `seq` is how many statements it has made about it, so that one can tell whether reconcile has heard the last.
    """
    state = read_state(view, record)
    if state is None:
        return None
    best = winner(state.versions) if state.versions else None
    return {
        "versions": [
            _version(version, version is best)
            for version in sorted(state.versions, key=lambda v: (v.revision, v.recorded_at, v.digest))
        ],
        "cancelled": best is not None and best.op == Op.CANCEL,
        "refused_deliveries": state.refusals,
        "block": int.from_bytes(state.block, "big"),
        "seq": state.seq,
    }


def _version(version: Version, best: bool) -> dict[str, Any]:
    return {
        "revision": version.revision,
        "op": Op(version.op).name,
        "recorded_at": datetime.fromtimestamp(version.recorded_at / 1000, UTC).isoformat(),
        "digest": version.digest.hex(),
        "deliveries": len(version.deliveries) // DELIVERY_SIZE,
        "speaks": best and version.op != Op.CANCEL,
        "wins": best,
        "door": _door(int.from_bytes(version.header[SEQ], "big")),
        "accepted_at": int.from_bytes(version.header[ACCEPTED_AT], "big"),
        "offset": version.offset,
        "tick": version.tick,
    }


def _door(number: int) -> str:
    return (Door(number) if number in _DOORS else Door.UNKNOWN).name.lower()


def refusals(view: View, record: bytes) -> list[dict[str, Any]]:
    """Return the deliveries of a record that the door refused, in order of time.

    Each with its instant (ms), and code and field of its reasons.
    """
    found = [value for _, value in view.scan(refusals_key(record))]
    return [
        {"accepted_at": int.from_bytes(value[:_INSTANT], "big"), "errors": _read_reasons(value[_INSTANT:])}
        for value in sorted(found)
    ]


def standing(view: View, stage: Reconcile, block: int, record: bytes) -> dict[str, Any]:
    """Return what a record counts for: `counted`, `represented` by another, `outside` every table, `quarantined`.

    `silent` when it does not speak in this block: moved, cancelled, or not arrived here yet. `seq` is the number of the
    statement last heard of it here; `outside` are the tables that do not count it, and why (`outside_of`).
    """
    place = block.to_bytes(4, "big")
    seq, number = read_place(view, place, record)
    if number in (SILENT, BROKEN):
        return {"standing": "quarantined" if number == BROKEN else "silent", "cells": [], "seq": seq}
    component = Component(component_key(place, number), view)
    cells = sorted(fact.cell for fact in component.stated if fact.record == record)
    reports = component.read()
    decisions = [report for report in reports if report.family == DECISION]  # nobody's: they are about persons
    person = next(person for person in (*persons(reports), decisions) if any(each.record == record for each in person))
    happening = next(h for h in happenings(person, stage.rank) if any(r.record == record for r in h.reports))
    speaker = happening.report
    told = {"cells": cells, "seq": seq}
    told |= {"reports_of_the_person": len(person), "reports_of_the_happening": len(happening.reports)}
    if speaker.record != record:
        by = {"represented_by": speaker.record.hex(), "represented_by_agency": speaker.agency}
        return {"standing": "represented", **told, **by}
    counting = {cell.partition("|")[0] for cell in cells}
    outside = outside_of(speaker, stage.rules, counting)
    return {"standing": "counted" if cells else "outside", **told, "outside": outside}


def outside_of(report: Report, rules: Rules, counting: Collection[str] = ()) -> list[dict[str, str]]:
    """Return the tables that read reports of this family and do not count this one, each with the rule.

    `reason` is a code of `connectors/fates.csv`; of `outside-universe` the core field is named, too.
    """
    reading = (flow for flow in DATAFLOWS.values() if report.family in flow.families and flow.id not in counting)
    left = ((flow.id, flow.left_out(report, rules)) for flow in reading)
    return [
        {"table": table, "reason": rule.code} | ({} if rule.field is None else {"field": rule.field})
        for table, rule in left
        if rule is not None
    ]
