from __future__ import annotations

import pytest

from schemas import keys, names
from schemas.core import DOCUMENT, KEY_SIZE, NAME, PERSONAL_NO, link_keys

SECRETS = keys.Secrets(b"l" * 32, b"d" * 32)
OTHER = keys.Secrets(b"m" * 32, b"d" * 32)


def test_secrets_are_never_shown() -> None:
    assert "llll" not in repr(SECRETS)
    assert "dddd" not in repr(SECRETS)


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keys.Secrets(b"short", b"d" * 32)


def test_link_keys_are_seventeen_bytes_and_ascending() -> None:
    three = keys.joined(
        *keys.name_keys(SECRETS, "Karimov", "Aziz", 19800517),
        keys.document_key(SECRETS, "UZB", "AA 1234567"),
        keys.personal_no_key(SECRETS, "UZB", "31705801234567"),
        b"",
    )
    single = link_keys(three)
    assert [len(key) for key in single] == [KEY_SIZE] * 3
    assert [key[0] for key in single] == [PERSONAL_NO, DOCUMENT, NAME]


def test_one_person_has_one_key_however_written() -> None:
    assert keys.document_key(SECRETS, "BLR", "MP1234567") == keys.document_key(SECRETS, "BLR", "мр 123-4567")
    written = keys.name_keys(SECRETS, "Карымаў", "Азіз", 19800517)
    assert len(written) == 1
    assert written == keys.name_keys(SECRETS, "AZIZ", "KARYMAU", 19800517)


def test_a_name_of_many_parts_has_three_keys_at_most_and_the_birth_date_is_in_each() -> None:
    one, other = (keys.name_keys(SECRETS, "García-Jiménez", "José Jacinto", birth) for birth in (19800517, 19800518))
    assert len(one) == len(other) == names.MOST
    assert not set(one) & set(other)


def test_country_secret_kind_and_birth_date_separate() -> None:
    one = {
        keys.document_key(SECRETS, "BLR", "7"),
        keys.document_key(SECRETS, "RUS", "7"),
        keys.document_key(OTHER, "BLR", "7"),
        keys.personal_no_key(SECRETS, "BLR", "7"),
        *keys.name_keys(SECRETS, "A", "B", 19800517),
        *keys.name_keys(SECRETS, "A", "B", 19800518),
    }
    assert len(one) == 6
    assert len({key[1:] for key in one}) == 6


def test_what_cannot_identify_makes_no_key() -> None:
    assert keys.document_key(SECRETS, "BLR", "--") == b""
    assert keys.personal_no_key(SECRETS, "BLR", " ") == b""
    assert keys.name_keys(SECRETS, "Karimov", "Aziz", 19800000) == ()
    assert keys.name_keys(SECRETS, "Karimov", "Aziz", 0) == ()
    assert keys.name_keys(SECRETS, "-", ".", 19800517) == ()
    for said in ("НЕТ", "none", "000000", "XXXXXXX", "9999999999", "б/н"):
        assert keys.document_key(SECRETS, "BLR", said) == keys.personal_no_key(SECRETS, "BLR", said) == b""
    assert keys.pseudonym(SECRETS, "permit_no", "/") == b""


def test_pseudonym_depends_on_the_field() -> None:
    assert keys.pseudonym(SECRETS, "permit_no", "a-1") == keys.pseudonym(SECRETS, "permit_no", "A1")
    assert keys.pseudonym(SECRETS, "permit_no", "a-1") != keys.pseudonym(SECRETS, "visa_no", "a-1")
    assert len(keys.pseudonym(SECRETS, "permit_no", "a-1")) == 16


def test_content_digest_outlives_the_link_key() -> None:
    assert keys.content_digest(SECRETS, b"{}") == keys.content_digest(OTHER, b"{}")
    assert keys.content_digest(SECRETS, b"{}") != keys.content_digest(SECRETS, b"{ }")
