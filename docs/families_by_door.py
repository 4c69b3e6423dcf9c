"""docs/families-by-door.md: which test shows what becomes of a report of each family at each door."""

from __future__ import annotations

from schemas.contracts import FAMILIES

DOORS = ("HTTP", "Kafka", "File")
OUTCOMES = ("accepted", "refused", "duplicate", "corrected", "cancelled")
TEST = "tests/broker/test_families_by_door.py::test_a_report"


def page() -> str:
    """Return the page: a row for each family and door, a column for each outcome, in each cell its test."""
    lines = [
        "# Families by door",
        "",
        "What becomes of a report of every family at every door, on a real Kafka, with the doors as processes:",
        "",
        "- *accepted*: with a receipt, and it speaks.",
        "- *refused*: a code that no list has, where the family has coded text, else an event without its instant;",
        "  with code and field, and nothing but the refusal is kept.",
        "- *duplicate*: sent again with another `recorded_at`; the same receipt, one version, two deliveries.",
        "- *corrected*: the next revision; another receipt, two versions, and the later one speaks.",
        "- *cancelled*: a bare CANCEL; two versions, and the record says nothing any more.",
        "",
        "In all of them the books balance. Each cell names its test, which is one of",
        f"`{TEST}[…]`; this page is made by `make generate`.",
        "",
        f"| family | door | {' | '.join(OUTCOMES)} |",
        f"|---|---|{'---|' * len(OUTCOMES)}",
    ]
    for family in FAMILIES:
        for door in DOORS:
            cells = (f"`{family}-{door}-{outcome}`" for outcome in OUTCOMES)
            lines.append(f"| `{family}` | {door} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
