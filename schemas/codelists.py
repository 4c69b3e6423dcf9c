"""Code lists: which codes an event may carry on which day, and what they are called.

One CSV file a list under `schemas/codelists/`; a convention may bring directories of its own, whose files replace
ours list by list. A code may stand in several rows, each with its own validity.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from hashlib import sha256
from pathlib import Path

from schemas.errors import Misconfigured

DIRECTORY = Path(__file__).parent / "codelists"
"""The product's own lists."""

COLUMNS = ("code", "label_ru", "label_be", "label_en", "valid_from", "valid_to", "source", "source_confirmed")
"""What a list states for each code; dates are inclusive, an empty one is open. COUNTRY adds `alpha2` and `numeric`."""

_GROUPS = "AREA_GROUP"
_UNKNOWN_AREA = "UNK"

Row = Mapping[str, str]
Span = tuple[date, date]


class CodeList:
    """The codes of one classification, with their labels and the days on which they hold."""

    __slots__ = ("_labels", "_spans", "name", "rows")

    def __init__(self, name: str, rows: Iterable[Row]) -> None:
        """`rows` as in the file; raises Misconfigured, naming list and code, for a date that cannot be read."""
        self.name = name
        self.rows = tuple(rows)
        self._spans: dict[str, tuple[Span, ...]] = {}
        self._labels: dict[str, dict[str, str]] = {}
        for row in self.rows:
            code = row["code"]
            self._spans[code] = (*self._spans.get(code, ()), _span(name, row))
            self._labels[code] = {lang: row[f"label_{lang}"] for lang in ("ru", "be", "en")}

    @property
    def version(self) -> str:
        """The list's edition: 12 hexadecimal digits, others as soon as another code holds on any day."""
        return sha256(repr(sorted(self._spans.items())).encode()).hexdigest()[:12]

    def __contains__(self, code: object) -> bool:
        """Whether the code stands in the list, on whatever day."""
        return code in self._spans

    def __iter__(self) -> Iterator[str]:
        """Yield all codes in the order of the file, on whatever day they hold."""
        return iter(self._spans)

    def valid(self, code: str, on: date) -> bool:
        """Whether the code holds on that day; both ends of a validity count."""
        for first, last in self._spans.get(code, ()):  # noqa: SIM110 - any() takes twice the time, and doors ask often
            if first <= on <= last:
                return True
        return False

    def label(self, code: str, lang: str) -> str:
        """Return the code's newest label in that language, else in English, else the code itself."""
        labels = self._labels.get(code, {})
        return labels.get(lang) or labels.get("en") or code

    def codes(self, on: date) -> tuple[str, ...]:
        """Return the codes that hold on that day, in the order of the file."""
        return tuple(code for code in self._spans if self.valid(code, on))

    def rows_on(self, on: date) -> tuple[Row, ...]:
        """Return the rows that hold on that day, in the order of the file."""
        spans = ((row, _span(self.name, row)) for row in self.rows)
        return tuple(row for row, (first, last) in spans if first <= on <= last)


class CodeLists:
    """All code lists that hold under one convention, read once."""

    def __init__(self, lists: Mapping[str, CodeList], groups: Iterable[Row]) -> None:
        """`groups` are the rows of AREA_GROUP: which areas (ISO 3166-1 alpha-2) belong to which group, and when."""
        self._lists = dict(lists)
        self._areas = {row["code"]: row["alpha2"] for row in self["COUNTRY"].rows}
        self._groups = [(row["group"], row["member"], _span(_GROUPS, row)) for row in groups]

    @classmethod
    def load(cls, *directories: Path) -> CodeLists:
        """Read the product's own lists, then each directory's; a later file replaces an earlier one of the same name.

        Raises Misconfigured for a missing directory or column, a double row, or a date that cannot be read.
        """
        paths: dict[str, Path] = {}
        for directory in (DIRECTORY, *directories):
            if not directory.is_dir():
                raise Misconfigured(
                    "codelists-missing", f"`codelists`: there is no directory {directory.name!r}; mend the path."
                )
            paths.update({path.stem: path for path in sorted(directory.glob("*.csv"))})
        groups = _rows(paths.pop(_GROUPS), ("group", "member", "valid_from", "valid_to"))
        rows = {name: _rows(path, COLUMNS) for name, path in sorted(paths.items())}
        rows["AREA"] = (*_areas(rows["COUNTRY"]), *rows["AREA"])
        return cls({name: CodeList(name, each) for name, each in rows.items()}, groups)

    def __getitem__(self, name: str) -> CodeList:
        """Return the list of that name; raises Misconfigured when there is none."""
        try:
            return self._lists[name]
        except KeyError:
            detail = f"There is no code list {name}: add {name}.csv to a directory of the convention's `codelists`."
            raise Misconfigured("codelist-missing", detail) from None

    def __contains__(self, name: object) -> bool:
        """Whether there is a list of that name."""
        return name in self._lists

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the lists in alphabetical order."""
        return iter(self._lists)

    def area(self, alpha3: str) -> str:
        """Return what the feed calls a country of an event: ISO 3166-1 alpha-2, STLS (stateless) or UNK (unknown)."""
        return self._areas.get(alpha3, _UNKNOWN_AREA)

    def members(self, group: str, on: date) -> tuple[str, ...]:
        """Return the areas (alpha-2) that belong to the group on that day, in the order of the file."""
        return tuple(member for name, member, (first, last) in self._groups if name == group and first <= on <= last)

    def digest(self) -> bytes:
        """Return SHA-256 over what can change a figure: codes, validity, areas and groups; labels cannot."""
        counted = [
            (name, row["code"], row["valid_from"], row["valid_to"], row.get("alpha2", ""))
            for name, each in self._lists.items()
            for row in each.rows
        ]
        groups = [(name, member, first.isoformat(), last.isoformat()) for name, member, (first, last) in self._groups]
        return sha256(repr((sorted(counted), sorted(groups))).encode()).digest()


def _span(name: str, row: Row) -> Span:
    try:
        first = date.fromisoformat(row["valid_from"]) if row["valid_from"] else date.min
        last = date.fromisoformat(row["valid_to"]) if row["valid_to"] else date.max
    except ValueError:
        first, last = date.max, date.min
    if first > last:
        code = row.get("code") or row.get("member")
        detail = f"{name}.csv, code {code}: valid_from and valid_to are dates such as 2018-03-01, in order, or empty."
        raise Misconfigured("codelist-date", detail)
    return first, last


def _areas(countries: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows of the feed's countries: the first one of each alpha-2, in force for ever.

    For ever, because a figure may speak of a country's citizens after the country itself.
    """
    seen = {"", "STLS", _UNKNOWN_AREA}  # the file's own
    for row in countries:
        if row["alpha2"] not in seen:
            seen.add(row["alpha2"])
            yield {**row, "code": row["alpha2"], "valid_from": "", "valid_to": ""}


def _rows(path: Path, columns: tuple[str, ...]) -> tuple[Row, ...]:
    """Read a list; raises Misconfigured naming the file and the code."""
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise Misconfigured("codelist-columns", f"{path.name} lacks the column {missing[0]}: add it to line 1.")
        rows = tuple(reader)
    seen = set()
    for row in rows:
        code = row[columns[0]]
        if not code or None in row or None in row.values():
            raise Misconfigured("codelist-columns", f"{path.name}, code {code or '(none)'}: a line has every column.")
        if row.get("source_confirmed", "true") not in ("true", "false"):
            raise Misconfigured("codelist-columns", f"{path.name}, code {code}: source_confirmed is true or false.")
        key = (code, row.get("member"), row["valid_from"])
        if key in seen:
            raise Misconfigured("codelist-double", f"{path.name} has two rows for {code} from one day: remove one.")
        seen.add(key)
    return rows
