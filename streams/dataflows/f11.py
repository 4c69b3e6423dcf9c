"""F11: permits (MI04-MI06). / Продлили пребывание, вид на жительство, гражданство.

Acts and persons are two measures: a person with two decisions in one cell is two acts and one person; first issue
and renewal are kept apart (conventions, 5.3 and 7.1). Age is completed years on the day of the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from schemas.ages import age_group
from schemas.contracts import FAMILIES
from schemas.core import Core
from schemas.periods import period_of
from streams.dataflows.definition import Dataflow, Dimension, Fact, Measure, Rules, cell
from streams.reconcile.happenings import Happening

DECISION = FAMILIES["permit.decision"].id
SEX = {1: "M", 2: "F"}
"""ISO 5218 -> the feed's codes; anything else is unknown (conventions, 9.1)."""


def facts(history: Sequence[Happening], rules: Rules) -> Iterator[Fact]:
    """Yield one fact per decision, under its quarter; the person counts with the first of a cell."""
    counted: set[str] = set()
    for happening in history:
        decision = happening.report
        key = _cell(decision.core, rules, decision.code)
        yield Fact(key, decision.record, (1, int(key not in counted)))
        counted.add(key)


def _cell(core: Core, rules: Rules, code: Callable[[str], object]) -> str:
    return cell(
        F11.id,
        period_of(core.day, F11.freq),
        code("permit_type"),
        code("action"),
        "F" if code("first_issue") else "R",
        rules.lists.area(core.citizenship[0] if core.citizenship else "XXX"),
        code("region"),
        SEX.get(core.sex, "U"),
        age_group(core.birth, core.day),
    )


F11 = Dataflow(
    id="F11",
    freq="Q",
    families=frozenset({DECISION}),
    dimensions=(
        Dimension("PERM", "PERM"),
        Dimension("PERMIT_ACTION", "PERMIT_ACTION"),
        Dimension("FIRST", "FIRST"),
        Dimension("AREA", "AREA"),
        Dimension("REG", "REG"),
        Dimension("SEX", "CL_SEX"),
        Dimension("AGE", "AGE"),
    ),
    measures=(Measure("ACTS", "ACT"), Measure("PERSONS", "PS")),
    facts=facts,
)
