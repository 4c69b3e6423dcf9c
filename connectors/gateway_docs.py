"""Gateway docs: the contracts in the gateway's OpenAPI page, with an example for each family."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from connectors.avro_file import AVRO
from connectors.batch import JSON, NDJSON
from connectors.callers import HEADER
from connectors.error_catalogue import catalogue
from connectors.fate_docs import SCHEMAS
from connectors.openapi_parts import LANGUAGE, SECURITY, failures, ref
from schemas.contracts import FAMILIES, model

_VERDICT: dict[str, Any] = {
    "type": "object",
    "description": "The answer to one delivery.",
    "required": ["answer", "record_no", "revision", "receipt", "delivery", "errors", "source"],
    "properties": {
        "answer": {"enum": ["accepted", "refused"]},
        "record_no": {"type": ["string", "null"]},
        "revision": {"type": ["integer", "null"]},
        "receipt": {
            "type": ["string", "null"],
            "description": "Proof of an accepted version; `GET /v1/receipts/{receipt}` says what became of it.",
        },
        "delivery": {"type": "string", "description": "The same for transport repeats of one delivery."},
        "errors": {"type": "array", "items": ref("Reason")},
        "source": {"type": "null", "description": "Of deliveries through Kafka only."},
    },
}
_REASON: dict[str, Any] = {
    "type": "object",
    "description": "Why a value was refused; never the value itself.",
    "required": ["code", "field", "rule", "remedy", "listed"],
    "properties": {
        "code": {"enum": sorted(catalogue()), "description": "`GET /v1/errors/{code}` explains it."},
        "field": {"type": "string", "examples": ["event.checkpoint"]},
        "rule": {"type": "string", "description": "What must hold, in the language of Accept-Language."},
        "remedy": {"type": "string", "description": "What to do, in the language of Accept-Language."},
        "listed": {
            "type": ["object", "null"],
            "description": "The code list that refused: its name, its edition, and the day for which it was asked.",
            "required": ["list", "version", "day"],
            "properties": {
                "list": {"type": "string"},
                "version": {"type": "string"},
                "day": {"type": ["string", "null"], "format": "date"},
            },
        },
    },
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "description": "The verdicts in the order of the events.",
    "required": ["verdicts", "summary"],
    "properties": {
        "verdicts": {"type": "array", "items": ref("Verdict")},
        "summary": {
            "type": "object",
            "required": ["accepted", "refused", "codes"],
            "properties": {
                "accepted": {"type": "integer"},
                "refused": {"type": "integer"},
                "codes": {
                    "type": "object",
                    "description": "How many of the refused events have a reason of this code.",
                    "additionalProperties": {"type": "integer"},
                },
            },
        },
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "The address of the page that explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": ref("Reason")},
    },
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "What an error code means.",
    "required": ["code", "status", "meaning", "remedy"],
    "properties": {
        "code": {"type": "string"},
        "status": {"type": ["integer", "null"], "description": "Of a request that fails as a whole by it."},
        "meaning": {"type": "string"},
        "remedy": {"type": "string"},
    },
}
_KEYS = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": HEADER},
    "Certificate": {"type": "mutualTLS", "description": "Where the gateway is set up for client certificates."},
}
_FAILURES = {
    400: "The request is not whole.",
    401: "Neither an API key nor a certificate of an agency. Nothing was counted.",
    403: "The agency may not report this family.",
    408: "The body came too slowly. Nothing was counted.",
    413: "The body is too large when unpacked, or holds too many events.",
    415: "The body's type or packing is none that the gateway reads.",
    422: "A single event, or the body as a whole, was refused.",
    429: "The agency's quota is used up for now. Nothing was counted; send the same again after Retry-After.",
    500: "The gateway failed by its own fault. Nothing was said to be accepted.",
    503: "Events cannot be kept now. Nothing was said to be accepted; send the same again after Retry-After.",
}
_PARAMETERS = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Send the same one when you send the same request again: it is then counted once.",
        "schema": {"type": "string"},
    },
    {
        "name": "Content-Encoding",
        "in": "header",
        "description": "How the body is packed.",
        "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
    },
    LANGUAGE,
)


def request_body(family: str) -> dict[str, Any]:
    """Return what OpenAPI says about a family's route, with the contract's example."""
    example = FAMILIES[family].example
    event = ref(_name(family))
    several = {"type": "array", "items": event}
    return {
        "security": SECURITY,
        "parameters": list(_PARAMETERS),
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {"anyOf": [event, several]},
                    "examples": {"one event": {"value": example}, "several events": {"value": [example]}},
                },
                NDJSON: {"schema": {"type": "string", "description": "One event a line."}},
                AVRO: {"schema": {"type": "string", "format": "binary", "description": "Object container file."}},
            },
        },
        "responses": {
            "200": _answer("The verdicts on an array, NDJSON or an Avro file, in the order of the events.", "Batch"),
            "202": _answer("A single event was accepted.", "Verdict"),
            **{str(status): told for status, told in failures(_FAILURES).items()},
        },
    }


def ready_answers(path: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about the answers of /health and /ready."""
    up: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {"schema": {"type": "object"}}}}}
    return up if path == "/health" else up | failures({503: "Events cannot be kept now."})


def describe(app: FastAPI) -> None:
    """Make the app's OpenAPI document tell the contracts' models too."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            parts = document.setdefault("components", {})
            parts["securitySchemes"] = _KEYS
            parts["schemas"] = parts.get("schemas", {}) | _schemas()
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _answer(text: str, name: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": ref(name)}}}


def _name(family: str) -> str:
    return str(FAMILIES[family].avsc["name"])


def _schemas() -> dict[str, Any]:
    """Return the models of all families; a family's own parts bear its name, for two families may differ in one."""
    schemas: dict[str, Any] = {"Verdict": _VERDICT, "Reason": _REASON, "Batch": _BATCH}
    schemas |= {"Problem": _PROBLEM, "Error": _ERROR, **SCHEMAS}
    for family in FAMILIES:
        name = _name(family)
        described = model(family).model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
        parts = described.pop("$defs", {})
        schemas[name] = described
        schemas |= {f"{name}.{part}": definition for part, definition in parts.items()}
    return schemas
