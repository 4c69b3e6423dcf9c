"""Schema limits: which Avro schemas the registry takes, so that none costs more than its size lets one expect.

A schema comes from a stranger, and both Avro libraries walk it recursively. So what is checked here is bounded first:
text, depth, number of values, lengths of names; then what the schema would do to a reader: recursion, types that grow
when their names are resolved, arrays whose items take no bytes, large defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import avro.schema

from connectors.registry_errors import invalid
from schemas.compatibility import problems
from schemas.contracts import fingerprint

MAX_TEXT = 256 * 1024
"""Characters of a schema at most; a contract has about 11,000."""

MAX_DEPTH = 32
"""JSON values inside each other at most; a contract has 12."""

MAX_VALUES = 10_000
"""JSON values of a schema at most, names of members included; a contract has about 800."""

MAX_NAME = 255
MAX_DOC = 16_384
MAX_TYPES = 1_000
"""Types of a schema at most, counted again wherever a name stands for them."""

MAX_COMPARISONS = 20_000
"""Pairs of types at most that are compared when a schema is held against its like: each branch of a union with all."""

MAX_FIXED = 65_536
MAX_PRECISION = 76
"""Digits of a decimal at most, as many as Arrow and BigQuery know."""

MAX_BRANCHES = 32
MAX_DEFAULT = 100
"""JSON values of a default at most."""

_WIDTHS = {"null": 0, "float": 4, "double": 8} | dict.fromkeys(("boolean", "int", "long", "bytes", "string"), 1)


def parsed(body: bytes) -> Any:
    """Return the Avro schema in a request's body; raises RegistryError 42201."""
    request = _json(body, "The request is not JSON.")
    text = request.get("schema") if isinstance(request, dict) else None
    if not isinstance(text, str) or (request.get("schemaType") or "AVRO") != "AVRO" or request.get("references"):
        raise invalid('expected {"schema": "<Avro schema as JSON text>"}, without references.')
    if len(text) > MAX_TEXT:
        raise invalid(f"it has at most {MAX_TEXT} characters.")
    avsc = _json(text, "its text is not JSON.")
    if isinstance(avsc, list) and not avsc:
        raise invalid("an empty union has no values.")
    _check_json(avsc)
    _Walk().of(avsc, "")
    try:
        fingerprint(avsc)
        avro.schema.parse(json.dumps(avsc))
        problems(avsc, avsc)  # what cannot be compared with itself can be compared with nothing
    except Exception as error:  # two parsers and a comparison, and whatever they raise on hostile text
        raise invalid(f"not Avro ({type(error).__name__}).") from None
    return avsc


def _json(text: str | bytes, rule: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise invalid(rule) from None


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _check_json(top: Any) -> None:
    """Bound depth, number and size of the values; without recursion, for the depth is not known yet."""
    count, level = 0, [top]
    for _ in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_VALUES:
            raise invalid(f"it has at most {MAX_VALUES} values.")
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise invalid(f"its values stand at most {MAX_DEPTH} deep.")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        if any(len(key) > MAX_NAME for key in value):
            raise invalid(f"a name has at most {MAX_NAME} characters.")
        return [*value.values(), *value]
    if isinstance(value, list):
        return value
    if isinstance(value, str) and (len(value) > MAX_DOC or any("\ud800" <= c <= "\udfff" for c in value)):
        raise invalid(f"a text is Unicode and has at most {MAX_DOC} characters.")
    if isinstance(value, int) and value.bit_length() > 64:
        raise invalid("a number has at most 64 bits.")
    return []


@dataclass(frozen=True, slots=True)
class _Type:
    """What counts of a type: how many types it is, names resolved, the fewest bytes of a value, pairs compared."""

    types: int
    width: int
    pairs: int = 1


@dataclass(slots=True)
class _Walk:
    """One walk through a schema whose depth is bounded."""

    known: dict[str, _Type] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def of(self, kind: Any, namespace: str) -> _Type:
        """Return what counts of a type; raises RegistryError where it goes too far."""
        found = self._of(kind, namespace)
        if found.types > MAX_TYPES:
            raise invalid(f"with its names resolved it has at most {MAX_TYPES} types.")
        if found.pairs > MAX_COMPARISONS:
            raise invalid("unions in the branches of unions are too many to be compared.")
        return found

    def _of(self, kind: Any, namespace: str) -> _Type:
        if isinstance(kind, str):
            return self._named(kind, namespace)
        if isinstance(kind, list):
            return self._union(kind, namespace)
        if not isinstance(kind, Mapping):
            raise invalid("a type is a name, an object or an array.")
        for word in ("precision", "scale"):
            _check_size(kind.get(word, 0), MAX_PRECISION, f"a decimal's {word}")
        name = kind.get("type")
        if name == "error":  # the libraries parse it, and fail when it is compared
            raise invalid("an error belongs to a protocol; a schema has records.")
        if name in ("record", "enum", "fixed"):
            return self._defined(kind, namespace)
        if name == "array":
            items = self.of(kind.get("items"), namespace)
            if items.width == 0:
                raise invalid("items of an array take at least one byte, or a few bytes would be millions of them.")
            return _Type(items.types + 1, 1, items.pairs)
        if name == "map":
            values = self.of(kind.get("values"), namespace)
            return _Type(values.types + 1, 1, values.pairs)
        return self.of(name, namespace)

    def _named(self, name: str, namespace: str) -> _Type:
        if name in _WIDTHS:
            return _Type(1, _WIDTHS[name])
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in self.open or name in self.open:
            raise invalid("a type does not contain itself: whoever reads it must know when to stop.")
        found = self.known.get(full) or self.known.get(name)
        if found is None:
            raise invalid("a type that is named is a type of Avro, or was defined before.")
        return found

    def _union(self, branches: list[Any], namespace: str) -> _Type:
        if len(branches) > MAX_BRANCHES:
            raise invalid(f"a union has at most {MAX_BRANCHES} branches.")
        found = [self.of(each, namespace) for each in branches]
        compared = sum(each != "null" for each in branches) * sum(each.pairs for each in found)
        return _Type(1 + sum(each.types for each in found), 1, 1 + compared)

    def _defined(self, kind: Mapping[str, Any], namespace: str) -> _Type:
        space = kind.get("namespace", namespace)
        name = _name(kind)
        if not isinstance(space, str):
            raise invalid("a namespace is a text.")
        full = name if "." in name or not space else f"{space}.{name}"
        if len(full) > MAX_NAME:
            raise invalid(f"a full name has at most {MAX_NAME} characters.")
        self.open.add(full)
        found = self._body(kind, full.rpartition(".")[0])
        self.open.discard(full)
        self.known[full] = found
        return found

    def _body(self, kind: Mapping[str, Any], namespace: str) -> _Type:
        if kind["type"] == "enum":
            return _Type(1, 1)
        if kind["type"] == "fixed":
            _check_size(kind.get("size"), MAX_FIXED, "a fixed type's size")
            return _Type(1, kind["size"])
        types, width, pairs = 1, 0, 1
        fields = kind.get("fields")
        for each in fields if isinstance(fields, list) else ():
            if not isinstance(each, Mapping):
                raise invalid("a field is an object.")
            _name(each)
            if _values(each.get("default")) > MAX_DEFAULT:
                raise invalid(f"a default has at most {MAX_DEFAULT} values.")
            found = self.of(each.get("type"), namespace)
            types, width, pairs = types + found.types, width + found.width, pairs + found.pairs
        return _Type(types, width, pairs)


def _name(named: Mapping[str, Any]) -> str:
    """Return the name of a type or a field; its aliases are names too."""
    names = [named.get("name"), *_listed(named.get("aliases", []))]
    if not all(isinstance(each, str) and len(each) <= MAX_NAME for each in names):
        raise invalid(f"a name, and an alias, is a text of at most {MAX_NAME} characters.")
    return str(names[0])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_size(size: Any, most: int, what: str) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= most:
        raise invalid(f"{what} is a whole number up to {most}.")


def _values(value: Any) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(map(_values, value.values() if isinstance(value, dict) else value))
    return 1
