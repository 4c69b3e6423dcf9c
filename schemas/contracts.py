"""Contracts: the event families, read from the `.avsc` files under `schemas/avro/`.

The file of a family's version is the only source: its fields, their code lists, which of them are personal, which go
into the core, and when two reports are one happening. Ids are permanent (`schemas/avro/ids.csv`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import fastavro
from fastavro.schema import fingerprint as _fingerprint
from fastavro.schema import to_parsing_canonical_form

from schemas import contract_rules
from schemas.contract_rules import Rule
from schemas.errors import Broken, Misconfigured

if TYPE_CHECKING:
    from pydantic import BaseModel

DIRECTORY = Path(__file__).parent / "avro"
"""Where the released contracts lie: `<family>/v<version>.avsc` and `ids.csv`."""

DROP, PSEUDONYM, RECORD = "drop", "pseudonym", "record"
"""Marks of personal fields: forgotten at the door; replaced in the core by a 16-byte keyed digest; replaced in the
core by the id of the record that it names together with its neighbours `<prefix>_agency` and `<prefix>_family`."""

DAY, AGENCY = "day", "agency"
"""In a natural key or a subject: the local day of the happening; who reports it."""


_LIMITS = ("pattern", "min_length", "max_length", "minimum", "maximum")
_MARKS = ("example", "codelist", "personal", "core", "not_before")
_ATTRIBUTES = {"name", "type", "doc", "doc_ru", "doc_be", "default", *_LIMITS, *_MARKS}


@dataclass(frozen=True, slots=True)
class Field:
    """One value of an event: where it stands, its Avro type, and the rules its contract states for it."""

    path: str  # "header.record_no", "person.document.number", "event.direction"
    type: str  # string int long boolean date timestamp-millis enum array
    nullable: bool
    doc: str
    example: object
    codelist: str | None = None
    personal: str | None = None  # `DROP`, `PSEUDONYM`, or None: not personal
    core: bool = False
    not_before: str | None = None  # path of the field whose value this one must not precede
    pattern: str | None = None  # regular expression that the whole value matches
    min_length: int | None = None  # characters; of an array: elements
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A version of an event family's contract: what its reports look like and when two of them are one happening."""

    name: str  # "border.crossing"
    id: int  # permanent number of the family, from `ids.csv`
    version: int
    schema_id: int  # permanent number of this version, from `ids.csv`
    fingerprint: str  # CRC-64-AVRO of the parsing canonical form, as hexadecimal digits
    avsc: dict[str, Any]
    schema: Any  # `avsc`, parsed by fastavro: what agencies write on Kafka
    stored_schema: Any  # the same without personal fields: the body in the inbox
    fields: tuple[Field, ...]
    core_fields: tuple[str, ...]  # names, in the order in which their values stand in Core.codes
    core_index: Mapping[str, int]
    natural_key: tuple[str, ...]  # core fields, `DAY`, `AGENCY`
    tolerance_minutes: int | None  # reports with equal natural key this close are one happening; None: however far
    doc_key: bool  # ... if they also name the same document
    example: dict[str, Any]  # a whole event in its JSON form
    subject: tuple[str, ...]  # core fields, `AGENCY`: what reports without a person are about; empty: a person
    rules: tuple[Rule, ...]  # what must hold between its fields
    feeds: tuple[str, ...]  # tables of the convention that it is meant for

    @property
    def births(self) -> str | None:
        """The part that holds the birth date, by which reports find their block; None: the subject does."""
        return next((f.path.rpartition(".")[0] for f in self.fields if f.name == "birth_date"), None)


def fingerprint(schema: Any) -> str:
    """Return the CRC-64-AVRO fingerprint of a schema's parsing canonical form; words and attributes do not change it.

    (Avro 1.12, "Parsing Canonical Form for Schemas".) Computed by fastavro, because `avro` leaves {"type": "string"}
    uncollapsed and so departs from the specification.
    """
    return str(_fingerprint(to_parsing_canonical_form(parse(schema)), "CRC-64-AVRO"))


def parse(schema: Any) -> Any:
    """Return the schema parsed by fastavro, on its own: the named types of other contracts are not seen."""
    return fastavro.parse_schema(schema, named_schemas={})


def fields_of(avsc: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the leaf fields of a contract in schema order."""
    return tuple(_walk(avsc, ""))


def without_nested_null(kind: Any) -> tuple[Any, bool]:
    """Return a field's type without its null branch, and whether it had one; raises Misconfigured for other unions."""
    if not isinstance(kind, list):
        return kind, False
    rest = [branch for branch in kind if branch != "null"]
    if len(rest) != 1 or len(kind) != 2:
        raise Misconfigured("contract-union", "A contract knows no unions but [null, T]: write a field for each case.")
    return rest[0], True


def _walk(record: Mapping[str, Any], prefix: str) -> Iterator[Field]:
    for field in record["fields"]:
        kind, nullable = without_nested_null(field["type"])
        path = f"{prefix}{field['name']}"
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from _walk(kind, f"{path}.")
        else:
            yield _field(field, path, kind, nullable)


def _field(field: Mapping[str, Any], path: str, kind: Any, nullable: bool) -> Field:
    unknown = sorted(set(field) - _ATTRIBUTES)
    if unknown:
        raise Misconfigured("contract-attribute", f"The field {path} has an attribute {unknown[0]} that nobody reads.")
    name = kind if isinstance(kind, str) else kind.get("logicalType", kind["type"])
    limits = {key: field[key] for key in _LIMITS if key in field}
    return Field(
        path=path,
        type=name,
        nullable=nullable,
        doc=field.get("doc", ""),
        example=field.get("example"),
        codelist=field.get("codelist"),
        personal=field.get("personal"),
        core=field.get("core", False),
        not_before=field.get("not_before"),
        **limits,
    )


def stored(avsc: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract without its personal fields."""
    return {**avsc, "fields": [_stored_field(field) for field in avsc["fields"] if "personal" not in field]}


def _stored_field(field: dict[str, Any]) -> dict[str, Any]:
    kind, nullable = without_nested_null(field["type"])
    if not (isinstance(kind, dict) and kind["type"] == "record"):
        return field
    return {**field, "type": ["null", stored(kind)] if nullable else stored(kind)}


def _family(row: Mapping[str, str], directory: Path) -> Family:
    path = directory / row["family"] / f"v{row['version']}.avsc"
    avsc = json.loads(path.read_text(encoding="utf-8"))
    found = fingerprint(avsc)
    if found != row["fingerprint"]:
        detail = f"{path.name} of {row['family']} is not what ids.csv released: write a new version."
        raise Misconfigured("contract-changed", f"{detail} The fingerprint of the file is {found}.")
    fields = fields_of(avsc)
    core = tuple(field.name for field in fields if field.core)
    rules = avsc["migex"]
    return Family(
        name=row["family"],
        id=int(row["family_id"]),
        version=int(row["version"]),
        schema_id=int(row["schema_id"]),
        fingerprint=row["fingerprint"],
        avsc=avsc,
        schema=parse(avsc),
        stored_schema=parse(stored(avsc)),
        fields=fields,
        core_fields=core,
        core_index=MappingProxyType({name: i for i, name in enumerate(core)}),
        natural_key=tuple(rules["natural_key"]),
        tolerance_minutes=rules["tolerance_minutes"],
        doc_key=rules["doc_key"],
        example=rules["example"],
        subject=_subject(row["family"], rules, fields),
        rules=contract_rules.read(rules.get("rules", ()), [field.path for field in fields]),
        feeds=tuple(rules.get("feeds", ())),
    )


def _subject(name: str, rules: Mapping[str, Any], fields: tuple[Field, ...]) -> tuple[str, ...]:
    """Return what the family's reports are about when it is no person; raises Misconfigured.

    A keyed digest is no subject: it changes with the key, and the subject would fall apart.
    """
    subject = tuple(rules.get("subject", ()))
    plain = {field.name for field in fields if field.core and field.personal != PSEUDONYM}
    person = any(field.path.startswith("person.") for field in fields)
    if person == bool(subject) or not set(subject) <= {*plain, AGENCY}:
        detail = "has either a person or a `subject` of core fields that are no pseudonyms"
        raise Misconfigured("contract-subject", f"The contract {name} {detail}: mend it.")
    return subject


def load(directory: Path) -> tuple[Family, ...]:
    """Read all contracts that the directory's `ids.csv` lists, in its order.

    Raises Misconfigured when a released file was changed.
    """
    with (directory / "ids.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(_family(row, directory) for row in csv.DictReader(lines))


CONTRACTS: Mapping[int, Family] = MappingProxyType({each.schema_id: each for each in load(DIRECTORY)})
"""Every released contract by its permanent schema id."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {each.name: each for each in sorted(CONTRACTS.values(), key=lambda each: (each.id, each.version))}
)
"""The newest contract of each family by the family's name, in the order of the families' ids."""

_BY_ID = {each.id: each for each in FAMILIES.values()}


def family(family_id: int) -> Family:
    """Return the newest contract of the family with this permanent number; raises Broken when there is none."""
    try:
        return _BY_ID[family_id]
    except KeyError:
        raise Broken("unknown-family", f"No event family has the id {family_id}; see schemas/avro/ids.csv.") from None


def contract(schema_id: int) -> Family:
    """Return the contract with this permanent schema id; raises Broken when there is none (doors ask `CONTRACTS`)."""
    try:
        return CONTRACTS[schema_id]
    except KeyError:
        raise Broken("unknown-schema", f"No contract has the id {schema_id}; see schemas/avro/ids.csv.") from None


def module_name(name: str) -> str:
    """Return the module under `schemas.events` that holds the models of a family."""
    return name.replace(".", "_")


def model(name: str) -> type[BaseModel]:
    """Return the pydantic model of a family's newest contract, for the doors; imported when first asked for.

    It takes the JSON form (`model_validate_json`, or `model_validate` of parsed JSON) as well as what fastavro decodes.
    """
    chosen = FAMILIES[name]
    found: type[BaseModel] = getattr(import_module(f"schemas.events.{module_name(name)}"), chosen.avsc["name"])
    return found
