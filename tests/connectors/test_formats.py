"""The formats of a table: what people and machines read."""

from __future__ import annotations

import csv as reader
import json
from io import StringIO

import pytest

from connectors.feed_store import Change
from connectors.formats import csv, json_rows, sdmx_csv, text
from connectors.formats.changes import Sheet
from connectors.formats.words import LANGUAGES, number, word
from schemas.periods import MONTHS
from streams.dataflows import DATAFLOWS
from streams.reconcile.cells import CAUSES
from tests.connectors.feed_tables import at, cell, shown

NBSP = "\N{NO-BREAK SPACE}"
CELLS = [
    cell("F06|2018-01|IN|F|PL|PL|ROAD|WORK|BREST-TERESPOL", 1200),
    cell("F06|2018-01|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI", 34),
    cell("F06|2018-01|IN|F|UA|PL|ROAD|WORK|KOZLOVICHI", 3, cut="2018-04-01"),
    cell("F06|2018-02|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI", 99, cut="2018-03-05"),
    cell("F06|2018-02|OUT|F|PL|PL|ROAD|WORK|KOZLOVICHI", 7, cut="2018-03-05"),
]


def test_text_shows_periods_as_columns_with_sums_and_what_one_must_know() -> None:
    assert (
        text.render(shown("F06", CELLS, "2018-04-02"), "en")
        == """\
F06  Border crossings
BELSTAT:F06(1.0), BY, monthly: border crossings
Cut 2018-04-02T00:00:00Z, generation 1
citizenship: foreigners and stateless persons
border section: border with Poland
mode of transport: road
purpose: work

direction   country of citizenship  2018-01  2018-02 P
──────────────────────────────────────────────────────
entry       Poland                    1,234         99
            Ukraine                      3*          -
exit        Poland                        -          7
──────────────────────────────────────────────────────
Sum: entry                            1,237         99
Sum: exit                                 -          7

P: provisional; the other periods are final.
* changed after it had become final.
Without disclosure control: for the statistics committee only and not for publication.
"""
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_text_speaks_each_language_throughout(lang: str) -> None:
    shown_text = text.render(shown("F06", CELLS, totals=True), lang)
    names = {"ru": "Пересечение государственной границы", "be": "Перасячэнне дзяржаўнай мяжы", "en": "Border crossings"}
    assert names[lang] in shown_text
    assert word("unprotected", lang) in shown_text
    separator = "," if lang == "en" else NBSP
    assert f"1{separator}234" in shown_text


def test_text_goes_on_in_a_second_block_where_the_periods_do_not_fit() -> None:
    table = shown(
        "F06", [cell(f"F06|2018-{m:02}|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI", m) for m in range(1, 13)], "2020-01-01"
    )
    lines = text.render(table, "en", width=60).splitlines()
    heads = [line for line in lines if line.startswith("indicator")]
    assert len(heads) > 1
    assert [p for head in heads for p in head.split()[1:]] == [f"2018-{m:02}" for m in range(1, 13)]
    assert max(len(line) for line in lines[: lines.index("All periods are final.")]) <= 60


def test_text_in_a_width_too_small_still_shows_every_figure() -> None:
    shown_text = text.render(shown("F06", CELLS), "en", width=20)
    assert all(figure in shown_text for figure in ("1,234", "3*", "99", "7"))


def test_text_without_figures_says_so() -> None:
    assert "There are no figures for these periods." in text.render(shown("F06", []), "en")


def test_a_star_on_every_figure_is_said_once() -> None:
    late = [cell("F06|2018-01|IN|F|PL|PL|ROAD|WORK|KOZLOVICHI", 5, cut="2018-12-01")]
    shown_text = text.render(shown("F06", late), "en")
    assert "Every figure changed after its period had become final." in shown_text
    assert "*" not in shown_text


def test_sums_leave_totals_out_and_keep_directions_apart() -> None:
    cells = [
        cell("F01|2018-01|ARR|RU|BY-HM|U", 7),
        cell("F01|2018-01|ARR|PL|BY-HM|U", 2),
        cell("F01|2018-01|DEP|RU|BY-HM|U", 4),
    ]
    lines = text.render(shown("F01", cells, totals=True), "en").splitlines()
    sums = [" ".join(line.split()) for line in lines if line.startswith("Sum")]
    assert sums == ["Sum: arrived 9", "Sum: departed 4", "Sum: net migration 5"]


def test_several_measures_stand_in_rows_and_persons_come_with_a_warning() -> None:
    table = shown("F11", [cell("F11|2018-Q1|SPECIAL_WORK|ISSUED|F|UA|BY-HM|M|Y20-24", 5, 4)])
    shown_text = text.render(table, "en")
    lines = [line.split() for line in shown_text.splitlines()]
    assert ["acts", "5"] in lines
    assert ["persons", "4"] in lines
    assert "a sum may count one person several times" in shown_text


def test_long_labels_go_on_in_the_next_line() -> None:
    keys = ("SPECIAL_WORK", "PERM_RES")
    table = shown("F11", [cell(f"F11|2018-Q1|{perm}|ISSUED|F|UA|BY-HM|M|Y20-24", 5, 4) for perm in keys])
    lines = text.render(table, "ru").splitlines()
    assert "специальное разрешение на право   акты              5" in lines
    assert "занятия трудовой деятельностью    лица              4" not in lines
    assert any(line.startswith("занятия трудовой деятельностью") for line in lines)


def test_csv_has_one_row_per_observation() -> None:
    lines = csv.render(shown("F06", CELLS, "2018-04-02")).splitlines()
    assert lines[:2] == [
        "REF_AREA,DIRECTION,CITIZEN,AREA,SECTION,MODE,PURP,TIME_PERIOD,OBS_VALUE,"
        "OBS_STATUS,CONF_STATUS,UNIT_MEASURE,UNIT_MULT,CUT,AFTER_FINAL",
        "BY,IN,F,PL,PL,ROAD,WORK,2018-01,1234,A,N,ACT,0,2018-02-10T00:00:00Z,N",
    ]
    assert len(lines) == 5


def test_csv_names_the_measure_where_there_are_several() -> None:
    table = shown("F11", [cell("F11|2018-Q1|SPECIAL_WORK|ISSUED|F|UA|BY-HM|M|Y20-24", 5, 4)])
    rows = list(reader.DictReader(StringIO(csv.render(table))))
    assert [(r["INDICATOR"], r["OBS_VALUE"], r["UNIT_MEASURE"]) for r in rows] == [
        ("ACTS", "5", "ACT"),
        ("PERSONS", "4", "PS"),
    ]


def test_all_machine_formats_say_the_same() -> None:
    table = shown("F06", CELLS)
    plain = list(reader.DictReader(StringIO(csv.render(table))))
    sdmx = [
        {name: value for name, value in row.items() if name in plain[0]}
        for row in reader.DictReader(StringIO(sdmx_csv.render(table)))
    ]
    objects = [{k: str(v) for k, v in o.items()} for o in json.loads(json_rows.render(table))["observations"]]
    assert plain == sdmx == objects


def test_json_says_what_the_table_is() -> None:
    whole = json.loads(json_rows.render(shown("F06", CELLS)))
    assert (whole["table"], whole["structure"], whole["cut"]) == ("F06", "BELSTAT:F06(1.0)", "2019-01-01T00:00:00Z")
    assert (whole["generation"], whole["protected"]) == (1, False)
    assert whole["measures"] == [{"id": "CROSSINGS", "unit": "ACT"}]
    assert whole["observations"][0]["OBS_VALUE"] == 1234


# --- changes ---

CODES = ("RECRUIT", "ISSUED", "F", "UA", "BY-HM", "M", "Y20-24")
ONE_DAY, NEXT_DAY = at("2018-02-10"), at("2018-02-11")
LESS = {"cancellation": (0, 2), "link": (1, 0)}
CHANGES = [
    Change("F11", "2018-Q1", CODES, ONE_DAY, 0, (0, 0), 1200, (1200, 4), {"on-time": (1200, 0)}),
    Change("F11", "2018-Q1", CODES, NEXT_DAY, 1200, (1200, 4), 1199, (1199, 4), LESS),
]


def test_changes_as_text() -> None:
    lines = Sheet(DATAFLOWS["F11"], CHANGES).text("en").splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "Cut F11|TIME_PERIOD|PERM|PERMIT_ACTION|FIRST|AREA|REG|SEX|AGE change causes: stated and withdrawn",
        "2018-02-10T00:00:00Z F11|2018-Q1|RECRUIT|ISSUED|F|UA|BY-HM|M|Y20-24 0 → 1,200, 0 → 4 on time +1200 −0",
        "2018-02-11T00:00:00Z F11|2018-Q1|RECRUIT|ISSUED|F|UA|BY-HM|M|Y20-24 1,200 → 1,199, 4 → 4 "
        "cancellation +0 −2, linking of records +1 −0",
    ]
    assert Sheet(DATAFLOWS["F11"], []).text("en") == "There are no changes in these periods.\n"


def test_changes_as_csv() -> None:
    rows = list(reader.DictReader(StringIO(Sheet(DATAFLOWS["F11"], CHANGES).csv())))
    last = rows[1]
    assert [last[k] for k in ("CUT", "TIME_PERIOD", "AREA", "ACTS_BEFORE", "ACTS", "PERSONS_BEFORE", "PERSONS")] == [
        "2018-02-11T00:00:00Z", "2018-Q1", "UA", "1200", "1199", "4", "4"
    ]  # fmt: skip
    assert [last[k] for k in ("CANCELLATION_STATED", "CANCELLATION_WITHDRAWN", "LINK_STATED", "LATE_STATED")] == list(
        "0210"
    )


def test_changes_as_json() -> None:
    _, last = json.loads(Sheet(DATAFLOWS["F11"], CHANGES).json())
    assert last["figures"] == {"ACTS": [1200, 1199], "PERSONS": [4, 4]}
    assert last["causes"]["cancellation"] == {"stated": 0, "withdrawn": 2}


# --- words ---


@pytest.mark.parametrize("lang", ["ru", "be"])
def test_every_cause_and_frequency_has_a_name(lang: str) -> None:
    assert [code for code in (*CAUSES, *MONTHS) if word(code, lang) == code] == []


def test_a_code_without_a_name_is_shown_itself() -> None:
    assert word("SOMETHING_NEW", "be") == "SOMETHING_NEW"


def test_thousands_are_set_apart() -> None:
    assert [number(-1234567, lang) for lang in ("en", "ru", "be")] == ["-1,234,567", *[f"-1{NBSP}234{NBSP}567"] * 2]
