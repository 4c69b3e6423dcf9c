"""The tables, one module each; this list is the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from streams.dataflows.definition import Dataflow, Fact, Rules
from streams.dataflows.f01 import F01
from streams.dataflows.f06 import F06
from streams.dataflows.f11 import F11
from streams.reconcile.happenings import Happening

DATAFLOWS: Mapping[str, Dataflow] = {flow.id: flow for flow in (F01, F06, F11)}


def facts_of(history: Sequence[Happening], rules: Rules, *, by_happening: bool = False) -> list[Fact]:
    """Return all that one person's history states, in every table that reads one of its families.

    With `by_happening`, only in the tables to which each happening states its facts whatever else happened.
    """
    families = frozenset([happening.report.family for happening in history])
    return [
        fact
        for flow in _flows(families)
        if flow.by_happening or not by_happening
        for fact in flow.facts(history, rules)
    ]


def person_flows(families: frozenset[int]) -> tuple[Dataflow, ...]:
    """Return the tables of these families in which a happening's facts depend on what else happened to the person."""
    return tuple([flow for flow in _flows(families) if not flow.by_happening])


@cache
def _flows(families: frozenset[int]) -> tuple[Dataflow, ...]:
    return tuple(flow for flow in DATAFLOWS.values() if flow.families & families)
