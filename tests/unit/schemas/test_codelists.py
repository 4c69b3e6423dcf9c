"""Code lists: validity, labels, areas, and what a wrong file is told."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from schemas.codelists import COLUMNS, DIRECTORY, CodeList, CodeLists
from schemas.errors import Misconfigured

LISTS = CodeLists.load()
HEAD = ",".join(COLUMNS)
ALL = sorted(path.stem for path in DIRECTORY.glob("*.csv"))


def a_list(*rows: tuple[str, str, str]) -> CodeList:
    """Return a list of codes with valid_from and valid_to."""
    blank = dict.fromkeys(COLUMNS, "")
    return CodeList("TEST", [{**blank, "code": c, "valid_from": a, "valid_to": b} for c, a, b in rows])


@pytest.mark.parametrize(
    ("on", "valid"),
    [
        (date(2018, 1, 1), True),
        (date(2023, 6, 30), True),  # the last day counts
        (date(2023, 7, 1), False),  # the recruitment permit was abolished (Law 225-Z in the version of 233-Z)
        (date(1, 1, 1), True),
    ],
)
def test_the_recruitment_permit_ends_with_june_2023(on: date, valid: bool) -> None:
    assert LISTS["PERM"].valid("RECRUIT", on) is valid
    assert ("RECRUIT" in LISTS["PERM"].codes(on)) is valid


def test_a_code_may_hold_twice() -> None:
    twice = a_list(("A", "2001-01-01", "2002-12-31"), ("A", "2010-01-01", ""))
    years = {year: twice.valid("A", date(year, 6, 1)) for year in (2000, 2001, 2005, 2010, 9999)}
    assert years == {2000: False, 2001: True, 2005: False, 2010: True, 9999: True}
    assert list(twice) == ["A"]


def test_a_code_that_is_not_listed_never_holds() -> None:
    assert not LISTS["MODE"].valid("TELEPORT", date(2018, 1, 1))
    assert "TELEPORT" not in LISTS["MODE"]


def test_labels_fall_back_to_english_then_to_the_code() -> None:
    country = LISTS["COUNTRY"]
    assert [country.label("UZB", lang) for lang in ("ru", "be", "en")] == ["Узбекистан", "Узбекістан", "Uzbekistan"]
    assert country.label("UZB", "fr") == "Uzbekistan"
    assert country.label("ZZZ", "ru") == "ZZZ"


@pytest.mark.parametrize(
    ("alpha3", "area"),
    [
        *[("UZB", "UZ"), ("BLR", "BY"), ("XXA", "STLS"), ("XXX", "UNK"), ("XXB", "UNK"), ("GBD", "GB"), ("BYS", "BY")],
        ("ZZZ", "UNK"),
    ],
)
def test_areas_are_alpha_2_or_stateless_or_unknown(alpha3: str, area: str) -> None:
    assert LISTS.area(alpha3) == area
    assert area in LISTS["AREA"]


def test_the_area_list_is_the_countries_and_the_feeds_own_codes() -> None:
    areas = LISTS["AREA"]
    assert areas.label("UZ", "be") == "Узбекістан"
    assert {"CIS", "EAEU", "NCIS", "STLS", "UNK", "_T"} <= set(areas)
    assert {LISTS.area(code) for code in LISTS["COUNTRY"]} <= set(areas)
    assert areas.valid("BY", date(2018, 1, 1))


def test_a_codes_validity_is_the_countrys() -> None:
    country = LISTS["COUNTRY"]
    assert country.valid("SUN", date(1991, 1, 1))
    assert not country.valid("SUN", date(2018, 1, 1))
    assert not country.valid("SSD", date(2010, 1, 1))


def test_groups_have_members_by_date() -> None:
    assert LISTS.members("EAEU", date(2014, 12, 31)) == ()
    assert LISTS.members("EAEU", date(2015, 1, 2)) == ("BY", "KZ", "RU", "AM")
    assert "GE" in LISTS.members("CIS", date(2009, 8, 17))
    assert len(LISTS.members("CIS", date(2018, 1, 1))) == 11
    assert LISTS.members("NOBODY", date(2018, 1, 1)) == ()


@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_code_has_a_source_and_labels_in_three_languages(name: str) -> None:
    for row in LISTS[name].rows:
        assert row["source"], row["code"]
        assert row["source_confirmed"] in {"true", "false"}, row["code"]
        assert all(row[f"label_{lang}"].strip() for lang in ("ru", "be", "en")), row["code"]


def test_an_unknown_list_is_told_with_its_remedy() -> None:
    with pytest.raises(Misconfigured, match=r"no code list HOBBY: add HOBBY\.csv"):
        LISTS["HOBBY"]


def test_a_later_directory_replaces_a_list_and_leaves_the_others(tmp_path: Path) -> None:
    row = "2309,Ист-порт,Іст-порт,Eastport,,,test,true"
    (tmp_path / "CHECKPOINT.csv").write_text(f"{HEAD}\n{row}\n", encoding="utf-8")
    other = CodeLists.load(tmp_path)
    assert list(other["CHECKPOINT"]) == ["2309"]
    assert list(other["DIR"]) == list(LISTS["DIR"])
    assert other.digest() != LISTS.digest()


def test_labels_do_not_change_the_digest_and_codes_do(tmp_path: Path) -> None:
    text = (DIRECTORY / "DIR.csv").read_text(encoding="utf-8")
    renamed, longer = tmp_path / "renamed", tmp_path / "longer"
    for directory, content in (
        (renamed, text.replace("entry", "coming in")),
        (longer, text + "BY,a,b,c,,,test,true\n"),
    ):
        directory.mkdir()
        (directory / "DIR.csv").write_text(content, encoding="utf-8")
    assert CodeLists.load(renamed).digest() == LISTS.digest()
    assert CodeLists.load(longer).digest() != LISTS.digest()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("code,label_ru\nA,x\n", "codelist-columns", "label_be"),
        (f"{HEAD}\nA,x,x,x,01.03.2018,,s,true\n", "codelist-date", "TEST.csv, code A"),
        (f"{HEAD}\nA,x,x,x,,,s,true\nA,y,y,y,,,s,true\n", "codelist-double", "two rows for A"),
        (f"{HEAD}\nA,x,x,x,2018-02-01,2018-01-01,s,true\n", "codelist-date", "TEST.csv, code A"),
        (f"{HEAD}\nA,x,x\n", "codelist-columns", "code A"),
        (f"{HEAD}\n,x,x,x,,,s,true\n", "codelist-columns", r"code \(none\)"),
        (f"{HEAD}\nA,x,x,x,,,s,perhaps\n", "codelist-columns", "source_confirmed"),
    ],
)
def test_a_wrong_file_is_told_by_name(tmp_path: Path, content: str, code: str, words: str) -> None:
    (tmp_path / "TEST.csv").write_text(content, encoding="utf-8")
    with pytest.raises(Misconfigured, match=words) as told:
        CodeLists.load(tmp_path)
    assert told.value.code == code


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no directory 'lists'"):
        CodeLists.load(tmp_path / "lists")


@pytest.mark.parametrize("name", ALL)
def test_files_are_plain_csv(name: str) -> None:
    data = (DIRECTORY / f"{name}.csv").read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    rows = list(csv.reader(data.decode().splitlines()))
    assert {len(row) for row in rows} == {len(rows[0])}
