"""What a table leaves out it leaves out by a rule that has a name: whatever codes a report carries."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.fates import reasons
from schemas import core
from schemas.contracts import FAMILIES, Family
from streams import questions
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Dataflow, LeftOut, Rules
from streams.reconcile.happenings import Happening, Report, read_report
from tests.connectors.events import NOW, REPORTER, admission, event
from tests.laws.records import rules

ADMISSION = admission()
READ = [(flow, each) for flow in DATAFLOWS.values() for each in FAMILIES.values() if each.id in flow.families]


def report(family: Family, **codes: Any) -> Report:
    """Return the family's example as reconcile knows it, with some codes replaced."""
    header, raw, *_ = ADMISSION.admit(REPORTER[family.name], family.name, event(family.name), bytes(8), NOW)
    said = core.decode(raw)
    told = dict(zip(family.core_fields, said.codes, strict=False)) | codes
    made = core.encode(replace(said, codes=tuple(told[name] for name in family.core_fields)))
    return read_report(header.record, (header.agency, header.family, 1, header.recorded_at), made)


@st.composite
def reports(draw: st.DrawFn, family: Family) -> Report:
    """Draw a report with any codes of its lists; now and then two fields say the same, or one nothing."""
    example, codes = report(family), {}
    for field in (each for each in family.fields if each.core and each.name in family.core_index):
        own = example.code(field.name)
        others = [example.code(name) for name in family.core_fields if isinstance(example.code(name), type(own))]
        listed = [*rules().lists[field.codelist]] if field.codelist else others
        home = [rules().convention.country_alpha3] if field.codelist == "COUNTRY" else []
        choice = [st.just(own), st.sampled_from(listed), *map(st.just, home), *([st.none()] if field.nullable else [])]
        codes[field.name] = draw(st.one_of(choice))
    return report(family, **codes)


@pytest.mark.parametrize(("flow", "family"), READ, ids=lambda each: getattr(each, "id", ""))
@given(data=st.data())
def test_a_report_is_counted_or_a_rule_with_a_name_leaves_it_out(
    flow: Dataflow, family: Family, data: st.DataObject
) -> None:
    one = data.draw(reports(family))
    facts = list(flow.stated([Happening((one,))], rules()))
    left = flow.left_out(one, rules())
    assert [fact.record for fact in facts] == ([one.record] if left is None else [])
    told = [each for each in questions.outside_of(one, rules()) if each["table"] == flow.id]
    if left is None:
        assert told == []
    else:
        assert [(each["reason"], each.get("field")) for each in told] == [left]
        assert reasons()(left.code, "be")


def test_the_rules_are_those_of_the_convention_and_of_the_table() -> None:
    left = {
        "F06": (report(FAMILIES["border.crossing"], result="REFUSED"), LeftOut("outside-universe", "result")),
        "F11": (report(FAMILIES["permit.decision"], permit_type="REFUGEE"), LeftOut("outside-universe", "permit_type")),
        "F01": (
            report(FAMILIES["residence.registered"], from_country="BLR", district="X", from_district="X"),
            LeftOut("move-in-district"),
        ),
    }
    assert {table: DATAFLOWS[table].left_out(one, rules()) for table, (one, _) in left.items()} == {
        table: why for table, (_, why) in left.items()
    }


def test_whatever_a_convention_lets_a_table_count_holds_for_every_table() -> None:
    known = rules().convention
    tables = {**known.tables, "F01": dataclasses.replace(known.tables["F01"], universe={"locality": ("U",)})}
    other = Rules(dataclasses.replace(known, tables=tables), rules().lists)
    village = report(FAMILIES["residence.registered"], locality="R")
    assert DATAFLOWS["F01"].left_out(village, other) == LeftOut("outside-universe", "locality")
    assert not list(DATAFLOWS["F01"].stated([Happening((village,))], other))
    assert list(DATAFLOWS["F01"].stated([Happening((village,))], rules()))
