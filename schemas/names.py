"""Names and numbers as link keys see them: one spelling for what people write in many ways.

A word of a name becomes the given name that it is a form of (`schemas/given_names.csv`: Volha is Olga, Mykola is
Nikolai), else its skeleton (`schemas.phonetics`). Where two given names have one skeleton, they are told apart by the
list: twins may be called Hasan and Husan. What a key was made of is forgotten at the door, so a change of these rules
or of the list makes keys that do not meet the old ones: then records meet by documents and numbers alone.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from unicodedata import normalize

from schemas import phonetics
from schemas.errors import Misconfigured

GIVEN_NAMES = Path(__file__).parent / "given_names.csv"
"""Given names of the region with their forms in its languages; what differs in transliteration alone is left out."""

# Letters of one shape in both alphabets; typists and optical readers put either into a document number.
_LOOK_ALIKES = str.maketrans(
    {"А": "A", "В": "B", "Е": "E", "Ё": "E", "Ѕ": "S", "І": "I", "Ї": "I", "Ј": "J", "К": "K", "М": "M"}
    | {"Н": "H", "О": "O", "Р": "P", "С": "C", "Т": "T", "У": "Y", "Ў": "Y", "Х": "X", "Ү": "Y", "Ғ": "F"}
)
MOST = 3
"""Name keys of one person at most: each is looked up for each report."""

_NOT_LETTERS_OR_DIGITS = re.compile(r"[\W_]+")
_TWO_READINGS = re.compile("J|(?<![TS])C")
_SURELY_NO_NUMBER = re.compile(r"(.)\1{3,}|\D*")

_PATRONYMIC = re.compile("..+([OEA][VU]|[NLRKTDM])[IY](CH|TCH|C|CS)|..+([OEA][VU]N|[IY]CHN|[IY]NISHN)A")
_CHILD_OF = frozenset(
    [
        "OGLY",
        "OGLU",
        "OGLI",
        "UGLI",
        "UGLY",
        "OGHLI",
        "ULY",
        "UULU",
        "KYZY",
        "KIZI",
        "QIZI",
        "GYZY",
        "GIZI",
        "KYZ",
        "QYZY",
        "KIZY",
        "QIZ",
    ]
)
_PARTICLES = frozenset(
    ["DE", "DI", "DA", "DOS", "LA", "LE", "VAN", "VON", "DER", "DEN", "AL", "EL", "UL", "UR", "BIN", "BINT", "IBN"]
)
_HONORIFICS = frozenset(
    [
        "MUHAMMAD",
        "MUKHAMMAD",
        "MOHAMMAD",
        "MOHAMMED",
        "MUHAMMED",
        "MOHAMED",
        "MUXAMMAD",
        "MAHAMMAD",
        "MD",
        "ABDUL",
        "ABU",
    ]
)


def number(text: str) -> str:
    """Return a document's or person's number in one spelling: upper case, Latin look-alikes, letters and digits only.

    A number of digits alone loses its leading zeros, for spreadsheets take them away. Empty when the text holds no
    letter and no digit.
    """
    if not text.isascii():
        text = normalize("NFKC", text.replace("№", "")).upper().translate(_LOOK_ALIKES)
    found = _NOT_LETTERS_OR_DIGITS.sub("", text.upper())
    return found.lstrip("0") if found.isdecimal() else found


def identifying(text: str) -> str:
    """Return `number`, or nothing for what stands where there is no number: "НЕТ", "none", 000000, XXXXXXX."""
    found = number(text)
    return "" if _SURELY_NO_NUMBER.fullmatch(found) else found


@lru_cache(maxsize=1 << 16)
def spellings(surname: str, given_names: str) -> tuple[str, ...]:
    """Return one to three texts, of which two ways to write a name share one; none when no letter is left.

    Each is a pair without order, since agencies disagree about which part is the surname: of the first words; of the
    same in the other reading where J, C or CH may be read in two ways; of all words written as one; of the last ones.
    Patronymics and particles are no part of it: one agency writes them, the next does not. So most names have one.
    """
    first, second = _parts(surname, given_names)
    if not first:
        return ()
    one, other = first[0], second[0] if second else ""
    pairs = [(_form(one), _form(other))]
    if _TWO_READINGS.search(one) or _TWO_READINGS.search(other):
        pairs.append((_form(one, 1), _form(other, 1)))
    if len(first) + len(second) > 2:
        pairs += [(_form("".join(first)), _form("".join(second))), (_form(first[-1]), _form(second[-1]))]
    found = dict.fromkeys(" ".join(sorted(pair)).strip() for pair in pairs)
    return tuple(sorted(list(found)[:MOST]))


def _parts(surname: str, given_names: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the words that count of surname and given names; of a name that stands in one field, by its order."""
    first, second = phonetics.words(surname), phonetics.words(given_names)
    if not first or not second:
        whole = _without(first or second, _PARTICLES)
        first, second = list(whole[:1]), list(whole[1:])
    return _without(first, _PARTICLES), _without(_without(_own(second), _PARTICLES), _HONORIFICS)


def _own(given_names: Sequence[str]) -> list[str]:
    """Leave out patronymics: Ivanovich; Rustam o'g'li."""
    kept: list[str] = []
    for word in given_names:
        if word in _CHILD_OF:
            del kept[max(len(kept) - 1, 1) :]
        elif not (kept and _PATRONYMIC.fullmatch(word)):
            kept.append(word)
    return kept


def _without(words: Sequence[str], idle: frozenset[str]) -> Sequence[str]:
    """Leave out words of a kind, as long as another one stays."""
    return words if len(words) < 2 else [word for word in words if word not in idle] or words


@lru_cache(maxsize=1 << 16)
def _form(word: str, reading: int = 0) -> str:
    known = _given()
    given = known.get(phonetics.voiced(word, reading)) or known.get(phonetics.voiced(word))
    return given or phonetics.skeleton(word, reading) if word else ""


@cache
def _given() -> Mapping[str, str]:
    """Return how the forms of the listed given names are written in keys: their skeleton, told apart where need be.

    Raises Misconfigured when one form is said to belong to two names.
    """
    with GIVEN_NAMES.open(encoding="utf-8", newline="") as lines:
        listed = {row["name"]: [row["name"], *row["forms"].split()] for row in csv.DictReader(lines)}
    bones = {name: phonetics.skeleton(phonetics.words(name)[0]) for name in listed}
    shared = Counter(bones.values())
    found: dict[str, str] = {}
    for name, forms in listed.items():
        written = bones[name] if shared[bones[name]] == 1 else f"{bones[name]}={name}"
        for form in forms:
            if found.setdefault(phonetics.voiced(phonetics.words(form)[0]), written) != written:
                raise Misconfigured("given-names", f"{form} stands under two names in {GIVEN_NAMES.name}.")
    return found
