"""Answers of the schema registry that are no success, in Confluent's numbers."""

from __future__ import annotations

NO_SUBJECT, NO_VERSION, NO_SCHEMA = 40401, 40402, 40403
NOT_DELETED_SUBJECT, NOT_DELETED_VERSION = 40405, 40407
INCOMPATIBLE, INVALID_SCHEMA, INVALID_VERSION, NOT_PERMITTED = 409, 42201, 42202, 42205


class RegistryError(Exception):
    """An answer of the registry that is not a success."""

    def __init__(self, status: int, code: int, text: str) -> None:
        """`status` is HTTP's, `code` Confluent's `error_code`; `text` says what to do."""
        super().__init__(text)
        self.status = status
        self.code = code


def invalid(rule: str) -> RegistryError:
    """Return the answer to a schema that is none, or none that we take; `rule` says what it must keep."""
    return RegistryError(422, INVALID_SCHEMA, f"Invalid schema: {rule}")
