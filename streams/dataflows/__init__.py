"""The tables, one module each; this list is the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    families = {happening.report.family for happening in history}
    flows = [
        flow for flow in DATAFLOWS.values() if flow.families & families and (flow.by_happening or not by_happening)
    ]
    return [fact for flow in flows for fact in flow.facts(history, rules)]
