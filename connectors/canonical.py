"""Canonical form: the bytes that two deliveries share exactly when they say the same.

The form outlives every change of a contract, for old deliveries must be recognised for ever (law L1): fields at their
default are left out, so that a field added with a default changes no old event; instants are ms since 1970, days
ISO 8601; names are sorted. Not in it: recorded_at and revision.
"""

from __future__ import annotations

import orjson

from connectors.places import Parts
from connectors.plan import Plan


def canonical(plan: Plan, parts: Parts) -> bytes:
    """Return the canonical form of an event whose shape is right."""
    said = {
        part.prefix: {name: value for name, default in part.content if (value := values[name]) != default}
        for part, values in zip(plan.parts, parts, strict=True)
        if values is not None and part.content
    }
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
