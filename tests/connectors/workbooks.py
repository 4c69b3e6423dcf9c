"""XLSX workbooks for the tests, written part by part, whole or spoilt."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from xml.sax.saxutils import escape

_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    "</Types>"
)
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # as workbooks count

Value = str | int | float | bool | datetime | None


def sheet(rows: Sequence[Sequence[Value]]) -> str:
    """Return a sheet with these rows; days have style 1, texts stand in their cells."""
    lines = [
        f'<row r="{n}">{"".join(_cell(f"{_letters(c)}{n}", v) for c, v in enumerate(row))}</row>'
        for n, row in enumerate(rows, 1)
    ]
    return f"<worksheet {_MAIN}><sheetData>{''.join(lines)}</sheetData></worksheet>"


def _cell(at: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{at}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        return f'<c r="{at}" s="1"><v>{(value - _EPOCH).total_seconds() / 86400!r}</v></c>'
    if isinstance(value, str):
        return f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{at}"><v>{value!r}</v></c>'


def _letters(column: int) -> str:
    return (chr(64 + column // 26) if column >= 26 else "") + chr(65 + column % 26)


def parts(content: str, **others: str) -> dict[str, str]:
    """Return the parts of a workbook with one sheet; `others`: shared, or a further sheet's name: its state."""
    ways = [("rId1", "worksheet", "worksheets/sheet1.xml"), ("rId2", "styles", "styles.xml")]
    made = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": _relations([("rId1", "officeDocument", "xl/workbook.xml")]),
        "xl/worksheets/sheet1.xml": content,
        "xl/styles.xml": f'<styleSheet {_MAIN}><numFmts><numFmt numFmtId="164" formatCode="dd\\.mm\\.yyyy"/></numFmts>'
        '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs>'
        "</styleSheet>",
    }
    if "shared" in others:
        ways.append(("rId3", "sharedStrings", "/xl/sharedStrings.xml"))
        made["xl/sharedStrings.xml"] = others.pop("shared")
    more = "".join(f'<sheet name="{name}" sheetId="9" state="{state}" r:id="rId1"/>' for name, state in others.items())
    made["xl/_rels/workbook.xml.rels"] = _relations(ways)
    made["xl/workbook.xml"] = (
        f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets><sheet name="Events" sheetId="1" r:id="rId1"/>{more}</sheets>'
        "</workbook>"
    )
    return made


def _relations(ways: Sequence[tuple[str, str, str]]) -> str:
    lines = "".join(f'<Relationship Id="{i}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for i, kind, target in ways)
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{lines}</Relationships>'
    )


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """Return the workbook that has these parts."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return made.getvalue()


def workbook(rows: Sequence[Sequence[Value]]) -> bytes:
    """Return a whole workbook with these rows."""
    return packed(parts(sheet(rows)))
