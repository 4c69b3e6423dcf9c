"""The gateway against its own OpenAPI document: whatever is sent, an answer that the document knows, and no 5xx."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from connectors.rows import CSV, XLSX
from tests.connectors.doors import KEYS, Door

DOOR = Door()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", DOOR.app)
SAMPLE = SCHEMA.exclude(path_regex="^/v1/events/(?!border.crossing)")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
    ignored_auth,
]
"""All but those by which an array with a wrong event must be refused as a whole: ours has a verdict for each."""


@schemathesis.serializer("application/x-ndjson", "application/avro", CSV, XLSX)
def _as_it_is(_: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def _try_out(case: schemathesis.Case[Any], agency: str) -> None:
    case.call_and_validate(checks=CHECKS, headers={"X-API-Key": KEYS[agency]})


@SAMPLE.parametrize()
@settings(max_examples=5, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_knows(case: schemathesis.Case[Any]) -> None:
    _try_out(case, "gpk")


@pytest.mark.long
@SCHEMA.parametrize()
@settings(max_examples=int(os.environ.get("MIGEX_TEST_EXAMPLES", "400")), suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_knows_long(case: schemathesis.Case[Any]) -> None:
    _try_out(case, "mvd")
