"""Conventions: what one country's committee has agreed to be sent, and who reports to it; a file, not code (law L9).

The file is checked whole when it is loaded, so that nothing in it can fail later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from schemas import periods
from schemas.codelists import CodeLists
from schemas.convention_rules import faults
from schemas.errors import Misconfigured

DEFAULT = Path(__file__).parent / "conventions" / "BY.yaml"
"""The convention of Belarus."""

_EPOCH = date(1970, 1, 1).toordinal()
_STRICT = ConfigDict(extra="forbid", strict=True)

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,15}$")]
Texts = Mapping[str, str]


@dataclass(frozen=True, config=_STRICT)
class Agency:
    """A body that reports events, under a permanent number."""

    code: Code  # stands in topic names and addresses
    id: Annotated[int, Field(ge=1, le=65535)]
    names: Texts
    families: tuple[str, ...]  # what it is entitled to report
    precedence: Mapping[str, int]  # by family: whose report speaks for a happening that several saw; 0 comes first
    country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None  # ISO 3166-1 alpha-3: it speaks for this alone


@dataclass(frozen=True, config=_STRICT)
class Table:
    """What the recipient has agreed about one table; its shape is defined in streams.dataflows."""

    id: Annotated[str, Field(pattern=r"^F\d\d$")]
    title: Texts
    freq: Literal["M", "Q", "S", "A"]
    due_days: Annotated[int, Field(ge=0)]  # days after the period's end on which it is due
    unit: Literal["PS", "ACT", "PC"]  # SDMX UNIT_MEASURE: persons, acts, per cent
    window_days: Annotated[int, Field(ge=0)] = 0  # days of follow-up that a figure needs by its definition
    late_days: Annotated[int, Field(ge=0)] = 45  # days then waited for late reports; after them the figure is final
    min_cell: Annotated[int, Field(ge=0)] = 3  # a count below it is not published
    universe: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)  # core field -> codes that are counted
    confidentiality_mark: Literal["OPEN", "OFFICIAL", "CONFIDENTIAL"] = "OPEN"
    source_confirmed: bool = False  # true only when the recipient's own table is held

    @property
    def final_after_days(self) -> int:
        """Days after the period's end from which on its figures are final."""
        return self.window_days + self.late_days


@dataclass(frozen=True, config=_STRICT)
class Convention:
    """A recipient's agreement: country, reporting agencies, tables with their parameters, code lists."""

    id: str
    version: str
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]  # ISO 3166-1 alpha-2: REF_AREA of the feed
    country_alpha3: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]  # the same as events write it
    timezone: str  # IANA name; decides on which local day an instant lies
    maintainer: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]  # SDMX agency id of the artefacts
    recipient: str
    legal_basis: str
    languages: Annotated[tuple[Literal["ru", "be", "en"], ...], Field(min_length=1)]
    agencies: Mapping[str, Agency]
    tables: Mapping[str, Table]
    codelist_directories: tuple[Path, ...] = ()  # searched after the product's own

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)

    def local_date(self, at: datetime) -> date:
        """Return the local day of an aware instant."""
        return at.astimezone(self.zone).date()

    def local_day(self, at_ms: int) -> int:
        """Return the local day, in days since 1970-01-01, of an instant in ms since 1970-01-01T00:00Z."""
        return datetime.fromtimestamp(at_ms / 1000, self.zone).toordinal() - _EPOCH

    def midnight(self, day: date) -> int:
        """Return the instant at which a local day begins, in seconds since 1970-01-01T00:00Z."""
        return int(datetime.combine(day, time(), self.zone).timestamp())

    def final_at(self, table_id: str, period: str) -> int:
        """Return the instant, in seconds since 1970-01-01T00:00Z, from which a period's figures are final.

        Local midnight after the period's last day, the table's window and its late days.
        """
        table = self.tables[table_id]
        return self.midnight(periods.last_day(period) + timedelta(days=table.final_after_days + 1))

    def due_on(self, table_id: str, period: str) -> date:
        """Return the day on which a period of the table is due."""
        return periods.last_day(period) + timedelta(days=self.tables[table_id].due_days)

    def counting_digest(self) -> str:
        """Return SHA-256, as hexadecimal digits, over all that can change a figure, code lists included.

        Titles, names, due days and units cannot.
        """
        counted = {
            "country": [self.country, self.country_alpha3],
            "timezone": self.timezone,
            "agencies": {each.code: [each.id, dict(each.precedence)] for each in self.agencies.values()},
            "tables": {
                each.id: [each.freq, each.window_days, each.late_days, {k: list(v) for k, v in each.universe.items()}]
                for each in self.tables.values()
            },
        }
        lists = CodeLists.load(*self.codelist_directories).digest()
        return sha256(json.dumps(counted, sort_keys=True).encode() + lists).hexdigest()


class _Loader(yaml.SafeLoader):
    """YAML, with a key that stands twice refused, which plain YAML takes in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build the mapping."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise Misconfigured("convention-double", f"The key `{key}` stands twice in one section: remove one.")
        return super().construct_mapping(node, deep)


def load(path: Path = DEFAULT) -> Convention:
    """Read and check a convention file with the code lists it names.

    Raises Misconfigured, naming the key and the remedy.
    """
    shaped = _shape(_read(path), path)
    try:
        # as JSON, because strict types then still take an array for a tuple
        convention = TypeAdapter(Convention).validate_json(json.dumps(shaped, default=str))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _wrong(path, ".".join(map(str, first["loc"])), _rule(first["type"], first["msg"])) from None
    for key, rule in faults(convention, CodeLists.load(*convention.codelist_directories)):
        raise _wrong(path, key, rule)
    return convention


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader by descent
    except OSError as error:
        raise Misconfigured(
            "convention-file", f"{path.name} cannot be read ({error.strerror}): mend the path."
        ) from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise Misconfigured("convention-yaml", f"{path.name}{line}: this is not YAML; mend the line.") from None
    if not isinstance(raw, dict):
        raise Misconfigured("convention-yaml", f"{path.name} holds no mapping of keys: start from conventions/BY.yaml.")
    return raw


def _shape(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring the file into the form of the classes: names from keys, ranks from lists, paths from where the file is."""
    shaped = {key: value for key, value in raw.items() if key not in ("precedence", "codelists")}
    order, extra = raw.get("precedence") or {}, raw.get("codelists") or []
    if not isinstance(extra, list):
        raise _wrong(path, "codelists", "A list of directories is expected.")
    if not isinstance(order, dict) or not all(isinstance(codes, list) for codes in order.values()):
        raise _wrong(path, "precedence", "For each family, a list of agency codes is expected.")
    for section, name in (("agencies", "code"), ("tables", "id")):
        entries = raw.get(section)
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise _wrong(path, section, "A mapping from a code to its keys is expected.")
        shaped[section] = {code: {**entry, name: code} for code, entry in entries.items()}
    for code in (code for codes in order.values() for code in codes):
        if code not in shaped["agencies"]:
            raise _wrong(path, "precedence", f"{code} is no agency of this file.")
    for code, entry in shaped["agencies"].items():
        entry["precedence"] = {family: codes.index(code) for family, codes in order.items() if code in codes}
    shaped["codelist_directories"] = [path.parent / str(directory) for directory in extra]
    return shaped


def _rule(kind: str, text: str) -> str:
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return "This key is not known: correct its spelling or remove it."
    if kind in ("missing", "missing_argument"):
        return "This key is missing: add it."
    return f"{text}."


def _wrong(path: Path, key: str, rule: str) -> Misconfigured:
    return Misconfigured(
        "convention-key", f"{path.name}, `{key}`: {rule} schemas/conventions/BY.yaml shows a whole one."
    )
