"""Sealed bodies: read by those who have the key, bound to their record, dead when the key is."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.admission import Admission
from connectors.body_keys import REST_MS, BodyKeys, begins, key_id
from connectors.entry import Entry
from connectors.inbox import frame
from connectors.sealing import Opener, Sealer, Shut
from connectors.verdicts import Arrival, answer
from schemas import conventions
from schemas import frame as wire
from schemas.codelists import CodeLists
from schemas.errors import Misconfigured
from schemas.header import unpack
from tests.connectors.events import NOW, SECRETS, event, line

MONTH = key_id(NOW)


@pytest.fixture
def keys(tmp_path: Path) -> BodyKeys:
    made = BodyKeys(tmp_path)
    made.make()
    return made


def admission(keys: BodyKeys | None) -> Admission:
    convention = conventions.load()
    lists = CodeLists.load(*convention.codelist_directories)
    return Admission(convention, lists, SECRETS, Sealer(keys.obtain) if keys else None)


def entry(keys: BodyKeys | None, payload: bytes | None = None, at: int = NOW) -> Entry:
    return admission(keys).admit("gpk", "border.crossing", payload or line(), b"delivery", at)


def test_a_sealed_body_is_what_it_was(keys: BodyKeys) -> None:
    plain, sealed = entry(None), entry(keys)
    assert (plain.header.body_key_id, sealed.header.body_key_id) == (0, MONTH)
    assert plain.body not in sealed.body
    assert len(sealed.body) == len(plain.body) + 12 + 16
    assert Opener(keys.find).open(sealed.header, sealed.body) == plain.body
    assert Opener(keys.find).open(plain.header, plain.body) == plain.body
    assert (sealed.core, sealed.header._replace(body_key_id=0)) == (plain.core, plain.header)


def test_it_is_whole_after_the_way_through_a_frame(keys: BodyKeys) -> None:
    sent = [entry(keys, line(header__record_no=f"A-{n}")) for n in range(3)]
    read = wire.decode(frame(sent))
    opener = Opener(keys.find)
    bodies = wire.split(read.body_sizes, read.bodies)
    opened = [opener.open(header, body) for header, body in zip(unpack(read.headers), bodies, strict=True)]
    assert opened == [entry(None, line(header__record_no=f"A-{n}")).body for n in range(3)]


def test_a_body_cannot_stand_in_for_another(keys: BodyKeys) -> None:
    header, _, body = entry(keys)
    opener = Opener(keys.find)
    for other in (
        header._replace(record=bytes(16)),
        header._replace(revision=header.revision + 1),
        header._replace(schema_id=header.schema_id + 1),
    ):
        assert opener.open(other, body) is Shut.DAMAGED
    keys.obtain(header.agency + 1, MONTH)
    assert opener.open(header._replace(agency=header.agency + 1), body) is Shut.DAMAGED


def test_a_changed_body_is_noticed(keys: BodyKeys) -> None:
    header, _, body = entry(keys)
    opener = Opener(keys.find)
    for place in range(len(body)):
        assert opener.open(header, body[:place] + bytes((body[place] ^ 1,)) + body[place + 1 :]) is Shut.DAMAGED
        assert opener.open(header, body[:place]) is Shut.DAMAGED


def test_one_event_twice_is_never_sealed_alike(keys: BodyKeys) -> None:
    door = admission(keys)
    bodies = [door.admit("gpk", "border.crossing", line(), b"delivery", NOW).body for _ in range(2000)]
    assert len({body[:12] for body in bodies}) == len({body[12:] for body in bodies}) == 2000


def test_each_month_and_agency_has_its_key(keys: BodyKeys) -> None:
    door = admission(keys)
    months = [door.admit("gpk", "border.crossing", line(), b"delivery", begins(MONTH + n)) for n in (1, 0, 1)]
    assert [each.header.body_key_id for each in months] == [MONTH + 1, MONTH, MONTH + 1]
    opener = Opener(keys.find)
    assert {opener.open(each.header, each.body) for each in months} == {entry(None).body}
    assert opener.open(months[0].header._replace(body_key_id=MONTH), months[0].body) is Shut.DAMAGED


def test_a_destroyed_month_is_dead_and_the_others_live(keys: BodyKeys) -> None:
    dead, living = entry(keys), entry(keys, at=begins(MONTH + 1))
    keys.destroy(dead.header.agency, MONTH, begins(MONTH + 1) + REST_MS)
    opener = Opener(keys.find)
    assert opener.open(dead.header, dead.body) is Shut.DESTROYED
    assert opener.open(living.header, living.body) == entry(None).body


def test_who_has_no_keys_is_told_so(keys: BodyKeys, tmp_path: Path) -> None:
    header, _, body = entry(keys)
    assert Opener(BodyKeys(tmp_path / "elsewhere").find).open(header, body) is Shut.KEYLESS


def test_refused_deliveries_have_no_body_to_seal(keys: BodyKeys) -> None:
    refused = answer(admission(keys), Arrival("gpk", "border.crossing", b"delivery", NOW), {"header": {}}).entry
    assert (refused.header.body_key_id, refused.body) == (0, b"")


def test_a_door_that_cannot_seal_answers_nothing(tmp_path: Path) -> None:
    door = admission(BodyKeys(tmp_path))  # nobody ran `migex init`
    (tmp_path / "body-keys").mkdir()
    with pytest.raises(Misconfigured, match="migex init"):
        answer(door, Arrival("gpk", "border.crossing", b"delivery", NOW), event())
