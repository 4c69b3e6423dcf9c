"""Subjects: under which name of the schema registry each contract is found.

A subject is a Kafka topic with `-value` behind it (Confluent's TopicNameStrategy); every agency that may report a
family has one for it. The versions and ids are those of `schemas/avro/ids.csv`. With a sandbox, clients may add their
own subjects and versions behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.registry_errors import (
    INCOMPATIBLE,
    INVALID_VERSION,
    NO_SCHEMA,
    NO_SUBJECT,
    NO_VERSION,
    NOT_PERMITTED,
    RegistryError,
)
from connectors.sandbox import Sandbox
from connectors.subject_entries import Entry
from schemas.compatibility import logical_differences, problems
from schemas.contracts import CONTRACTS, fingerprint
from schemas.conventions import Convention
from streams.topics import Topics

LATEST = ("latest", "-1")
MAX_SUBJECT = 249 + len("-value")
"""Characters of a subject at most: those of a topic's name, and what stands behind it."""

_GENERATION = 1  # agency topics have the same names in every generation
_CONTEXT = ":.:"
"""Confluent's name for the only context that we have."""


class Subjects:
    """All subjects of a convention, and those of a sandbox where there is one."""

    def __init__(self, convention: Convention, sandbox: Sandbox | None = None) -> None:
        topics = Topics.of(_GENERATION, convention).agency_topics()
        self._contracts: Mapping[str, list[Entry]] = {
            subject: [
                Entry(subject, each.version, each.schema_id, each.avsc)
                for each in sorted(CONTRACTS.values(), key=lambda each: each.version)
                if each.name == family
            ]
            for subject, family in sorted((f"{name}-value", family) for name, (_, family) in topics.items())
        }
        self._sandbox = sandbox

    @property
    def writable(self) -> bool:
        """Whether clients may register schemas."""
        return self._sandbox is not None

    def names(self, *, deleted: bool = False) -> list[str]:
        """Return the subjects in alphabetical order; `deleted`: also those whose versions are all deleted."""
        others = [name for name, gone in self._sandbox.subjects() if deleted or not gone] if self._sandbox else []
        return sorted({*self._contracts, *others})

    def versions(self, subject: str, *, deleted: bool = False) -> list[Entry]:
        """Return a subject's versions, ascending; raises RegistryError 40401 when there are none."""
        found = self._entries(subject, deleted=deleted)
        if not found:
            raise RegistryError(404, NO_SUBJECT, f"Subject '{subject}' not found; GET /subjects lists them.")
        return found

    def entry(self, subject: str, version: str, *, deleted: bool = False) -> Entry:
        """Return one version: a number, `latest` or -1; raises RegistryError 40401, 40402, 42202."""
        entries = self.versions(subject, deleted=deleted)
        if version in LATEST:
            return entries[-1]
        if not (version.isascii() and version.isdecimal() and 0 < int(version[:11]) < 2**31):
            raise RegistryError(422, INVALID_VERSION, "The version is a number from 1, or 'latest'.")
        for each in entries:
            if each.version == int(version):
                return each
        raise RegistryError(404, NO_VERSION, f"Version {version} not found; there are {[e.version for e in entries]}.")

    def schema(self, schema_id: int) -> Any:
        """Return the schema with this id; raises RegistryError 40403."""
        if schema_id in CONTRACTS:
            return CONTRACTS[schema_id].avsc
        found = self._sandbox.schema(schema_id) if self._sandbox and abs(schema_id) < 2**31 else None
        if found is None:
            raise RegistryError(404, NO_SCHEMA, f"Schema {schema_id} not found.")
        return found

    def greatest_id(self) -> int:
        """Return the greatest id of all schemas."""
        return max(*CONTRACTS, self._sandbox.greatest_id() if self._sandbox else 0)

    def with_id(self, schema_id: int, *, deleted: bool = False) -> list[Entry]:
        """Return every subject's versions with this id; raises RegistryError 40403."""
        self.schema(schema_id)
        found = [each for entries in self._contracts.values() for each in entries if each.schema_id == schema_id]
        others = self._sandbox.entries(schema_id=schema_id) if self._sandbox else []
        return found + [each for each in others if deleted or not each.deleted]

    def same(self, subject: str, avsc: Any, *, deleted: bool = False) -> Entry | None:
        """Return the subject's version that equals the schema on the wire; None when there is none."""
        wanted = fingerprint(avsc)
        for entry in self._entries(subject, deleted=deleted):
            # the canonical form drops logical types, so they are compared beside it
            if _fingerprint(entry) == wanted and not logical_differences(entry.avsc, avsc):
                return entry
        return None

    def faults(self, entries: Sequence[Entry], avsc: Any) -> list[str]:
        """Return, in words, why the schema may not follow these versions."""
        return [f"Version {each.version}: {text}" for each in entries for text in problems(each.avsc, avsc)]

    def register(self, subject: str, avsc: Any) -> int:
        """Return the id under which the schema can be written; raises RegistryError 409, 42205.

        A schema that no version equals is incompatible, or, outside a sandbox, waits for review.
        """
        found = self.same(subject, avsc)
        if found is not None:
            return found.schema_id
        entries = self._entries(subject, deleted=True)
        faults = self.faults([each for each in entries if not each.deleted], avsc)
        if faults:
            text = f"The schema is incompatible with the versions before it. {' '.join(faults)}"
            raise RegistryError(409, INCOMPATIBLE, text)
        if self._sandbox is None:
            rule = "contracts are released by review"
            raise RegistryError(422, NOT_PERMITTED, f"Subject '{subject}' is read-only: {rule}.")
        if len(subject) > MAX_SUBJECT or not subject.isprintable():
            raise RegistryError(422, NOT_PERMITTED, f"A subject has at most {MAX_SUBJECT} printable characters.")
        return self._sandbox.add(subject, max((each.version for each in entries), default=0) + 1, avsc)

    def delete(self, subject: str, version: str | None, *, permanent: bool) -> list[int]:
        """Delete a version, or all, of a subject that is only the sandbox's; raises RegistryError, 42205 for others."""
        if self._sandbox is None or subject in self._contracts:
            raise RegistryError(422, NOT_PERMITTED, "The registry is read-only: contracts are released by review.")
        entries = self.versions(subject, deleted=True)
        chosen = entries if version is None else [self.entry(subject, version, deleted=True)]
        return self._sandbox.delete(subject, [each.version for each in chosen], permanent=permanent)

    def _entries(self, subject: str, *, deleted: bool) -> list[Entry]:
        others = self._sandbox.entries(subject) if self._sandbox else []
        return [*self._contracts.get(subject, ()), *(each for each in others if deleted or not each.deleted)]


def _fingerprint(entry: Entry) -> str:
    known = CONTRACTS.get(entry.schema_id)
    return fingerprint(entry.avsc) if known is None else known.fingerprint


def plain(subject: str) -> str:
    """Return a subject without Confluent's name for the only context that we have."""
    return subject.removeprefix(_CONTEXT)
