"""Names and numbers as link keys see them: one spelling for what people write in many ways.

Latin spelling of Cyrillic names follows ICAO Doc 9303 part 3 (8th edition, section 6, table B), as passports do; every
other script goes through anyascii, which always ends in ASCII. What a key was made of is forgotten at the door, so
a change of these rules makes keys that do not meet the old ones: it needs a new key id.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from anyascii import anyascii

# Letters of one shape in both alphabets; typists and optical readers put either into a document number.
_LOOK_ALIKES = str.maketrans(
    {"А": "A", "В": "B", "Е": "E", "Ё": "E", "Ѕ": "S", "І": "I", "Ї": "I", "Ј": "J", "К": "K", "М": "M"}
    | {"Н": "H", "О": "O", "Р": "P", "С": "C", "Т": "T", "У": "Y", "Ў": "Y", "Х": "X", "Ү": "Y", "Ғ": "F"}
)

_RUSSIAN = str.maketrans(
    {"А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ё": "E", "Ж": "ZH", "З": "Z", "И": "I", "Й": "I"}
    | {"К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R", "С": "S", "Т": "T", "У": "U", "Ф": "F"}
    | {"Х": "KH", "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHCH", "Ъ": "IE", "Ы": "Y", "Ь": "", "Э": "E", "Ю": "IU"}
    | {"Я": "IA", "І": "I", "Ў": "U", "Ї": "I", "Є": "IE", "Ґ": "G"}
)
_BELARUSIAN = _RUSSIAN | str.maketrans({"Г": "H", "Ё": "IO"})

_NOT_LETTERS_OR_DIGITS = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile("['`´ʹʻʼ‘’′]")
_NOT_A_TO_Z = re.compile("[^A-Z]+")
_BELARUSIAN_LETTERS = re.compile("[ІЎ]")


def number(text: str) -> str:
    """Return a document's or person's number in one spelling: upper case, Latin look-alikes, letters and digits only.

    Empty when the text holds no letter and no digit.
    """
    if not text.isascii():
        text = normalize("NFKC", text.replace("№", "")).upper().translate(_LOOK_ALIKES)
    return _NOT_LETTERS_OR_DIGITS.sub("", text.upper())


def name(*parts: str) -> str:
    """Return a person's name in one spelling: A to Z, its words in alphabetical order, one space between them.

    The order is lost on purpose: agencies disagree about which part is the surname. Empty when nothing is left.
    """
    text = " ".join(parts)
    if not text.isascii():
        text = _latin(normalize("NFKC", text).upper())
    return " ".join(sorted(_NOT_A_TO_Z.sub(" ", _APOSTROPHES.sub("", text).upper()).split()))


def _latin(text: str) -> str:
    """Transliterate; Belarusian is told by the letters that Russian does not have."""
    table = _BELARUSIAN if _BELARUSIAN_LETTERS.search(text) else _RUSSIAN
    return anyascii(_APOSTROPHES.sub("", text).translate(table))
