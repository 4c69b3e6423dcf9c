"""F06: border crossings (MI01, MI02). / Пересечение границы.

Acts are counted, not persons: a person who crosses twice counts twice, a crossing that two agencies report counts
once (conventions, 2.2 and 7.1). The checkpoint is kept inside and summed out of what is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.contracts import FAMILIES
from schemas.periods import period_of
from streams.dataflows.definition import Dataflow, Dimension, Fact, Measure, Rules, cell
from streams.reconcile.happenings import Happening, picking

_CONTRACT = FAMILIES["border.crossing"]
CROSSING = _CONTRACT.id
_codes = picking(_CONTRACT, "direction", "section", "mode", "purpose", "checkpoint")


def facts(history: Sequence[Happening], rules: Rules) -> Iterator[Fact]:
    """Yield one fact per crossing, under its month; whoever was not let through is none (`universe`)."""
    for happening in history:
        crossing = happening.reports[0]
        direction, section, mode, purpose, checkpoint = _codes(crossing)
        citizenship = crossing.core.citizenship
        citizen = "C" if rules.convention.country_alpha3 in citizenship else "F"
        area = rules.lists.area(citizenship[0] if citizenship else "XXX")
        month = period_of(crossing.core.day, F06.freq)
        key = cell(F06.id, month, direction, citizen, area, section, mode, purpose, checkpoint)
        yield Fact(key, crossing.record, (1,))


F06 = Dataflow(
    id="F06",
    freq="M",
    families=frozenset({CROSSING}),
    dimensions=(
        Dimension("DIRECTION", "DIR"),
        Dimension("CITIZEN", "CITIZEN"),
        Dimension("AREA", "AREA"),
        Dimension("SECTION", "SECTION"),
        Dimension("MODE", "MODE"),
        Dimension("PURP", "PURP"),
        Dimension("CHECKPOINT", "CHECKPOINT", internal=True),
    ),
    measures=(Measure("CROSSINGS", "ACT"),),
    facts=facts,
    by_happening=True,
)
