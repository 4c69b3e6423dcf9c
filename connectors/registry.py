"""The schema registry: the contracts over Confluent's HTTP API, so that any Confluent Avro client works unchanged.

Read-only: contracts are files that are released by review. A client that registers the schema it writes with gets the
id of the equal contract; anything else is refused. Only in a sandbox are further schemas taken, under ids of their own.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from connectors.registry_errors import NO_SCHEMA, NO_VERSION, NOT_PERMITTED, RegistryError
from connectors.sandbox import Sandbox
from connectors.schema_limits import parsed
from connectors.subject_entries import Entry
from connectors.subjects import Subjects, plain
from schemas.conventions import Convention

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
LEVEL = {"compatibilityLevel": "FULL_TRANSITIVE"}
API_VERSION = "7.9.0"
"""The version of Confluent's registry whose API this is; some clients look."""

CLUSTER = {"scope": {"path": [], "clusters": {"kafka-cluster": "migex", "schema-registry-cluster": "migex"}}}
T = TypeVar("T")

MAX_BYTES = 1 << 20
"""Bytes of a request at most; a contract has some 20 kB."""


def create_app(convention: Convention, metrics: CollectorRegistry, sandbox: Sandbox | None = None) -> FastAPI:
    """Return the registry for the agencies of a convention; `metrics` are shown under /metrics."""
    app = FastAPI(title="migex schema registry", description=__doc__, version="7", default_response_class=Response)
    answers = _Answers(Subjects(convention, sandbox), metrics)
    for route in _ROUTES:
        method, path, name = route.split()
        app.add_api_route(path, getattr(answers, name), methods=[method])
    for kind, answer in ((RegistryError, _ours), (HTTPException, _http), (RequestValidationError, _parameter)):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, _unexpected)
    return app


_ROUTES = """
GET / root
GET /health health
GET /metrics numbers
GET /contexts contexts
GET /v1/metadata/id cluster
GET /v1/metadata/version release
GET /subjects names
GET /subjects/{subject}/metadata by_metadata
GET /subjects/{subject}/versions versions
GET /subjects/{subject}/versions/{version} version
GET /subjects/{subject}/versions/{version}/schema version_text
GET /subjects/{subject}/versions/{version}/referencedby references
POST /subjects/{subject} look_up
POST /subjects/{subject}/versions register
DELETE /subjects/{subject} forget
DELETE /subjects/{subject}/versions/{version} forget_version
GET /schemas schemas
GET /schemas/types types
GET /schemas/ids/{schema_id} contract
GET /schemas/ids/{schema_id}/schema contract_text
GET /schemas/ids/{schema_id}/subjects subjects_with_id
GET /schemas/ids/{schema_id}/versions versions_with_id
POST /compatibility/subjects/{subject}/versions follows_all
POST /compatibility/subjects/{subject}/versions/{version} follows
GET /config level
PUT /config change
DELETE /config change
GET /config/{subject} level_of
PUT /config/{subject} change
DELETE /config/{subject} change
GET /mode mode
PUT /mode change
GET /mode/{subject} mode_of
PUT /mode/{subject} change
DELETE /mode/{subject} change
""".strip().splitlines()
"""Method, path and answer of everything the registry knows; any other path is 404 in JSON."""


class _Answers:
    def __init__(self, subjects: Subjects, metrics: CollectorRegistry) -> None:
        self._subjects = subjects
        self._metrics = metrics

    async def root(self) -> Response:
        """Say that this is a registry."""
        return _json({})

    async def health(self) -> Response:
        """Say that the contracts are loaded."""
        return _json({"status": "up"})

    async def numbers(self) -> Response:
        """Return the process's metrics for Prometheus."""
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)

    async def contexts(self) -> Response:
        """List the contexts: the one without a name."""
        return _json(["."])

    async def cluster(self) -> Response:
        """Say whose registry this is."""
        return _json(CLUSTER)

    async def release(self) -> Response:
        """Say which API this is."""
        return _json({"version": API_VERSION, "commitId": ""})

    async def names(
        self,
        subjectPrefix: str = "",
        deleted: bool = False,
        deletedOnly: bool = False,
        offset: int = 0,
        limit: int = -1,
    ) -> Response:
        """List the subjects, or those whose name begins with the prefix."""
        named = self._subjects.names(deleted=deleted or deletedOnly)
        if deletedOnly:
            named = sorted(set(named) - set(self._subjects.names()))
        return _json(_page([name for name in named if name.startswith(plain(subjectPrefix))], offset, limit))

    async def schemas(
        self, subjectPrefix: str = "", deleted: bool = False, latestOnly: bool = False, offset: int = 0, limit: int = -1
    ) -> Response:
        """List all versions of all subjects with their schemas."""
        found: list[Entry] = []
        for name in self._subjects.names(deleted=deleted):
            if name.startswith(plain(subjectPrefix)):
                found += self._subjects.versions(name, deleted=deleted)[-1 if latestOnly else 0 :]
        return _json([each.shown() for each in _page(found, offset, limit)])

    async def versions(
        self, subject: str, deleted: bool = False, deletedOnly: bool = False, offset: int = 0, limit: int = -1
    ) -> Response:
        """List a subject's versions."""
        found = self._subjects.versions(plain(subject), deleted=deleted or deletedOnly)
        return _json(_page([e.version for e in found if e.deleted or not deletedOnly], offset, limit))

    async def version(self, subject: str, version: str, deleted: bool = False) -> Response:
        """Return one version of a schema with its id."""
        return _json(self._subjects.entry(plain(subject), version, deleted=deleted).shown())

    async def version_text(self, subject: str, version: str, deleted: bool = False) -> Response:
        """Return one version of a schema, bare."""
        return _text(self._subjects.entry(plain(subject), version, deleted=deleted).text)

    async def by_metadata(self, subject: str) -> Response:
        """Find no version by metadata: contracts have none but their docs."""
        self._subjects.versions(plain(subject))
        raise RegistryError(404, NO_VERSION, "No version of the subject has metadata.")

    async def references(self, subject: str, version: str) -> Response:
        """Return the ids of schemas that refer to this one: none, schemas are self-contained."""
        self._subjects.entry(plain(subject), version)
        return _json([])

    async def look_up(self, subject: str, request: Request, deleted: bool = False) -> Response:
        """Return the version that equals the schema sent."""
        self._subjects.versions(plain(subject), deleted=deleted)
        found = self._subjects.same(plain(subject), await _schema(request), deleted=deleted)
        if found is None:
            raise RegistryError(404, NO_SCHEMA, "Schema not found: no version of the subject equals it.")
        return _json(found.shown())

    async def register(self, subject: str, request: Request) -> Response:
        """Return the id of the version that equals the schema sent; a sandbox may add one."""
        return _json({"id": self._subjects.register(plain(subject), await _schema(request))})

    async def forget(self, subject: str, permanent: bool = False) -> Response:
        """Delete a subject of the sandbox."""
        return _json(self._subjects.delete(plain(subject), None, permanent=permanent))

    async def forget_version(self, subject: str, version: str, permanent: bool = False) -> Response:
        """Delete a version of a subject of the sandbox."""
        return _json(self._subjects.delete(plain(subject), version, permanent=permanent)[0])

    async def types(self) -> Response:
        """List the kinds of schemas."""
        return _json(["AVRO"])

    async def contract(self, schema_id: int, fetchMaxId: bool = False) -> Response:
        """Return a schema by its id."""
        most = {"maxId": self._subjects.greatest_id()} if fetchMaxId else {}
        return _json({"schema": json.dumps(self._subjects.schema(schema_id), ensure_ascii=False), **most})

    async def contract_text(self, schema_id: int) -> Response:
        """Return a schema by its id, bare."""
        return _text(json.dumps(self._subjects.schema(schema_id), ensure_ascii=False))

    async def subjects_with_id(
        self, schema_id: int, deleted: bool = False, offset: int = 0, limit: int = -1
    ) -> Response:
        """List the subjects that have this id."""
        found = self._subjects.with_id(schema_id, deleted=deleted)
        return _json(_page(list(dict.fromkeys(entry.subject for entry in found)), offset, limit))

    async def versions_with_id(
        self, schema_id: int, deleted: bool = False, offset: int = 0, limit: int = -1
    ) -> Response:
        """List the subjects and versions that have this id."""
        found = _page(self._subjects.with_id(schema_id, deleted=deleted), offset, limit)
        return _json([{"subject": entry.subject, "version": entry.version} for entry in found])

    async def follows(self, subject: str, version: str, request: Request, verbose: bool = False) -> Response:
        """Say whether the schema sent may follow one version."""
        entry = self._subjects.entry(plain(subject), version)
        return _verdict(self._subjects.faults([entry], await _schema(request)), verbose)

    async def follows_all(self, subject: str, request: Request, verbose: bool = False) -> Response:
        """Say whether the schema sent may follow all versions."""
        entries = self._subjects.versions(plain(subject))
        return _verdict(self._subjects.faults(entries, await _schema(request)), verbose)

    async def level(self) -> Response:
        """Return the rule of compatibility."""
        return _json(LEVEL)

    async def level_of(self, subject: str) -> Response:
        """Return a subject's rule of compatibility: the registry's."""
        self._subjects.versions(plain(subject))
        return _json(LEVEL)

    async def mode(self) -> Response:
        """Return the mode: read-only, but for a sandbox."""
        return _json({"mode": "READWRITE" if self._subjects.writable else "READONLY"})

    async def mode_of(self, subject: str) -> Response:
        """Return a subject's mode: the registry's."""
        self._subjects.versions(plain(subject))
        return await self.mode()

    async def change(self) -> Response:
        """Refuse every change of rules."""
        raise RegistryError(422, NOT_PERMITTED, "The rule and the mode of the registry are fixed: FULL_TRANSITIVE.")


def _page(found: list[T], offset: int, limit: int) -> list[T]:
    """Return the part of a list that is asked for; a negative limit means no limit."""
    rest = found[max(offset, 0) :]
    return rest if limit < 0 else rest[:limit]


def _text(schema: str) -> Response:
    return Response(schema, media_type=MEDIA_TYPE)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, media_type=MEDIA_TYPE)


def _verdict(faults: list[str], verbose: bool) -> Response:
    return _json({"is_compatible": not faults, **({"messages": faults} if verbose else {})})


async def _schema(request: Request) -> Any:
    """Return the schema that a request carries; raises RegistryError 413, 42201."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BYTES:
            raise RegistryError(413, 413, f"A request has at most {MAX_BYTES} bytes.")
    return parsed(bytes(received))


def _told(status: int, code: int, text: str) -> Response:
    return _json({"error_code": code, "message": text}, status)


async def _ours(_: Request, error: Exception) -> Response:
    return _told(getattr(error, "status", 500), getattr(error, "code", 50001), str(error))


async def _http(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    return _told(status, status, f"HTTP {status} {getattr(error, 'detail', '')}")


async def _parameter(_: Request, error: Exception) -> Response:
    return _told(422, 422, "A parameter of the address is of another type: an id is a number, verbose true or false.")


async def _unexpected(_: Request, error: Exception) -> Response:
    return _told(500, 50001, "The registry failed; its log says why.")
