"""Admission: what comes in, what is refused and why, and what is left of an identity."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import confluent
from connectors.admission import Admission, Entry
from connectors.error_catalogue import catalogue
from connectors.reasons import MAX_REASONS
from schemas import core as cores
from schemas.contracts import FAMILIES
from schemas.core import DOCUMENT, NAME, PERSONAL_NO, link_keys
from schemas.errors import Reason, Refused
from schemas.header import Kind, Op, record_id
from tests.connectors.events import NOW, REMOVE, REPORTER, admission, cancellation, event, line

DELIVERY = b"delivery"
CROSSING = "border.crossing"


@pytest.fixture(scope="module")
def door() -> Admission:
    return admission()


def admit(door: Admission, payload: bytes | dict[str, Any], family: str = CROSSING) -> Entry:
    return door.admit(REPORTER.get(family, "mvd"), family, payload, DELIVERY, NOW)


def refusals(door: Admission, payload: bytes | dict[str, Any], family: str = CROSSING) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as refused:
        admit(door, payload, family)
    assert all(each.rule and each.remedy and each.code in catalogue() for each in refused.value.reasons)
    return [(each.code, each.field) for each in refused.value.reasons]


def test_an_ill_shaped_event_from_avro_is_told_what_is_wrong(door: Admission) -> None:
    decoded = confluent.decode(confluent.encode(FAMILIES[CROSSING], event(event__mode="ROCKET")), CROSSING)
    decoded["header"]["record_no"] = " "
    with pytest.raises(Refused) as told:
        admit(door, decoded)
    found = [(each.code, each.field) for each in told.value.reasons]
    assert found == [("bad-format", "header.record_no"), ("not-in-codelist", "event.mode")]


def test_what_a_crossing_becomes(door: Admission) -> None:
    entry = admit(door, line())
    core = cores.decode(entry.core)
    assert entry.header._asdict() | {"digest": b"", "record": b""} == {
        "kind": Kind.EVENT, "op": Op.CREATE, "agency": 1, "family": 1, "revision": 1, "seq": 0, "block": 19800517,
        "schema_id": 1, "link_key_id": 1, "body_key_id": 0, "recorded_at": 1519888507000, "accepted_at": NOW,
        "record": b"", "digest": b"", "delivery": DELIVERY,
    }  # fmt: skip
    assert entry.header.record == record_id("gpk", CROSSING, "A-17")
    assert core.at == 1519888500000
    assert core.day == date(2018, 3, 1).toordinal() - date(1970, 1, 1).toordinal()
    assert (core.sex, core.citizenship) == (1, ("UZB",))
    assert core.codes == ("IN", "BREST-TERESPOL", "PL", "ROAD", "WORK", "PASSED")
    assert [key[0] for key in link_keys(core.keys)] == [DOCUMENT, NAME]


def test_core_holds_days_flags_and_pseudonyms(door: Admission) -> None:
    codes = cores.decode(admit(door, line("permit.decision"), "permit.decision").core).codes
    fields = FAMILIES["permit.decision"].core_index
    assert codes[fields["first_issue"]] == 1
    assert codes[fields["valid_from"]] == date(2018, 3, 5).toordinal() - date(1970, 1, 1).toordinal()
    number = codes[fields["permit_no"]]
    assert isinstance(number, bytes)
    assert len(number) == 16


def test_the_local_day_is_the_conventions(door: Admission) -> None:
    before, after = "2018-02-28T20:59:59Z", "2018-02-28T21:00:00Z"  # midnight in Minsk
    days = [cores.decode(admit(door, line(header__occurred_at=at)).core).day for at in (before, after)]
    assert days[1] == days[0] + 1


def test_defaults_are_filled_in(door: Admission) -> None:
    assert cores.decode(admit(door, line(event__result=REMOVE)).core).codes[-1] == "PASSED"


def test_only_the_year_of_birth_may_be_known(door: Admission) -> None:
    entry = admit(door, line(person__birth_date=None, person__birth_year=1980))
    core = cores.decode(entry.core)
    assert entry.header.block == core.birth == 19800000
    assert [key[0] for key in link_keys(core.keys)] == [DOCUMENT]


def test_a_bare_cancellation_needs_no_body(door: Admission) -> None:
    entry = admit(door, cancellation())
    core = cores.decode(entry.core)
    assert (entry.header.op, entry.header.block, core.keys, core.birth) == (Op.CANCEL, 0, b"", 0)
    assert set(core.codes) == {None}


# ---------------------------------------------------------------- content and link keys


def digest(door: Admission, payload: bytes | dict[str, Any]) -> bytes:
    return admit(door, payload).header.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"header__recorded_at": "2019-01-01T00:00:00Z"},
        {"header__revision": 7},
        {"header__occurred_at": "2018-03-01T07:15:00.000Z"},
        {"event__result": REMOVE},
        {"person__personal_no": REMOVE},
    ],
)
def test_equal_content_has_an_equal_digest(door: Admission, changes: dict[str, Any]) -> None:
    assert digest(door, line(**changes)) == digest(door, line())


@pytest.mark.parametrize(
    "changes",
    [
        {"header__op": "CORRECT"},
        {"header__occurred_at": "2018-03-01T07:15:00.001Z"},
        {"header__onward_transfer": True},
        {"person__surname": "KARIMOVA"},
        {"person__document__number": "AB1234568"},
        {"event__vehicle_no": None},
        {"event__mode": "RAIL"},
    ],
)
def test_other_content_has_another_digest(door: Admission, changes: dict[str, Any]) -> None:
    assert digest(door, line(**changes)) != digest(door, line())


@pytest.mark.parametrize("family", FAMILIES)
def test_json_and_avro_of_one_event_become_one_content(door: Admission, family: str) -> None:
    from_json = admit(door, line(family), family)
    from_avro = admit(door, confluent.decode(confluent.encode(FAMILIES[family], event(family)), family), family)
    assert from_avro == from_json


@pytest.mark.parametrize(
    ("family", "record", "digest"),
    [
        ("border.crossing", "7bf9b3fe07bd32e4e88e0684be52b199", "c81db259141ec027c5df1f006c3d3633"),
        ("permit.decision", "9fa80347a3e576c53ae8d9f5310396b8", "e4344a316a3011c76d4d4e5b1dc02d99"),
        ("residence.registered", "5f9d903efa7f3ccbc7e1a9daf774de5e", "a4952176e7ff86048bebfde0afce0bbc"),
        ("residence.deregistered", "addadd2e9a3ab5e7a02fae041e99a4a0", "c18622aef7ee8dd4b39dba74c1a80a09"),
    ],
)
def test_records_and_contents_keep_their_names_for_ever(door: Admission, family: str, record: str, digest: str) -> None:
    header = admit(door, line(family), family).header
    assert (header.record.hex(), header.digest.hex()) == (record, digest), "old deliveries would count as new ones"


def test_link_keys_keep_their_form_under_one_key_id(door: Admission) -> None:
    entry = admit(door, line(person__personal_no="3170580A001PB7"))
    assert [key.hex() for key in link_keys(cores.decode(entry.core).keys)] == [
        "0188ce387202b4d0916096b9d47211a8c0",
        "02ba660864afc3d26009b90cd0b5e69cf6",
        "03abbc403ac992e6963659a9f06dbfe4a3",
    ], "records of before and after would not meet: a change needs a new key id"


def keys_of(door: Admission, **changes: Any) -> set[bytes]:
    return set(link_keys(cores.decode(admit(door, line(**changes)).core).keys))


def test_one_person_written_twice_shares_link_keys(door: Admission) -> None:
    other: dict[str, Any] = {"person__surname": "Jasur", "person__given_names": "karimov", "person__patronymic": None}
    other["person__document"] = {"type": "P", "issuer": "UZB", "number": "АВ 1234567"}  # Cyrillic А and В
    assert keys_of(door, **other) == keys_of(door)


def test_a_personal_number_belongs_to_the_issuers_register(door: Admission) -> None:
    with_document = keys_of(door, person__personal_no="3170580A001PB7")
    without = keys_of(door, person__personal_no="3170580A001PB7", person__document=None)
    abroad = keys_of(door, person__personal_no="3170580A001PB7", person__document=None, person__citizenship=["RUS"])
    assert {key for key in with_document if key[0] == PERSONAL_NO} == {key for key in without if key[0] == PERSONAL_NO}
    assert not {key for key in abroad if key[0] == PERSONAL_NO} & without


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b'{"header":NaN}', "not-json"),
        (b'{"header":1e999}', "not-json"),
        (b'"\xff"', "not-json"),
        (b'{"a":"\\ud800"}', "not-json"),
        (b"[" * 30000, "not-json"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "not-json"),
        (b'{"a":' * 1020 + b"1" + b"}" * 1020, "not-json"),
        (b'{"a":' + b"[" * 1020 + b"]" * 1020 + b"}", "not-json"),
        (b"[]", "wrong-type"),
        (b"null", "wrong-type"),
        (b"17", "wrong-type"),
        (b'{"header":1,"header":2}', "duplicate-field"),
        (b'{"header":{"revision" : 1, "revision"\n:2}}', "duplicate-field"),
        (b'{"a":"\\u0022","a":1}', "duplicate-field"),
        (b'{"a":"\\\\","a":1}', "duplicate-field"),
        (b" " * 70000, "too-large"),
    ],
)
def test_bytes_that_are_no_event(door: Admission, payload: bytes, code: str) -> None:
    assert refusals(door, payload) == [(code, "(event)")]


@pytest.mark.parametrize("indent", [None, 1])
def test_text_that_looks_like_names_is_no_duplicate(door: Admission, indent: int | None) -> None:
    import json

    tricky = event(header__source_system='a" :"b":', event__visa_no=None)
    tricky["header"]["legal_basis"] = '{"revision": 1, "revision": 2} "'
    admit(door, json.dumps(tricky, indent=indent).encode())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event__checkpoint": REMOVE}, [("missing-field", "event.checkpoint")]),
        ({"header": REMOVE}, [("missing-field", "header")]),
        ({"event__surname": "X"}, [("unknown-field", "event.surname")]),
        ({"event__IVANOV": "X"}, [("unknown-field", "event")]),
        ({"IVANOV": "X"}, [("unknown-field", "(event)")]),
        ({"person__sex": "1"}, [("wrong-type", "person.sex")]),
        ({"person__sex": True}, [("wrong-type", "person.sex")]),
        ({"person__sex": 1.0}, [("wrong-type", "person.sex")]),
        ({"person": []}, [("wrong-type", "person")]),
        ({"header__onward_transfer": "yes"}, [("wrong-type", "header.onward_transfer")]),
        ({"header__revision": 0}, [("out-of-range", "header.revision")]),
        ({"header__revision": 2**31}, [("out-of-range", "header.revision")]),
        ({"header__record_no": "x" * 65}, [("too-long", "header.record_no")]),
        ({"header__record_no": ""}, [("too-short", "header.record_no")]),
        ({"header__record_no": "A\n1"}, [("bad-format", "header.record_no")]),
        ({"header__op": "DELETE"}, [("not-in-codelist", "header.op")]),
        ({"header__occurred_at": 0}, [("wrong-type", "header.occurred_at")]),
        ({"header__occurred_at": "1700000000"}, [("bad-format", "header.occurred_at")]),
        ({"header__occurred_at": "2018-03-01T10:15:00"}, [("bad-format", "header.occurred_at")]),
        ({"header__occurred_at": "2018-02-30T10:15:00Z"}, [("bad-format", "header.occurred_at")]),
        ({"header__occurred_at": "0000-01-01T00:00:00Z"}, [("bad-format", "header.occurred_at")]),
        ({"header__occurred_at": "0001-01-01T00:00:00+14:00"}, [("date-implausible", "header.occurred_at")]),
        ({"header__occurred_at": "9999-12-31T23:59:59-14:00"}, [("date-implausible", "header.occurred_at")]),
        ({"header__recorded_at": "9999-12-31T23:59:59Z"}, [("date-implausible", "header.recorded_at")]),
        ({"header__doc_date": "1799-12-31"}, [("date-implausible", "header.doc_date")]),
        ({"event__document_expires": "9999-12-31"}, [("date-implausible", "event.document_expires")]),
        ({"event__queued_at": "2201-01-01T00:00:00Z"}, [("date-implausible", "event.queued_at")]),
        ({"person__birth_date": "0000-00-00"}, [("bad-format", "person.birth_date")]),
        ({"person__birth_date": "1880-05-17"}, [("date-implausible", "person.birth_date")]),
        ({"person__birth_date": "2018-03-02"}, [("date-order", "person.birth_date")]),
        ({"person__birth_date": None}, [("birth-unknown", "person.birth_date")]),
        ({"person__birth_year": 1981}, [("birth-contradiction", "person.birth_date")]),
        ({"person__citizenship": []}, [("too-short", "person.citizenship")]),
        ({"person__citizenship": ["UZB", "ZZZ"]}, [("not-in-codelist", "person.citizenship[1]")]),
        ({"person__citizenship": ["UZB", 7]}, [("wrong-type", "person.citizenship[1]")]),
        ({"person__citizenship": "UZB"}, [("wrong-type", "person.citizenship")]),
        ({"person__document": {"type": "P", "issuer": "UZB"}}, [("missing-field", "person.document.number")]),
        ({"person__sex": 5}, [("not-in-codelist", "person.sex")]),
        ({"event__mode": "ROCKET"}, [("not-in-codelist", "event.mode")]),
        ({"event__visa_no": "---"}, [("bad-format", "event.visa_no")]),
        ({"person": None}, [("op-needs-body", "person")]),
        ({"event": None}, [("op-needs-body", "event")]),
        ({"header__occurred_at": None}, [("op-needs-body", "header.occurred_at")]),
    ],
)  # fmt: skip
def test_each_fault_has_its_code_and_field(
    door: Admission, changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert refusals(door, line(**changes)) == expected


def test_dates_of_a_permit_stand_in_order(door: Admission) -> None:
    assert refusals(door, line("permit.decision", event__valid_to="2018-03-04"), "permit.decision") == [
        ("date-order", "event.valid_to")
    ]


def test_codes_are_checked_at_the_events_local_day(door: Admission) -> None:
    def recruit(at: str) -> bytes:
        return line("permit.decision", event__permit_type="RECRUIT", header__occurred_at=at)

    admit(door, recruit("2023-06-30T23:59:59+03:00"), "permit.decision")
    assert refusals(door, recruit("2023-07-01T00:00:00+03:00"), "permit.decision") == [
        ("code-not-valid-at-date", "event.permit_type")
    ]


def test_all_reasons_are_told_at_once(door: Admission) -> None:
    payload = line(
        header__revision=REMOVE, person__surname=7, event__mode="ROCKET", header__occurred_at="1800-01-01T00:00:00Z"
    )
    assert set(refusals(door, payload)) == {
        ("missing-field", "header.revision"),
        ("wrong-type", "person.surname"),
        ("not-in-codelist", "event.mode"),
        ("date-implausible", "header.occurred_at"),
    }


def test_an_unknown_field_is_told_by_its_place_and_hides_no_other_fault(door: Admission) -> None:
    sent = event(event__mode="ROCKET")
    sent["event"] = {"IVANOV": 1, **sent["event"], "ПЕТРОВ": 2}
    with pytest.raises(Refused) as refused:
        door.admit("gpk", "border.crossing", orjson.dumps(sent), DELIVERY, NOW)
    unknown, mode = refused.value.reasons
    assert (unknown.code, unknown.field) == ("unknown-field", "event")
    assert f"number 1, {len(sent['event'])} of those sent" in unknown.rule
    assert (mode.code, mode.field) == ("not-in-codelist", "event.mode")


def test_a_flood_of_faults_is_cut_off(door: Admission) -> None:
    flood = event(person__birth_date=5)
    flood["header"] |= {f"x{i}": i for i in range(3000)}
    flood["person"]["citizenship"] = ["?"] * 8
    flood["event"] = dict.fromkeys(flood["event"], 17)
    found = refusals(door, orjson.dumps(flood))
    assert len(found) == MAX_REASONS
    assert ("unknown-field", "header") in found


def test_families_and_entitlement(door: Admission) -> None:
    with pytest.raises(Refused) as refused:
        door.admit("gpk", "permit.decision", line(), DELIVERY, NOW)
    assert refused.value.code == "not-entitled"
    with pytest.raises(Refused) as refused:
        door.admit("gpk", "border.crossings", line(), DELIVERY, NOW)
    assert refused.value.code == "unknown-family"


def test_a_refusal_is_an_entry_without_content(door: Admission) -> None:
    reasons = [Reason("wrong-type", "person", "r", "m")]
    entry = door.refusal("gpk", CROSSING, reasons, DELIVERY, NOW, record_no="A-17")
    assert (entry.header.kind, entry.header.agency, entry.header.family) == (Kind.REFUSED, 1, 1)
    assert entry.header.record == record_id("gpk", CROSSING, "A-17")
    assert msgspec.msgpack.decode(entry.core) == [["wrong-type", "person"]]
    assert entry.body == b""
    unknown = door.refusal("gpk", "nothing", reasons, DELIVERY, NOW)
    assert (unknown.header.family, unknown.header.record, unknown.partition_key) == (0, bytes(16), DELIVERY)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_value_anywhere_is_admitted_or_refused(door: Admission, data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    changed = event(family)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([f.path for f in FAMILIES[family].fields] + ["person", "event", "header"]))
        *owners, name = path.split(".")
        place: Any = changed
        for owner in owners:
            place = place.get(owner) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[name] = data.draw(json_values)
    with contextlib.suppress(Refused, orjson.JSONEncodeError):  # orjson writes no integers beyond 64 bits
        admit(door, orjson.dumps(changed), family)


@settings(deadline=None, max_examples=100)
@given(junk=st.binary(max_size=200), cut=st.integers(0, 900), place=st.integers(0, 900))
def test_damaged_bytes_are_admitted_or_refused(door: Admission, junk: bytes, cut: int, place: int) -> None:
    whole = line()
    for payload in (junk, whole[:cut], whole + junk, whole[:place] + junk + whole[place:]):
        with contextlib.suppress(Refused):
            admit(door, payload)


# ---------------------------------------------------------------- nothing personal remains


MARKED: dict[str, Any] = {
    "person__surname": "ZQXSURNAME",
    "person__given_names": "ZQXGIVEN",
    "person__patronymic": "ZQXPATRONYMIC",
    "person__personal_no": "ZQX0PERSONAL",
    "person__document": {"type": "P", "issuer": "UZB", "number": "ZQX0DOCUMENT"},
    "event__visa_no": "ZQX0VISA",
    "event__migration_card_no": "ZQX0CARD",
    "event__vehicle_no": "ZQX0VEHICLE",
    "event__flight_no": "ZQX0FLIGHT",
    "header__record_no": "ZQX-RECORD",
}


def test_no_marked_identity_passes_the_door(door: Admission) -> None:
    entry = admit(door, line(**MARKED))
    kept = b"".join((entry.core, entry.body, entry.header.record, entry.header.digest))
    assert b"ZQX" not in kept
    permit = admit(door, line("permit.decision", event__permit_no="ZQX1", event__employer_no="ZQX2"), "permit.decision")
    assert b"ZQX" not in permit.core + permit.body


@pytest.mark.parametrize(
    "path", [*MARKED, "person", "event", "header", "person__birth_date", "event__mode", "ZQX", "event__ZQX"]
)
@pytest.mark.parametrize("shape", [lambda v: [v], lambda v: {"ZQX": v}, lambda v: f"\n{v}", lambda v: f"ZQX{v}" * 40])
def test_no_refusal_repeats_what_was_sent(door: Admission, path: str, shape: Callable[[str], Any]) -> None:
    with pytest.raises(Refused) as refused:
        admit(door, line(**{**MARKED, path: shape("ZQX")}))
    entry = door.refusal("gpk", CROSSING, refused.value.reasons, DELIVERY, NOW)
    assert "ZQX" not in f"{refused.value} {refused.value.reasons!r}"
    assert b"ZQX" not in entry.core
