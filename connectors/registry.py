"""The schema registry: the contracts over Confluent's HTTP API, so that any Confluent Avro client works unchanged.

Read-only: contracts are files that are released by review. A client that registers the schema it writes with gets the
id of the equal contract; anything else is refused.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from connectors.subjects import RegistryError, Subjects, parsed, text_of
from schemas.conventions import Convention

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
LEVEL = {"compatibilityLevel": "FULL_TRANSITIVE"}
MODE = {"mode": "READONLY"}
MAX_BYTES = 1 << 20
"""Bytes of a request at most; a contract has some 10 kB."""


def create_app(convention: Convention, metrics: CollectorRegistry) -> FastAPI:
    """Return the registry for the agencies of a convention; `metrics` are shown under /metrics."""
    app = FastAPI(title="migex schema registry", description=__doc__, version="7", default_response_class=Response)
    answers = _Answers(Subjects(convention), metrics)
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
GET /subjects names
GET /subjects/{subject}/versions versions
GET /subjects/{subject}/versions/{version} version
GET /subjects/{subject}/versions/{version}/schema version_text
GET /subjects/{subject}/versions/{version}/referencedby references
POST /subjects/{subject} look_up
POST /subjects/{subject}/versions register
DELETE /subjects/{subject} change
DELETE /subjects/{subject}/versions/{version} change
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

    async def names(self, subjectPrefix: str = "") -> Response:
        """List the subjects, or those whose name begins with the prefix."""
        return _json([name for name in self._subjects.names() if name.startswith(subjectPrefix)])

    async def versions(self, subject: str) -> Response:
        """List a subject's versions."""
        return _json([*self._subjects.versions(subject)])

    async def version(self, subject: str, version: str) -> Response:
        """Return one version of a contract with its id."""
        return _json(self._subjects.entry(subject, version).shown())

    async def version_text(self, subject: str, version: str) -> Response:
        """Return one version of a contract, bare."""
        return Response(text_of(self._subjects.entry(subject, version).family), media_type=MEDIA_TYPE)

    async def references(self, subject: str, version: str) -> Response:
        """Return the ids of schemas that refer to this one: none, contracts are self-contained."""
        self._subjects.entry(subject, version)
        return _json([])

    async def look_up(self, subject: str, request: Request) -> Response:
        """Return the version that equals the schema sent."""
        self._subjects.versions(subject)
        found = self._subjects.same(subject, await _schema(request))
        if found is None:
            raise RegistryError(404, 40403, "Schema not found: no version of the subject equals it.")
        return _json(found.shown())

    async def register(self, subject: str, request: Request) -> Response:
        """Return the id of the contract that equals the schema sent; nothing is ever added."""
        avsc = await _schema(request)
        found = self._subjects.same(subject, avsc)
        if found is None:
            raise self._subjects.refusal(subject, avsc)
        return _json({"id": found.family.schema_id})

    async def types(self) -> Response:
        """List the kinds of schemas."""
        return _json(["AVRO"])

    async def contract(self, schema_id: int) -> Response:
        """Return a contract by its id."""
        return _json({"schema": text_of(self._subjects.contract(schema_id))})

    async def contract_text(self, schema_id: int) -> Response:
        """Return a contract by its id, bare."""
        return Response(text_of(self._subjects.contract(schema_id)), media_type=MEDIA_TYPE)

    async def subjects_with_id(self, schema_id: int) -> Response:
        """List the subjects that have this id."""
        return _json([entry.subject for entry in self._subjects.with_id(schema_id)])

    async def versions_with_id(self, schema_id: int) -> Response:
        """List the subjects and versions that have this id."""
        found = self._subjects.with_id(schema_id)
        return _json([{"subject": entry.subject, "version": entry.family.version} for entry in found])

    async def follows(self, subject: str, version: str, request: Request, verbose: bool = False) -> Response:
        """Say whether the schema sent may follow one version."""
        entry = self._subjects.entry(subject, version)
        return _verdict(self._subjects.faults([entry], await _schema(request)), verbose)

    async def follows_all(self, subject: str, request: Request, verbose: bool = False) -> Response:
        """Say whether the schema sent may follow all versions."""
        entries = [*self._subjects.versions(subject).values()]
        return _verdict(self._subjects.faults(entries, await _schema(request)), verbose)

    async def level(self) -> Response:
        """Return the rule of compatibility."""
        return _json(LEVEL)

    async def level_of(self, subject: str) -> Response:
        """Return a subject's rule of compatibility: the registry's."""
        self._subjects.versions(subject)
        return _json(LEVEL)

    async def mode(self) -> Response:
        """Return the mode: read-only."""
        return _json(MODE)

    async def mode_of(self, subject: str) -> Response:
        """Return a subject's mode: the registry's."""
        self._subjects.versions(subject)
        return _json(MODE)

    async def change(self) -> Response:
        """Refuse every change."""
        raise RegistryError(422, 42205, "The registry is read-only: contracts are released by review.")


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, media_type=MEDIA_TYPE)


def _verdict(faults: list[str], verbose: bool) -> Response:
    return _json({"is_compatible": not faults, **({"messages": faults} if verbose else {})})


async def _schema(request: Request) -> dict[str, Any]:
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
