"""Subjects: under which name of the schema registry each contract is found.

A subject is a Kafka topic with `-value` behind it (Confluent's TopicNameStrategy); every agency that may report a
family has one for it. The versions and ids are those of `schemas/avro/ids.csv`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import avro.schema

from schemas.compatibility import logical_differences, problems
from schemas.contracts import CONTRACTS, Family, fingerprint
from schemas.conventions import Convention
from streams.topics import Topics

LATEST = "latest"
_GENERATION = 1  # agency topics have the same names in every generation


class RegistryError(Exception):
    """An answer of the registry that is not a success, in Confluent's numbers."""

    def __init__(self, status: int, code: int, text: str) -> None:
        """`status` is HTTP's, `code` Confluent's `error_code`; `text` says what to do."""
        super().__init__(text)
        self.status = status
        self.code = code


class Entry(NamedTuple):
    """One version of a subject."""

    subject: str
    family: Family

    def shown(self) -> dict[str, Any]:
        """Return the entry as the registry shows it."""
        family = self.family
        return {
            "subject": self.subject,
            "id": family.schema_id,
            "version": family.version,
            "schema": text_of(family),
        }


def text_of(family: Family) -> str:
    """Return a contract as JSON text, with its docs."""
    return json.dumps(family.avsc, ensure_ascii=False)


class Subjects:
    """All subjects of a convention, read-only."""

    def __init__(self, convention: Convention) -> None:
        topics = Topics.of(_GENERATION, convention).agency_topics()
        self._versions: Mapping[str, Mapping[int, Entry]] = {
            subject: {each.version: Entry(subject, each) for each in CONTRACTS.values() if each.name == family}
            for subject, family in sorted((f"{name}-value", family) for name, (_, family) in topics.items())
        }

    def names(self) -> list[str]:
        """Return the subjects in alphabetical order."""
        return list(self._versions)

    def versions(self, subject: str) -> Mapping[int, Entry]:
        """Return a subject's entries by version, ascending; raises RegistryError 40401."""
        try:
            return self._versions[subject]
        except KeyError:
            raise RegistryError(404, 40401, f"Subject '{subject}' not found; GET /subjects lists them.") from None

    def entry(self, subject: str, version: str) -> Entry:
        """Return one version: a number, `latest` or -1; raises RegistryError 40401, 40402, 42202."""
        entries = self.versions(subject)
        if version in (LATEST, "-1"):
            return entries[max(entries)]
        if not (version.isascii() and version.isdecimal() and 0 < int(version) < 2**31):
            raise RegistryError(422, 42202, "The version is a number from 1, or 'latest'.")
        if int(version) not in entries:
            raise RegistryError(404, 40402, f"Version {version} not found; the subject has {[*entries]}.")
        return entries[int(version)]

    def contract(self, schema_id: int) -> Family:
        """Return the contract with this id; raises RegistryError 40403."""
        try:
            return CONTRACTS[schema_id]
        except KeyError:
            raise RegistryError(404, 40403, f"Schema {schema_id} not found.") from None

    def with_id(self, schema_id: int) -> list[Entry]:
        """Return every subject's entry with this id; raises RegistryError 40403."""
        self.contract(schema_id)
        return [e for entries in self._versions.values() for e in entries.values() if e.family.schema_id == schema_id]

    def same(self, subject: str, avsc: Mapping[str, Any]) -> Entry | None:
        """Return the subject's version that equals the schema but for words; None when there is none."""
        wanted = fingerprint(avsc)
        for entry in self._versions.get(subject, {}).values():
            # the canonical form drops logical types, so they are compared beside it
            if entry.family.fingerprint == wanted and not logical_differences(entry.family.avsc, avsc):
                return entry
        return None

    def faults(self, entries: list[Entry], avsc: Mapping[str, Any]) -> list[str]:
        """Return, in words, why the schema may not follow these versions."""
        return [
            f"Version {each.family.version}: {text}" for each in entries for text in problems(each.family.avsc, avsc)
        ]

    def refusal(self, subject: str, avsc: Mapping[str, Any]) -> RegistryError:
        """Return why a schema that no version equals is not registered: 409, or 42205 where only review is missing."""
        faults = self.faults(list(self._versions.get(subject, {}).values()), avsc)
        if faults:
            return RegistryError(409, 409, f"The schema is incompatible with the contract. {' '.join(faults)}")
        return RegistryError(422, 42205, f"Subject '{subject}' is read-only: contracts are released by review.")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the Avro record schema in a request's body; raises RegistryError 42201."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryError(422, 42201, "The request is not JSON.") from None
    text = request.get("schema") if isinstance(request, dict) else None
    if not isinstance(text, str) or (request.get("schemaType") or "AVRO") != "AVRO" or request.get("references"):
        raise RegistryError(422, 42201, 'Expected {"schema": "<Avro schema as JSON text>"}, without references.')
    try:
        avsc = json.loads(text)
        fingerprint(avsc)
        avro.schema.parse(text)
    except Exception as error:
        # two parsers, and whatever they raise on hostile text
        raise RegistryError(422, 42201, f"Invalid schema: not Avro ({type(error).__name__}).") from None
    if not isinstance(avsc, dict) or avsc.get("type") != "record":
        raise RegistryError(422, 42201, "Invalid schema: a contract is an Avro record.")
    return avsc
