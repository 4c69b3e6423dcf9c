"""Questions about one record, answered from the state of the partition that owns it.

Nothing is copied elsewhere for this: deduplicate knows the versions, reconcile what the record states and beside whom.
Answers hold no identity: link keys, blocks of other records and birth dates stay inside.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.header import Op
from streams.deduplicate import read_state, winner
from streams.fold import View
from streams.reconcile.component import BROKEN, SILENT, Component, component_key, read_place
from streams.reconcile.fold import Reconcile
from streams.reconcile.happenings import happenings
from streams.reconcile.people import persons


def versions(view: View, record: bytes) -> dict[str, Any] | None:
    """Return what deduplicate knows of a record: its versions, which speaks, in which block; None: never heard of."""
    state = read_state(view, record)
    if state is None:
        return None
    best = winner(state.versions) if state.versions else None
    return {
        "versions": [
            {
                "revision": version.revision,
                "op": Op(version.op).name,
                "recorded_at": datetime.fromtimestamp(version.recorded_at / 1000, UTC).isoformat(),
                "digest": version.digest.hex(),
                "deliveries": len(version.deliveries) // 8,
                "speaks": version is best and version.op != Op.CANCEL,
            }
            for version in sorted(state.versions, key=lambda v: (v.revision, v.recorded_at, v.digest))
        ],
        "cancelled": best is not None and best.op == Op.CANCEL,
        "refused_deliveries": state.refusals,
        "block": int.from_bytes(state.block, "big"),
    }


def standing(view: View, stage: Reconcile, block: int, record: bytes) -> dict[str, Any]:
    """Return what a record counts for: `counted`, `represented` by another, `outside` every table, `quarantined`.

    `silent` when it does not speak in this block: moved, cancelled, or not arrived here yet.
    """
    place = block.to_bytes(4, "big")
    _, number = read_place(view, place, record)
    if number in (SILENT, BROKEN):
        return {"standing": "quarantined" if number == BROKEN else "silent", "cells": []}
    component = Component(component_key(place, number), view)
    cells = sorted(fact.cell for fact in component.stated if fact.record == record)
    person = next(person for person in persons(component.read()) if any(report.record == record for report in person))
    happening = next(h for h in happenings(person, stage.rank) if any(r.record == record for r in h.reports))
    represented = happening.report.record != record
    return {
        "standing": "represented" if represented else "counted" if cells else "outside",
        "cells": cells,
        "reports_of_the_person": len(person),
        "reports_of_the_happening": len(happening.reports),
        **({"represented_by": happening.report.record.hex()} if represented else {}),
    }
