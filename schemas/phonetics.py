"""Phonetics: a word of a name as it sounds, whichever alphabet and whichever way of transliteration wrote it.

Letters that one way of writing exchanges for another fall together: Ж, J, ДЖ, Ž and Z; Г, H, KH, X, Q and K; Ц, ТЬ and
T; Щ, Ш, Ş and S. The classes follow what is in use for Belarusian, Russian, Ukrainian, Kazakh, Kyrgyz, Tajik, Uzbek,
Turkmen, Azerbaijani and Armenian names: ICAO Doc 9303 part 3 (8th edition, section 6), passports before it, BGN/PCGN,
ISO 9, and the Latin alphabets of those languages, with and without their marks.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from anyascii import anyascii

_CYRILLIC = str.maketrans(
    {"А": "A", "Б": "B", "В": "V", "Г": "G", "Ґ": "G", "Ғ": "G", "Д": "D", "Е": "E", "Ё": "E", "Є": "E", "Ж": "ZH"}
    | {"Җ": "ZH", "Ҷ": "ZH", "Ҹ": "ZH", "З": "Z", "И": "I", "Й": "I", "І": "I", "Ї": "I", "Ӣ": "I", "К": "K", "Қ": "K"}
    | {"Ҡ": "K", "Ҝ": "G", "Л": "L", "М": "M", "Н": "N", "Ң": "N", "О": "O", "Ө": "O", "П": "P", "Р": "R", "С": "S"}
    | {"Т": "T", "У": "U", "Ў": "U", "Ү": "U", "Ұ": "U", "Ӯ": "U", "Ф": "F", "Х": "KH", "Ҳ": "KH", "Һ": "KH"}
    | {
        "Ц": "TS",
        "Ч": "TCH",
        "Ш": "SH",
        "Щ": "SH",
        "Ъ": "",
        "Ы": "Y",
        "Ь": "",
        "Э": "E",
        "Ә": "A",
        "Ю": "IU",
        "Я": "IA",
    }
)
_MARKED = str.maketrans(
    {"Ə": "A", "Ä": "A", "Ç": "TCH", "Č": "TCH", "Ć": "TCH", "Ĉ": "TCH", "Ž": "ZH", "Š": "SH", "Đ": "D", "Ł": "L"}
)
_TURKIC = re.compile("[ƏəĞğİıŞş]")
"""Letters by which one sees that C is to be read as in Azerbaijani and Turkish: Cəfərov is Dzhafarov."""

_MARKS = re.compile("['`´ʹʺʻʼ‘’′\"]")
_UZBEK_O = re.compile("O['`´ʻʼ‘’′]")
_NOT_A_TO_Z = re.compile("[^A-Z]+")

_READING = (
    # what is written; how it is heard in English transliteration; and in Łacinka, Polish and Latvian
    ("(?<=ALE)X|(?<=MA)X(?=[IE])|(?<=O)X(?=[AE])|^X(?=EN)|(?<=FELI)X", "KS", "KS"),
    ("SCHTSCH|SHT*CH|STCH", "S", "S"),
    ("TSCH|T+CH|CZ", "!", "!"),
    ("SCH|SH|SZ", "S", "S"),
    ("CH(?=R)", "K", "K"),
    ("CH", "!", "K"),
    ("C(?=[EIY])", "!", "T"),
    ("C(?=K[IAY])", "T", "T"),
    ("J$|(?<=[IY])J(?=[AEOU])|(?<=[AEIOUY])J(?=[^AEIOUY])", "I", "I"),
    ("DZH|ZH", "Z", "Z"),
    ("DJ", "Z", "DI"),
    ("J", "Z", "I"),
    ("LL?[AO]H$", "LA", "LA"),
    ("TS|TZ|^TH|TH$", "T", "T"),
    ("DZ", "D", "D"),
    ("^PH|PH$|FF", "F", "F"),
    ("W", "V", "V"),
    ("[KG]H|[GHKQX]", "K", "K"),
    ("C", "K", "T"),
    ("^ULA(?=[DS])", "VLA", "VLA"),  # Belarusian: Uladzimir
    ("(?<=[AEO])U(?![AEIOUY])", "V", "V"),  # Belarusian: Kavaliou, Kraucanka
)
_HEARD_AS = re.compile("|".join(f"({pattern})" for pattern, *_ in _READING))
_SOUNDS = tuple(tuple(row[1 + reading] for row in _READING) for reading in (0, 1))
_SAME_TWICE = re.compile(r"([^AEIOUY])\1+")
_VOWELS = re.compile("[AEIOUY]+")
_SAME_VOWEL_TWICE = re.compile(r"(.)\1+")
_HEARD = str.maketrans("OYJ", "AII")


def words(text: str) -> list[str]:
    """Return the words of a name in letters A to Z, transliterated; hyphens part words, apostrophes do not."""
    if text.isascii() and text.isalpha():
        return [text.upper()]
    if not text.isascii():
        if _TURKIC.search(text):
            text = text.upper().replace("C", "J")
        text = normalize("NFC", normalize("NFKC", text).upper())
    text = _MARKS.sub("", _UZBEK_O.sub("U", text.upper()))
    if not text.isascii():
        text = text.replace("ՈՒ", "U")  # Armenian
        text = anyascii(text.translate(_CYRILLIC).translate(_MARKED)).upper()
        text = _MARKS.sub("", text)
    return _NOT_A_TO_Z.sub(" ", text).split()


def sounds(word: str, reading: int = 0) -> str:
    """Return a word with one letter for each class of consonants, never twice in a row, and its vowels as they are.

    J, C and CH are read as in English transliteration (JAFAROV is Джафаров), in the second reading, 1, as in Łacinka,
    Polish and Latvian (JAKOVLEVA is Яковлева).
    """
    heard = _SOUNDS[reading]
    return _SAME_TWICE.sub(r"\1", _HEARD_AS.sub(lambda written: heard[(written.lastindex or 1) - 1], word))


def voiced(word: str, reading: int = 0) -> str:
    """Return a word's sounds with each run of vowels as it is heard, so that Hasan and Husan, Anna and Yana stay apart.

    O is A, as Belarusian and Uzbek write it; Y and J are I; YE is E, and no vowel comes twice in a row.
    """
    return _VOWELS.sub(_run, sounds(word, reading))


def skeleton(word: str, reading: int = 0) -> str:
    """Return a word's consonants, and where it begins or ends with an open vowel; of short words all vowels as well.

    Unstressed vowels are what languages and officials change most: Kavaliou, Kovalev.
    """
    heard = sounds(word, reading)
    bones = _VOWELS.sub("", heard)
    if len(bones) < 3:
        return _VOWELS.sub(_vowel, heard)
    return ("A" if heard[0] in "AEIOUY" else "") + bones + ("A" if heard[-1] in "AEO" else "")


def _run(run: re.Match[str]) -> str:
    return _SAME_VOWEL_TWICE.sub(r"\1", run[0].translate(_HEARD)).replace("IE", "E")


def _vowel(run: re.Match[str]) -> str:
    heard = _run(run).replace("E", "A")
    return next(vowel for vowel in "AUI" if vowel in heard)
