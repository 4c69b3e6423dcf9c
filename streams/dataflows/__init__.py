"""The tables, one module each; this list is the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from streams.dataflows.definition import Dataflow, Fact, Rules
from streams.dataflows.f01 import F01
from streams.dataflows.f06 import F06
from streams.dataflows.f11 import F11
from streams.reconcile.happenings import Happening

DATAFLOWS: Mapping[str, Dataflow] = {flow.id: flow for flow in (F01, F06, F11)}


class Reading(NamedTuple):
    """The tables that read some event families."""

    by_happening: tuple[Dataflow, ...]
    by_person: tuple[Dataflow, ...]  # a happening's facts depend on what else happened to the person


@cache
def reading(families: frozenset[int]) -> Reading:
    """Return the tables that read one of these families, by permanent numbers."""
    flows = [flow for flow in DATAFLOWS.values() if flow.families & families]
    return Reading(
        tuple(flow for flow in flows if flow.by_happening), tuple(flow for flow in flows if not flow.by_happening)
    )


def facts_of(history: Sequence[Happening], rules: Rules) -> list[Fact]:
    """Return all that one person's history states, in every table that reads one of its families."""
    read = reading(frozenset([happening.report.family for happening in history]))
    return [fact for flow in (*read.by_happening, *read.by_person) for fact in flow.stated(history, rules)]
