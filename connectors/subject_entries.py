"""Entries of the registry: one version of a subject, a contract or a schema of the sandbox."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One version of a subject."""

    subject: str
    version: int
    schema_id: int
    avsc: Any
    deleted: bool = False  # hidden, and only in the sandbox

    @property
    def text(self) -> str:
        """The schema as JSON text, with its docs."""
        return json.dumps(self.avsc, ensure_ascii=False)

    def shown(self) -> dict[str, Any]:
        """Return the entry as the registry shows it."""
        return {"subject": self.subject, "id": self.schema_id, "version": self.version, "schema": self.text}
