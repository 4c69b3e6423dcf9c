"""JSON forms of a contract: the list of all, code lists, and JSON Schema with the codes of one day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.contract_pages.telling import Telling
from schemas.contracts import Family, Field
from schemas.generate import json_schema as plain_json_schema

_ROW = ("code", "label_ru", "label_be", "label_en", "valid_from", "valid_to", "source", "source_confirmed")


def entry(family: Family, telling: Telling, forms: Iterable[str]) -> dict[str, Any]:
    """Return one line of the list of contracts; `forms` are the formats in which it can be had."""
    path = f"/v1/contracts/{family.name}/{family.version}"
    return {
        "family": family.name,
        "version": family.version,
        "schema_id": family.schema_id,
        "fingerprint": family.fingerprint,
        "title": telling.doc(family.avsc["doc"]),
        "agencies": [code for code, a in telling.convention.agencies.items() if family.name in a.families],
        "links": {form: f"{path}?format={form}" for form in forms},
    }


def code_lists(family: Family, telling: Telling) -> dict[str, Any]:
    """Return the codes that hold on the day, list by list, with labels, validity and source."""
    lists = {
        each.name: [
            {name: row[name] == "true" if name == "source_confirmed" else row[name] or None for name in _ROW}
            for row in each.rows_on(telling.at)
        ]
        for each in telling.lists_of(family)
    }
    return {"family": family.name, "version": family.version, "at": telling.at.isoformat(), "lists": lists}


def json_schema(family: Family, telling: Telling) -> dict[str, Any]:
    """Return the contract as JSON Schema (draft 2020-12): with codes of the day, and words in the language."""
    schema = plain_json_schema(family.avsc)
    definitions = schema["$defs"]
    schema["description"] = telling.doc(family.avsc["doc"])
    _tell(schema, telling)
    for definition in definitions.values():
        _tell(definition, telling)
    for field in family.fields:
        if field.codelist:
            *owners, name = field.path.split(".")
            place = _place(_owner(schema, owners)["properties"][name])
            place["$ref"] = f"#/$defs/{_codes(definitions, field, telling)}"
    parts = [part["name"] for part in family.avsc["fields"] if "default" in part]
    return {**schema, **_unless_cancelled(parts)}


def _tell(definition: dict[str, Any], telling: Telling) -> None:
    """Put what the record and its fields mean into the language; our generator's own attribute goes."""
    definition["description"] = telling.doc(definition["description"])
    for value in definition["properties"].values():
        value["description"] = telling.doc(value["description"])
        for each in (value, *value.get("anyOf", ())):
            each.pop("customTypePath", None)


def _owner(schema: Mapping[str, Any], names: Iterable[str]) -> Any:
    owner: Any = schema
    for name in names:
        value = owner["properties"][name]
        branches = value.get("anyOf", (value,))
        ref = next(each["$ref"] for each in branches if "$ref" in each)
        owner = schema["$defs"][ref.rpartition("/")[2]]
    return owner


def _place(value: dict[str, Any]) -> dict[str, Any]:
    """Return where a value's code list is named: at its elements, or beside null."""
    items: dict[str, Any] = value.get("items", value)
    if items is value and isinstance(value["type"], list):
        kind: dict[str, Any] = {}
        value["anyOf"] = [kind, {"type": "null"}]
        return kind
    return items


def _codes(definitions: dict[str, Any], field: Field, telling: Telling) -> str:
    """Define the codes of a field's list, and return the definition's name."""
    name = str(field.codelist)
    codes = telling.lists[name].codes(telling.at)
    whole = field.type in ("int", "long")
    definitions[f"codes.{name}"] = {
        "title": name,
        "description": telling.word("codes", date=telling.at.isoformat()),
        "enum": [int(code) if whole else code for code in codes],
    }
    return f"codes.{name}"


def _unless_cancelled(parts: Iterable[str]) -> dict[str, Any]:
    """Return what only a CANCEL may lack: the parts, and when it happened."""
    cancelled = {"properties": {"header": {"properties": {"op": {"const": "CANCEL"}}, "required": ["op"]}}}
    parts = list(parts)
    whole = {
        "required": parts,
        "properties": {
            "header": {"required": ["occurred_at"], "properties": {"occurred_at": {"type": "string"}}},
            **{part: {"type": "object"} for part in parts},
        },
    }
    return {"if": cancelled, "then": {}, "else": whole}
