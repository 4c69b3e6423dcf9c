from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import names


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("mp 123-45 67", "MP1234567"),
        ("МР1234567", "MP1234567"),  # Cyrillic М and Р
        ("ｍｐ１２３", "MP123"),  # full width
        ("№ 12/34", "1234"),
        ("АВЕКМНОРСТХУІЅ", "ABEKMHOPCTXYIS"),
        ("I-ОБ №456789", "IOБ456789"),  # Б looks like no Latin letter
        ("_-./ ", ""),
    ],
)
def test_number_has_one_spelling(written: str, seen: str) -> None:
    assert names.number(written) == seen


@pytest.mark.parametrize(
    ("cyrillic", "latin"),
    [
        # test vectors for Belarusian under ICAO Doc 9303
        ("Ігар", "IHAR"),
        ("Мікалай", "MIKALAI"),
        ("Бабрыковіч Аляксандр", "ALIAKSANDR BABRYKOVICH"),
        ("Святлана", "SVIATLANA"),
        ("Соловьёв Ильдар", "ILDAR SOLOVEV"),
        ("Щукина Юлия", "IULIIA SHCHUKINA"),
        ("Дар’я Лук'янава", "DARIA LUKIANAVA"),
    ],
)
def test_cyrillic_becomes_what_the_passport_says(cyrillic: str, latin: str) -> None:
    assert names.name(cyrillic) == latin


def test_order_case_accents_and_punctuation_do_not_matter() -> None:
    spellings = [
        ("de la Cruz", "José"),
        ("JOSE", "DE LA CRUZ"),
        ("Cruz, de-la", "jose."),
        ("Cru\u0301z".replace("\u0301", ""), "José de la"),
    ]
    assert {names.name(*parts) for parts in spellings} == {"CRUZ DE JOSE LA"}


def test_other_scripts_end_in_ascii() -> None:
    assert names.name("王", "小明") == "WANG XIAOMING"
    assert names.name("Әлия", "Қасым").isascii()


@given(st.text(), st.text())
def test_any_text_has_a_spelling_that_stays(a: str, b: str) -> None:
    once = names.name(a, b)
    assert set(once) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    assert names.name(once) == once == names.name(b, a)
    assert names.number(names.number(a)) == names.number(a)
