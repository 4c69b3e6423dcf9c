"""Data keys: made once whoever asks, wrapped anew without loss, destroyed for ever."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from connectors import key_files
from connectors.body_keys import REST_MS, BodyKeys, begins, key_id, month_name, month_number
from schemas.errors import Misconfigured, Refused, Unavailable

NOVEMBER = month_number("2026-11")
LATER = begins(NOVEMBER + 1) + REST_MS


@pytest.fixture
def keys(tmp_path: Path) -> BodyKeys:
    made = BodyKeys(tmp_path)
    made.make()
    return made


def test_a_month_has_one_number_from_its_first_to_its_last_millisecond() -> None:
    assert (key_id(946_684_800_000), month_name(1)) == (1, "2000-01")
    assert month_name(key_id(begins(NOVEMBER))) == month_name(key_id(begins(NOVEMBER + 1) - 1)) == "2026-11"
    assert [month_name(n) for n in (NOVEMBER + 1, NOVEMBER + 2)] == ["2026-12", "2027-01"]
    assert month_number("2999-12") < 1 << 16  # what a header has room for
    for wrong in ("2026-13", "2026-1", "1999-12", "", "2026-11-01"):
        with pytest.raises(Refused) as refused:
            month_number(wrong)
        assert refused.value.code == "bad-month"


def test_each_agency_and_month_has_a_key_of_its_own_for_ever(keys: BodyKeys, tmp_path: Path) -> None:
    found = {(agency, month): keys.obtain(agency, month) for agency in (1, 2) for month in (NOVEMBER, NOVEMBER + 1)}
    assert len(set(found.values())) == 4
    assert {len(key) for key in found.values()} == {32}
    again = BodyKeys(tmp_path)
    assert again.make() == []
    assert {name: again.obtain(*name) for name in found} == {name: again.find(*name) for name in found} == found
    assert again.find(3, NOVEMBER) is None
    assert [(each.agency, each.month) for each in again.all()] == [
        (1, "2026-11"), (1, "2026-12"), (2, "2026-11"), (2, "2026-12"),
    ]  # fmt: skip


def test_no_key_lies_open_on_the_disk(keys: BodyKeys, tmp_path: Path) -> None:
    key = keys.obtain(1, NOVEMBER)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not [path for path in files if key in path.read_bytes() or key.hex().encode() in path.read_bytes()]


def _obtain(directory: Path, month: int) -> bytes:
    return BodyKeys(directory).obtain(7, month)


def test_doors_that_need_a_new_key_at_once_all_get_the_same(keys: BodyKeys, tmp_path: Path) -> None:
    months = [NOVEMBER + n for n in range(5) for _ in range(8)]
    with multiprocessing.get_context("forkserver").Pool(4) as pool:
        got = pool.starmap(_obtain, [(tmp_path, month) for month in months], chunksize=1)
    assert len(set(got)) == 5
    assert {(month, key) for month, key in zip(months, got, strict=True)} == {
        (month, keys.find(7, month)) for month in months
    }


def _obtain_many(directory: Path, agency: int) -> dict[int, bytes]:
    keys = BodyKeys(directory)
    return {NOVEMBER + n: keys.obtain(agency, NOVEMBER + n) for n in range(15)}


def test_keys_made_while_the_wrapping_key_is_rotated_are_not_lost(keys: BodyKeys, tmp_path: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        made = pool.starmap_async(_obtain_many, [(tmp_path, agency) for agency in (1, 2)])
        while not made.ready():
            keys.rotate()
    for agency, found in zip((1, 2), made.get(), strict=True):
        assert {month: keys.find(agency, month) for month in found} == found


def test_rotation_changes_the_wrapping_and_no_data_key(keys: BodyKeys, tmp_path: Path) -> None:
    before = {agency: keys.obtain(agency, NOVEMBER) for agency in (1, 2)}
    old = (tmp_path / "kek" / "1.key").read_bytes()
    assert keys.rotate() == (2, 2)
    assert {agency: keys.find(agency, NOVEMBER) for agency in before} == before
    assert [path.name for path in (tmp_path / "kek").iterdir()] == ["2.key"]
    assert (tmp_path / "kek" / "2.key").read_bytes() != old
    assert {each.key.kek for each in keys.all()} == {2}


def test_a_rotation_cut_short_is_ended_by_the_next(keys: BodyKeys, tmp_path: Path) -> None:
    before = {agency: keys.obtain(agency, NOVEMBER) for agency in (1, 2)}
    wrapped_by_the_first = (tmp_path / "body-keys" / "1-2026-11.json").read_bytes()
    first = (tmp_path / "kek" / "1.key").read_bytes()
    keys.rotate()
    (tmp_path / "body-keys" / "1-2026-11.json").write_bytes(wrapped_by_the_first)  # as if it had come so far
    (tmp_path / "kek" / "1.key").touch(mode=0o600)
    (tmp_path / "kek" / "1.key").write_bytes(first)
    assert {agency: keys.find(agency, NOVEMBER) for agency in before} == before
    assert keys.rotate() == (3, 2)
    assert {agency: keys.find(agency, NOVEMBER) for agency in before} == before


def test_a_destroyed_key_is_gone_for_ever(keys: BodyKeys, tmp_path: Path) -> None:
    keys.obtain(1, NOVEMBER)
    other = keys.obtain(1, NOVEMBER + 1)
    wrapped = keys.all()[0].key.wrapped
    keys.destroy(1, NOVEMBER, LATER)
    assert keys.find(1, NOVEMBER) == b""
    assert keys.find(1, NOVEMBER + 1) == other
    assert keys.all()[0].key.destroyed == "2026-12-02T00:00:00Z"
    assert not [path for path in tmp_path.rglob("*.json") if wrapped in path.read_text()]
    with pytest.raises(Misconfigured) as error:  # a clock that went back
        keys.obtain(1, NOVEMBER)
    assert error.value.code == "body-key-destroyed"
    keys.rotate()
    assert keys.find(1, NOVEMBER) == b""
    for agency in (1, 2):
        with pytest.raises(Refused) as refused:
            keys.destroy(agency, NOVEMBER, LATER)
        assert refused.value.code == "body-key-absent"


def test_the_key_of_a_month_that_is_hardly_over_is_not_destroyed(keys: BodyKeys) -> None:
    key = keys.obtain(1, NOVEMBER)
    with pytest.raises(Refused) as refused:
        keys.destroy(1, NOVEMBER, LATER - 1)
    assert refused.value.code == "month-not-over"
    assert keys.find(1, NOVEMBER) == key


def test_a_wrapping_key_that_is_missing_or_another_one_is_named(keys: BodyKeys, tmp_path: Path) -> None:
    keys.obtain(1, NOVEMBER)
    keys.check()
    kek = tmp_path / "kek" / "1.key"
    kek.write_text("ab" * 32)
    with pytest.raises(Misconfigured, match="1-2026-11") as other:
        keys.obtain(1, NOVEMBER)
    kek.unlink()
    assert keys.make() == []  # another first one could open nothing
    for ask in (keys.check, lambda: keys.obtain(2, NOVEMBER)):
        with pytest.raises(Misconfigured, match="migex init") as missing:
            ask()
    assert (other.value.code, missing.value.code) == ("bad-secret", "no-secret")


def test_a_key_of_one_agency_does_not_stand_in_for_anothers(keys: BodyKeys, tmp_path: Path) -> None:
    keys.obtain(1, NOVEMBER)
    (tmp_path / "body-keys" / "1-2026-11.json").rename(tmp_path / "body-keys" / "2-2026-11.json")
    with pytest.raises(Misconfigured):
        keys.find(2, NOVEMBER)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    keys = BodyKeys(tmp_path / "away")
    with pytest.raises(Unavailable) as error:
        keys.obtain(1, NOVEMBER)
    assert error.value.code == "body-key-unkept"


def test_of_two_writers_of_a_file_one_wins_and_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    assert [key_files.write_once(path, text) for text in ("one", "other")] == [True, False]
    assert key_files.read(path) == "one\n"
    key_files.replace(path, "third")
    assert key_files.read(path) == "third\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.key"]
