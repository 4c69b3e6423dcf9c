"""The reference pages: what an event may carry, and what a table is made of; read by `docs/generate.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import schemas
from schemas.contracts import AGENCY, DAY, DROP, FAMILIES, PSEUDONYM, RECORD, Family, Field
from schemas.conventions import Convention, load
from streams.dataflows import DATAFLOWS
from streams.dataflows.definition import Dataflow

CONVENTION = Path(schemas.__file__).parent / "conventions" / "BY.yaml"
_PERSONAL = {
    None: "",
    DROP: "forgotten, once keys are made",
    PSEUDONYM: "becomes a keyed digest",
    RECORD: "becomes the record's id",
}


def events_page() -> str:
    """Return docs/events.md: every event family, field by field, with an example."""
    lines = [
        "# Events",
        "",
        "What an agency may report. The contracts are the files under `schemas/avro/`; this page is made from them by",
        "`make generate`. Header and person are the same in every family and stand here once.",
        "",
        "Instants are ISO 8601 with an offset in JSON and milliseconds since 1970 in Avro. A CANCEL needs neither",
        "person nor event nor `occurred_at`; everything else needs all three, but for the families that are not",
        "about persons: they have none.",
    ]
    first = next(iter(FAMILIES.values()))
    for part in ("header", "person"):
        lines += ["", f"## {part.capitalize()}", "", *_fields(first, part)]
    for family in FAMILIES.values():
        lines += ["", f"## {family.name}", "", *_family(family)]
    return "\n".join(lines) + "\n"


def _family(family: Family) -> list[str]:
    about = f"on one subject ({_names(family.subject)})" if family.subject else "of one person"
    document = ", with the same document," if family.doc_key else ""
    agree = f" that agree in {_names(family.natural_key)}" if family.natural_key else ""
    apart = f" within {family.tolerance_minutes} minutes of each other" if family.tolerance_minutes else ""
    return [
        family.avsc["doc"],
        "",
        f"Schema id {family.schema_id}, version {family.version}. Reports {about}{document}{agree}{apart}",
        "are one happening, whichever agencies send them.",
        "",
        *_fields(family, "event"),
        "",
        *(f"- {rule} (`{rule.code}`)" for rule in family.rules),
        *([""] if family.rules else []),
        "```json",
        json.dumps(family.example, ensure_ascii=False, indent=1),
        "```",
    ]


_OWN = {DAY: "the local day", AGENCY: "the agency"}


def _names(names: Iterable[str]) -> str:
    return ", ".join(_OWN.get(name, f"`{name}`") for name in names)


def families_page() -> str:
    """Return docs/families.md: every event family in one line."""
    convention = load(CONVENTION)
    lines = [
        "# Event families",
        "",
        "What agencies report, and to what end. The contracts (`schemas/avro/`) say most of it, the convention",
        "(`schemas/conventions/BY.yaml`) who reports; where several saw the same, the first one speaks. This page is",
        "made from both by `make generate`. Field by field: [events.md](events.md).",
        "",
        "*One happening*: reports that agree in it are counted once, whichever agencies send them. A table in brackets",
        "is one that the family is meant for and that does not read it yet.",
        "",
        "| id | family | what it says | who reports | about | one happening | feeds |",
        "|---|---|---|---|---|---|---|",
        *(_line(family, convention) for family in FAMILIES.values()),
    ]
    return "\n".join(lines) + "\n"


def _line(family: Family, convention: Convention) -> str:
    reporters = [agency for agency in convention.agencies.values() if family.name in agency.families]
    reporters.sort(key=lambda agency: agency.precedence[family.name])
    key = [_names(family.natural_key) or "once in a life"]
    key += ["same document"] if family.doc_key else []
    key += [f"within {family.tolerance_minutes} min"] if family.tolerance_minutes else []
    cells = (
        str(family.id),
        f"`{family.name}`",
        family.avsc["doc"],
        ", ".join(agency.code for agency in reporters),
        _names(family.subject) or "a person",
        "; ".join(key),
        ", ".join(_tables(family)),
    )
    return "| " + " | ".join(cells) + " |"


def _tables(family: Family) -> list[str]:
    read = {flow.id for flow in DATAFLOWS.values() if family.id in flow.families}
    return [table if table in read else f"({table})" for table in sorted({*read, *family.feeds})]


def _fields(family: Family, part: str) -> list[str]:
    rows = [_field(field, part) for field in family.fields if field.path.startswith(f"{part}.")]
    return ["| field | type | meaning | code list | example | at the door |", "|---|---|---|---|---|---|", *rows]


def _field(field: Field, part: str) -> str:
    name = field.path.removeprefix(f"{part}.")
    kind = f"{field.type}, or null" if field.nullable else field.type
    example = json.dumps(field.example, ensure_ascii=False)
    cells = (f"`{name}`", kind, field.doc, field.codelist or "", f"`{example}`", _PERSONAL[field.personal])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables_page() -> str:
    """Return docs/tables.md: every table, with its dimensions, measures and dates."""
    convention = load(CONVENTION)
    lines = [
        "# Tables",
        "",
        "What the committee gets. The definitions are the modules of `streams/dataflows/`; titles and dates are the",
        "convention's (`schemas/conventions/BY.yaml`). This page is made from both by `make generate`.",
        "",
        "A figure is provisional (OBS_STATUS `P`) until window and late days have passed after its period, then final",
        "(`A`). A later change is published with its own mark.",
    ]
    for flow in DATAFLOWS.values():
        lines += ["", *_table(flow, convention)]
    return "\n".join(lines) + "\n"


def _table(flow: Dataflow, convention: Convention) -> list[str]:
    table = convention.tables[flow.id]
    families = ", ".join(f"`{family.name}`" for family in FAMILIES.values() if family.id in flow.families)
    sure = (
        "" if table.source_confirmed else " These dates are the project's defaults; the recipient has to confirm them."
    )
    return [
        f"## {flow.id}: {table.title['en']}",
        "",
        f"{table.title['ru']} · {table.title['be']}",
        "",
        f"Frequency {flow.freq}. Reads {families}. Due {table.due_days} days after the period; final",
        f"{table.window_days + table.late_days} days after it.{sure}",
        "",
        "| dimension or measure | codes or unit | |",
        "|---|---|---|",
        *(
            f"| {d.id} | {d.codelist or ''} | {'kept inside, summed out' if d.internal else ''} |"
            for d in flow.dimensions
        ),
        *(f"| {m.id} | {m.unit} | measure |" for m in flow.measures),
        *(
            [f"| {flow.net.code} in {flow.net.dimension} | | {flow.net.plus} less {flow.net.minus}, derived |"]
            if flow.net
            else []
        ),
    ]
