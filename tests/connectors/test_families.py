"""Every event family at the door: its example, each of its fields broken in every way, each of its rules broken."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import fastavro
import pytest

from connectors.admission import Admission, Entry
from schemas import conventions
from schemas import core as cores
from schemas.about import BLOCKS
from schemas.codelists import CodeList, CodeLists
from schemas.contract_rules import KINDS, Rule
from schemas.contracts import DROP, FAMILIES, PSEUDONYM, RECORD, Family, Field
from schemas.core import SUBJECT, link_keys
from schemas.errors import Refused
from schemas.header import record_id
from tests.connectors.events import NOW, REMOVE, REPORTER, SECRETS, cancellation, event

DELIVERY = b"delivery"
CONVENTION = conventions.load()
DAY = date(2018, 3, 1)
"""The local day of the examples."""

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


def outdated(lists: CodeLists) -> CodeLists:
    """Return the lists, each with a code more that held until the end of 2000 only."""
    groups = [{"group": "CIS", "member": "BY", "valid_from": "", "valid_to": ""}]
    made = {}
    for name in lists:
        rows = lists[name].rows
        old = {**rows[0], "code": outdated_code(rows[0]["code"]), "valid_from": "", "valid_to": "2000-12-31"}
        made[name] = CodeList(name, [*rows, old])
    return CodeLists(made, groups)


def outdated_code(example: str) -> str:
    """Return a code that no list has, of the kind that the example is."""
    return "77" if example.isdecimal() else "OLD"


@cache
def door() -> Admission:
    """Return the admission of all these tests; making it costs a second."""
    return Admission(CONVENTION, outdated(CodeLists.load(*CONVENTION.codelist_directories)), SECRETS)


def admit(family: Family, sent: dict[str, Any], agency: str | None = None) -> Entry:
    return door().admit(agency or REPORTER[family.name], family.name, sent, DELIVERY, NOW)


def refusals(family: Family, sent: dict[str, Any], agency: str | None = None) -> set[tuple[str, str]]:
    """Return code and field of every reason against an event; each has a rule and a remedy."""
    with pytest.raises(Refused) as refused:
        admit(family, sent, agency)
    assert all(each.rule and each.remedy for each in refused.value.reasons)
    return {(each.code, each.field) for each in refused.value.reasons}


def changed(family: Family, **values: Any) -> dict[str, Any]:
    """Return the example with other values, by path with `__` for the dot."""
    return event(family.name, **values)


def at(path: str, value: Any) -> dict[str, Any]:
    """Return a change of the value at a path."""
    return {path.replace(".", "__"): value}


# ---------------------------------------------------------------- examples


@each_family
def test_the_example_comes_in(family: Family) -> None:
    entry = admit(family, family.example)
    core = cores.decode(entry.core)
    assert entry.header.family == family.id
    assert len(core.codes) == len(family.core_fields)
    kinds = [key[0] for key in link_keys(core.keys)]
    if not family.subject:
        person = family.example["person"]
        assert entry.header.block == core.birth == int(person["birth_date"].replace("-", ""))
        assert (core.birth_country, core.education) == (person["birth_country"], person["education"])
        assert SUBJECT not in kinds
        assert kinds
    else:
        assert kinds == [SUBJECT]
        assert entry.header.block == (core.birth if family.births else entry.header.block | BLOCKS)
        assert entry.header.block
    body = fastavro.schemaless_reader(io.BytesIO(entry.body), family.stored_schema, None)
    assert set(body) == {part["name"] for part in family.avsc["fields"]}


@each_family
def test_a_bare_cancellation_comes_in(family: Family) -> None:
    entry = admit(family, cancellation())
    assert entry.header.block == 0
    assert link_keys(cores.decode(entry.core).keys) == ()


@each_family
def test_nothing_personal_is_left_in_what_is_stored(family: Family) -> None:
    entry = admit(family, family.example)
    for field in family.fields:
        value = value_at(family.example, field.path)
        if field.personal and isinstance(value, str) and len(value) > 5:
            assert value.encode() not in entry.core + entry.body, field.path


@each_family
def test_an_agency_that_is_not_entitled_is_refused(family: Family) -> None:
    other = next(agency.code for agency in CONVENTION.agencies.values() if family.name not in agency.families)
    assert refusals(family, family.example, other) == {("not-entitled", "(event)")}


def value_at(sent: dict[str, Any], path: str) -> Any:
    """Return a value of an event; None where it, or what holds it, is absent."""
    value: Any = sent
    for name in path.split("."):
        value = None if value is None else value[name]
    return value


# ---------------------------------------------------------------- fields

WRONG = {"string": 1, "int": "1", "long": "1", "boolean": 1, "date": 1, "timestamp-millis": 1, "enum": 1, "array": "a"}


def fields(family: Family) -> Iterator[Field]:
    """Yield the fields whose holder the example has; header and person once for all families, for they are equal."""
    for field in family.fields:
        own = field.path.startswith("event.") or family.name == "border.crossing"
        holder = value_at(family.example, field.path.rpartition(".")[0])
        if own and holder is not None:
            yield field


def cases(wanted: str) -> list[Any]:
    """Return a case for each field of each family that has the attribute."""
    return [
        pytest.param(family, field, id=f"{family.name}:{field.path}")
        for family in FAMILIES.values()
        for field in fields(family)
        if getattr(field, wanted) not in {None, ""}
    ]


@pytest.mark.parametrize(("family", "field"), cases("path"))
def test_a_field_of_another_type_is_refused(family: Family, field: Field) -> None:
    code = "not-in-codelist" if field.type == "enum" else "wrong-type"
    assert (code, field.path) in refusals(family, changed(family, **at(field.path, WRONG[field.type])))


@pytest.mark.parametrize(("family", "field"), cases("path"))
def test_a_field_may_be_missing_where_the_contract_says_so(family: Family, field: Field) -> None:
    sent = changed(family, **at(field.path, REMOVE))
    raw = next(f for f in _raw(family.avsc) if f["name"] == field.name and f["doc"] == field.doc)
    if "default" not in raw:
        assert ("missing-field", field.path) in refusals(family, sent)
    else:
        assert reasons_against(family, sent) <= WANTED


@pytest.mark.parametrize(("family", "field"), cases("max_length"))
def test_what_is_too_long_is_refused(family: Family, field: Field) -> None:
    assert field.max_length is not None
    long: Any = ["BLR"] * (field.max_length + 1) if field.type == "array" else "A" * (field.max_length + 1)
    assert ("too-long", field.path) in refusals(family, changed(family, **at(field.path, long)))


@pytest.mark.parametrize(("family", "field"), cases("pattern"))
def test_a_control_character_is_refused(family: Family, field: Field) -> None:
    assert ("bad-format", field.path) in refusals(family, changed(family, **at(field.path, "2018\x1f")))


@pytest.mark.parametrize(("family", "field"), cases("minimum"))
def test_a_number_below_the_least_is_refused(family: Family, field: Field) -> None:
    assert field.minimum is not None
    assert ("out-of-range", field.path) in refusals(family, changed(family, **at(field.path, field.minimum - 1)))


@pytest.mark.parametrize(("family", "field"), cases("not_before"))
def test_a_last_day_before_the_first_is_refused(family: Family, field: Field) -> None:
    first = date.fromisoformat(value_at(family.example, str(field.not_before)))
    sent = changed(family, **at(field.path, (first - timedelta(days=1)).isoformat()))
    assert ("date-order", field.path) in refusals(family, sent)


@pytest.mark.parametrize(("family", "field"), cases("codelist"))
def test_a_code_stands_in_its_list_and_holds_on_the_day(family: Family, field: Field) -> None:
    if field.type == "enum":
        assert ("not-in-codelist", field.path) in refusals(family, changed(family, **at(field.path, "OLD")))
        return
    for code, why in (("88" if field.type == "int" else "NONE", "not-in-codelist"), (None, "code-not-valid-at-date")):
        text = outdated_code(str(_first(field.example))) if code is None else code
        value: Any = int(text) if field.type == "int" else [text] if field.type == "array" else text
        path = f"{field.path}[0]" if field.type == "array" else field.path
        found = refusals(family, changed(family, **at(field.path, value)))
        assert {(why, path), ("out-of-range", path)} & found  # the least whole number of no list is out of its range


WANTED = {"required-here", "one-of-needed", "belongs-together", "op-needs-body", "birth-unknown", "age-implausible"}
"""Why a field that may be missing can still be wanted: by a rule across fields, or by the header's own."""


def reasons_against(family: Family, sent: dict[str, Any]) -> set[str]:
    """Return the codes of the reasons against an event; none: it came in."""
    try:
        admit(family, sent)
    except Refused as refused:
        return {each.code for each in refused.reasons}
    return set()


def _first(example: Any) -> Any:
    return example[0] if isinstance(example, list) else example


def _raw(record: Any) -> Iterator[dict[str, Any]]:
    """Yield every field of a contract as the file has it."""
    for field in record["fields"]:
        yield field
        kind = field["type"][-1] if isinstance(field["type"], list) else field["type"]
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from _raw(kind)


# ---------------------------------------------------------------- rules across fields

EVERY_RULE = [
    pytest.param(family, rule, id=f"{family.name}:{i}:{rule.kind}")
    for family in FAMILIES.values()
    for i, rule in enumerate(family.rules)
]


@pytest.mark.parametrize(("family", "rule"), EVERY_RULE)
def test_an_event_that_breaks_a_rule_is_refused_with_its_code(family: Family, rule: Rule) -> None:
    met = {path: values[0] for path, values in rule.condition.items()}
    for change, code, path, agency in broken(family, rule):
        sent = changed(family, **{p.replace(".", "__"): v for p, v in {**met, **change}.items()})
        assert (code, path) in refusals(family, sent, agency), change.keys()


@pytest.mark.parametrize(("family", "rule"), [case for case in EVERY_RULE if case.values[1].condition])  # type: ignore[union-attr]
def test_a_rule_whose_condition_is_not_met_holds(family: Family, rule: Rule) -> None:
    """The examples meet every rule, so one that breaks only this one must come in when its condition is not met."""
    path, values = next(iter(rule.condition.items()))
    if value_at(family.example, path) not in values:
        admit(family, family.example)


def test_every_kind_of_rule_is_used_by_a_contract() -> None:
    assert {rule.kind for family in FAMILIES.values() for rule in family.rules} == set(KINDS)


Broken = tuple[dict[str, Any], str, str, str | None]
"""A change of the example that breaks a rule, the reason's code and field, and who sends it if it is another agency."""


def broken(family: Family, rule: Rule) -> Iterator[Broken]:
    """Yield changes that break the rule, all its fields and both its ends."""
    examples: dict[str, Any] = {field.path: field.example for field in family.fields}
    found = [*presence(rule, examples), *compared(family, rule, examples), *alone(family, rule, examples)]
    assert found, f"{rule.kind} is broken by no case"
    yield from found


def presence(rule: Rule, examples: dict[str, Any]) -> Iterator[Broken]:
    """Yield what breaks the rules about which fields are given."""
    nothing = {path: False if isinstance(examples[path], bool) else None for path in rule.fields}
    something = {path: True if isinstance(examples[path], bool) else examples[path] for path in rule.fields}
    match rule.kind:
        case "required":
            yield from (({path: nothing[path]}, rule.code, path, None) for path in rule.fields)
        case "forbidden":
            yield from (({path: something[path]}, rule.code, path, None) for path in rule.fields)
        case "any_of":
            yield nothing, rule.code, rule.fields[0], None
        case "at_most_one":
            yield something, rule.code, rule.fields[-1], None
        case "together":
            yield from (({**something, path: nothing[path]}, rule.code, path, None) for path in rule.fields)


def compared(family: Family, rule: Rule, examples: dict[str, Any]) -> Iterator[Broken]:
    """Yield what breaks the rules that compare fields with each other, with codes, or with the day."""
    first, last = (rule.fields[0], rule.fields[-1]) if rule.fields else ("", "")
    match rule.kind:
        case "differ":
            yield {last: examples[first], first: examples[first]}, rule.code, last, None
        case "at_most":
            yield {first: 10, last: 9}, rule.code, first, None
        case "among":
            listed = next(field.codelist for field in family.fields if field.path == first)
            codes = CodeLists.load()[str(listed)].codes(DAY)
            yield {first: next(code for code in codes if code not in rule.values)}, rule.code, first, None
        case "days":
            begin = date.fromisoformat(examples[first])
            yield {last: (begin + timedelta(days=rule.max or 0)).isoformat()}, rule.code, last, None
        case "past":
            yield from (({path: "2018-03-02"}, rule.code, path, None) for path in rule.fields)
        case "own_family":
            yield {first: "remittance.aggregate"}, rule.code, first, None
        case "own_country":
            yield {first: "KAZ"}, rule.code, first, "stat_ru"
        case "register":
            yield {first: "nobody"}, rule.code, first, None
            yield {last: "quota.set", first: "gpk"}, rule.code, last, None


def alone(family: Family, rule: Rule, examples: dict[str, Any]) -> Iterator[Broken]:
    """Yield what breaks the rules about one value."""
    path, born = rule.fields[0] if rule.fields else "", "person.birth_date"
    if rule.kind == "age":
        if rule.min is not None:
            yield {born: f"{DAY.year - rule.min}-03-02", "person.document": None}, rule.code, born, None
        if rule.max is not None:
            yield {born: f"{DAY.year - rule.max - 1}-03-01", "person.document": None}, rule.code, born, None
    elif rule.kind == "period":
        only_years = next(field.pattern for field in family.fields if field.path == path) == "^[0-9]{4}$"
        other = next(period for freq, period in PERIODS.items() if freq not in rule.freqs)
        yield {path: other}, "bad-format" if only_years else rule.code, path, None
        if rule.until != "any":
            yield {path: FUTURE[rule.freqs[0]]}, "period-not-over", path, None
    elif rule.kind == "mrz":
        zone = examples[path]
        yield {path: zone[:44] + "XX" + zone[46:]}, rule.code, path, None
        other_number = {"person.document": {**DOCUMENT, "number": "AB1234568"}}
        for change in ({born: "1980-05-18"}, {"person.sex": 2}, other_number):
            yield {path: zone, **change}, "mrz-contradiction", path, None


PERIODS = {"A": "2016", "S": "2016-S1", "Q": "2016-Q1", "M": "2016-01"}
FUTURE = {"A": "2030", "S": "2030-S1", "Q": "2030-Q1", "M": "2030-01"}
DOCUMENT = {"type": "P", "issuer": "UZB", "number": "AB1234567"}


# ---------------------------------------------------------------- what single contracts promise


def test_an_abolished_permit_is_refused_from_the_day_on() -> None:
    permit = FAMILIES["permit.decision"]
    recruit = {"event__permit_type": "RECRUIT", "header__recorded_at": "2023-07-02T00:00:00Z"}
    admit(permit, changed(permit, header__occurred_at="2023-06-30T23:59:00+03:00", **recruit))
    late = changed(permit, header__occurred_at="2023-07-01T00:00:00+03:00", **recruit)
    assert refusals(permit, late) == {("code-not-valid-at-date", "event.permit_type")}


def test_a_link_decision_names_records_by_their_ids_and_lies_in_their_block() -> None:
    decision = FAMILIES["link.decision"]
    entry = admit(decision, decision.example)
    codes = dict(zip(decision.core_fields, cores.decode(entry.core).codes, strict=True))
    assert codes["first_record_no"] == record_id("gpk", "border.crossing", "A-17")
    assert codes["second_record_no"] == record_id("mvd", "permit.decision", "A-17")
    assert entry.header.block == 19800517
    year = changed(decision, event__birth_date=None, event__birth_year=1980)
    assert admit(decision, year).header.block == 19800000
    neither = changed(decision, event__birth_date=None)
    assert refusals(decision, neither) == {("birth-unknown", "event.birth_date")}


def test_a_partners_service_speaks_for_its_own_country_and_the_statcommittee_for_all() -> None:
    table = FAMILIES["reference.partner_table"]
    russian = changed(table, event__reporter="RUS")
    admit(table, russian, "stat_ru")
    assert refusals(table, russian, "stat_kz") == {("not-entitled", "event.reporter")}
    admit(table, russian, "statcom")


def test_reports_of_one_subject_meet_and_others_do_not() -> None:
    quota, control = FAMILIES["quota.set"], FAMILIES["control.total"]
    same = [admit(quota, changed(quota, event__persons=n)) for n in (380, 400)]
    assert same[0].header.block == same[1].header.block
    assert same[0].header.block != admit(quota, changed(quota, event__region="BY-VI")).header.block
    other = changed(control, event__family="residence.registered")
    blocks = {admit(control, other, agency).header.block for agency in ("mvd", "refugee")}
    assert len(blocks) == 2  # of two agencies


@each_family
def test_marks_of_personal_fields_are_those_we_have(family: Family) -> None:
    assert {field.personal for field in family.fields} <= {None, DROP, PSEUDONYM, RECORD}


@cache
def other_door() -> Admission:
    """Return an admission with another secret behind its link keys and pseudonyms."""
    lists = CodeLists.load(*CONVENTION.codelist_directories)
    return Admission(CONVENTION, lists, replace(SECRETS, link_key=bytes(range(64, 96))))


@each_family
def test_persons_are_known_by_secret_keys_and_subjects_by_open_ones(family: Family) -> None:
    entries = [
        each.admit(REPORTER[family.name], family.name, event(family.name), DELIVERY, NOW)
        for each in (door(), other_door())
    ]
    one, other = (cores.decode(each.core) for each in entries)
    keys, others = set(link_keys(one.keys)), set(link_keys(other.keys))
    if family.subject:
        assert keys == others
        assert {key[0] for key in keys} == {SUBJECT}
    else:
        assert not keys & others
        assert SUBJECT not in {key[0] for key in keys}
    core = [field for field in family.fields if field.core]
    numbers = [i for i, field in enumerate(core) if field.personal == PSEUDONYM and one.codes[i] is not None]
    assert all(len(one.codes[i]) == 16 and one.codes[i] != other.codes[i] for i in numbers)
