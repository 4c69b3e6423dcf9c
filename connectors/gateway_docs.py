"""Gateway docs: the contracts in the gateway's OpenAPI page, with an example for each family."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from connectors.reasons import CODES
from schemas.contracts import FAMILIES, model

_VERDICT: dict[str, Any] = {
    "type": "object",
    "description": "The answer to one delivery.",
    "required": ["answer", "record_no", "revision", "receipt", "delivery", "errors", "source"],
    "properties": {
        "answer": {"enum": ["accepted", "refused"]},
        "record_no": {"type": ["string", "null"]},
        "revision": {"type": ["integer", "null"]},
        "receipt": {"type": ["string", "null"], "description": "Proof of an accepted version."},
        "delivery": {"type": "string", "description": "The same for transport repeats of one delivery."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Reason"}},
        "source": {"type": "null", "description": "Of deliveries through Kafka only."},
    },
}
_REASON: dict[str, Any] = {
    "type": "object",
    "description": "Why a value was refused; never the value itself.",
    "required": ["code", "field", "rule", "remedy"],
    "properties": {
        "code": {"enum": sorted(CODES)},
        "field": {"type": "string", "examples": ["event.checkpoint"]},
        "rule": {"type": "string"},
        "remedy": {"type": "string"},
    },
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "description": "The verdicts in the order of the events.",
    "required": ["verdicts", "summary"],
    "properties": {
        "verdicts": {"type": "array", "items": {"$ref": "#/components/schemas/Verdict"}},
        "summary": {
            "type": "object",
            "required": ["accepted", "refused"],
            "properties": {"accepted": {"type": "integer"}, "refused": {"type": "integer"}},
        },
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Reason"}},
    },
}
_KEYS = {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}


def request_body(family: str) -> dict[str, Any]:
    """Return what OpenAPI says about a family's route, with the contract's example."""
    example = FAMILIES[family].example
    event = {"$ref": f"#/components/schemas/{_name(family)}"}
    several = {"type": "array", "items": event}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "security": [{"ApiKey": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string"},
                "description": "Send the same one when you send the same request again: it is then counted once.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [event, several]},
                    "examples": {"one event": {"value": example}, "several events": {"value": [example]}},
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": _answer("The verdicts on an array or on NDJSON.", "Batch"),
            "202": _answer("A single event was accepted.", "Verdict"),
            **{
                status: {"description": text, "content": problem}
                for status, text in (
                    ("401", "No API key of an agency."),
                    ("403", "The agency may not report this family."),
                    ("408", "The body came too slowly."),
                    ("413", "The body is too large, or holds too many events."),
                    ("415", "The body is neither JSON nor NDJSON."),
                    ("422", "A single event, or the body as a whole, was refused."),
                    ("503", "Events cannot be kept now; send the same again after Retry-After."),
                )
            },
        },
    }


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
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _name(family: str) -> str:
    return str(FAMILIES[family].avsc["name"])


def _schemas() -> dict[str, Any]:
    """Return the models of all families; a family's own parts bear its name, for two families may differ in one."""
    schemas: dict[str, Any] = {"Verdict": _VERDICT, "Reason": _REASON, "Batch": _BATCH, "Problem": _PROBLEM}
    for family in FAMILIES:
        name = _name(family)
        described = model(family).model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
        parts = described.pop("$defs", {})
        schemas[name] = described
        schemas |= {f"{name}.{part}": definition for part, definition in parts.items()}
    return schemas
