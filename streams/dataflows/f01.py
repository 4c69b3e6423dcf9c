"""F01: arrivals and departures by country. / Прибывшие, выбывшие, миграционный прирост по странам.

One registration or deregistration coupon is one move of one person; moves inside one district do not count
(conventions, 3.1 and 7.1; resolution of the migration-record coupon). The net is derived when read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.contracts import FAMILIES
from schemas.periods import period_of
from streams.dataflows.definition import Dataflow, Dimension, Fact, Measure, Net, Rules, cell
from streams.reconcile.happenings import Happening, Report

ARRIVED = FAMILIES["residence.registered"].id
DEPARTED = FAMILIES["residence.deregistered"].id


def facts(history: Sequence[Happening], rules: Rules) -> Iterator[Fact]:
    """Yield one fact per move, under the month of the move."""
    for happening in history:
        coupon = happening.report
        if coupon.family == ARRIVED:
            direction, country = "ARR", coupon.code("from_country")
        else:
            direction, country = "DEP", coupon.code("to_country")
        month = period_of(coupon.core.day, F01.freq)
        area = rules.lists.area(str(country))
        yield Fact(
            cell(F01.id, month, direction, area, coupon.code("region"), coupon.code("locality")), coupon.record, (1,)
        )


def outside(coupon: Report, rules: Rules) -> str | None:
    """Return why a coupon does not count: the person stayed in the district."""
    country, other = ("from_country", "from_district") if coupon.family == ARRIVED else ("to_country", "to_district")
    within = (rules.convention.country_alpha3, coupon.code("district"))
    return "move-in-district" if (coupon.code(country), coupon.code(other)) == within else None


F01 = Dataflow(
    id="F01",
    freq="M",
    families=frozenset({ARRIVED, DEPARTED}),
    dimensions=(
        Dimension("DIRECTION", "DIRECTION"),
        Dimension("COUNTERPART_AREA", "AREA"),
        Dimension("REG", "REG"),
        Dimension("LOC", "LOC"),
    ),
    measures=(Measure("PERSONS", "PS"),),
    facts=facts,
    by_happening=True,
    outside=outside,
    net=Net("DIRECTION", "NET", plus="ARR", minus="DEP"),
)
