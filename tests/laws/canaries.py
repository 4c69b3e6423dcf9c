"""Canaries: identities that exist nowhere else, so that one finds them wherever they should not be.

Every text that a contract marks as personal carries a stem by which it is found again in any of the forms in which a
program might keep it; record numbers are the agency's own names for its papers, and come back in verdicts.
"""

from __future__ import annotations

import copy
import csv
import json
import re
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import fastavro
import orjson
from rocksdict import AccessType, Options, Rdict

from connectors import confluent
from connectors.outbox.database import Database, definition
from schemas import conventions, phonetics
from schemas.contracts import FAMILIES, Family, Field
from tests.connectors.events import event
from tests.connectors.test_rows import flat, text
from tests.connectors.workbooks import workbook

STEMS = ("Zqxjkv", "Щъыжэю", "773041955")
"""By which letters of both alphabets and digits are found; in no word of ours, and too long to come by chance."""

_KEPT = {"header.record_no"}
_BARE = {"person.document.number", "person.personal_no"}


class Canary(NamedTuple):
    """One event of one identity."""

    agency: str
    family: str
    said: dict[str, Any]  # as an agency says it; the broken ones are not as the contract wants it
    cut_short: bool = False  # its bytes end too early

    def json(self) -> bytes:
        """Return the event as an agency would send it over HTTP."""
        return orjson.dumps(self.said)[: -7 if self.cut_short else None]

    def message(self) -> bytes:
        """Return the event as an agency would send it over Kafka; where Avro has no room for it, what fits."""
        try:
            value = confluent.encode(FAMILIES[self.family], self.said)
        except Exception:  # of a type that no Avro writer takes: a careless sender's bytes instead
            value = confluent.encode(FAMILIES[self.family], event(self.family)) + self.json()
        return value[: -7 if self.cut_short else None]


def canaries(count: int, agencies: tuple[str, ...], door: str) -> Iterator[Canary]:
    """Yield two events of each identity, of all families in turn: one that is right, and one that is broken."""
    entitled = conventions.load().agencies
    ways = [(agency, family) for agency in agencies for family in FAMILIES if family in entitled[agency].families]
    for number in range(count):
        agency, family = ways[number % len(ways)]
        said = event(family, header__record_no=f"{door}-{number}")
        _mark(FAMILIES[family], said, number)
        yield Canary(agency, family, said)
        yield _broken(agency, family, said, number)


def _mark(family: Family, said: dict[str, Any], number: int) -> None:
    for field in family.fields:
        if field.personal and field.type == "string" and field.path not in _KEPT:
            owner = _owner(said, field)
            if owner is not None:  # a machine-readable zone would have to say the same, check digits and all
                owner[field.name] = None if field.name == "mrz" else _text(field, number)


def _owner(said: dict[str, Any], field: Field) -> dict[str, Any] | None:
    place: Any = said
    for name in field.path.split(".")[:-1]:
        place = place.get(name) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else None


def _text(field: Field, number: int) -> str:
    letters = "".join(chr(ord("A") + number // 26**place % 26) for place in range(3))
    others = "".join("абвгдежзик"[number // 10**place % 10] for place in range(4))
    if field.path in _BARE and number % 3 == 0:
        return f"{STEMS[2]}{number:06d}"
    if re.search("no$|number$", field.name):
        return f"{STEMS[0].upper()}{number:06d}"
    return f"{STEMS[1]}{others}" if number % 2 else f"{STEMS[0]}{letters}"


def _broken(agency: str, family: str, said: dict[str, Any], number: int) -> Canary:
    """Return the event with one of many faults, each with a canary in it."""
    broken = copy.deepcopy(said)
    broken["header"]["record_no"] += "-broken"
    personal = [
        f for f in FAMILIES[family].fields if f.personal and f.path not in _KEPT and _owner(broken, f) is not None
    ]
    field = personal[number // 7 % len(personal)] if personal else None
    owner = _owner(broken, field) if field else broken["header"]
    name = field.name if field else "recorded_at"
    assert owner is not None
    text = f"{STEMS[number % 2]}{number}"
    fault = number % 7
    if fault == 0:
        owner[name] = [text]
    elif fault == 1:
        owner[name] = text * 60
    elif fault == 2:
        owner[text] = text  # a field that there is not
    elif fault == 3:
        coded = next(f for f in FAMILIES[family].fields if f.codelist and f.path.startswith("event."))
        broken["event"][coded.name] = text  # a free text that is no person's stays as it is: no licence's number here
    elif fault == 4:
        broken["header"]["op"] = text
    elif fault == 5:
        owner[name] = {text: text}
    return Canary(agency, family, broken, cut_short=fault == 6)


def of_each_family(sent: Sequence[Canary]) -> Iterator[tuple[str, str, list[Canary]]]:
    """Yield each agency and family with their events."""
    for agency, family in sorted({(each.agency, each.family) for each in sent}):
        yield agency, family, [each for each in sent if (each.agency, each.family) == (agency, family)]


def avro_file(family: str, sent: Sequence[Canary]) -> bytes:
    """Return the events of a family as an Avro object container file, without those that no Avro writer takes."""
    contract, out = FAMILIES[family], BytesIO()
    taken = []
    for each in sent:
        try:
            said = confluent.with_times(contract, each.said)
            fastavro.schemaless_writer(BytesIO(), contract.schema, said)
        except Exception:  # of a type that it does not write
            continue
        taken.append(said)
    fastavro.writer(out, contract.avsc, taken, codec="deflate")
    return out.getvalue()


def dropped(family: str, sent: Sequence[Canary]) -> dict[str, bytes]:
    """Return the events of a family as an agency's files of every kind, by name; some are broken as a whole.

    `all` in a name: with the rows that have a column which the contract does not know, so that nobody reads the file.
    """
    known = {field.path for field in FAMILIES[family].fields}
    cells = [{path: value for path, value in flat(each.said).items() if value is not None} for each in sent]
    tables = {"right": [each for each in cells if each.keys() <= known], "all": cells}
    lines = b"\n".join(each.json() for each in sent)
    files = {"events.jsonl": lines, "events.avro": avro_file(family, sent), "wrong.docx": lines,
             "events.json": b"[" + b",".join(each.json() for each in sent if not each.cut_short) + b"]",
             f"{STEMS[1]}.json": b"[" + lines}  # fmt: skip
    for name, rows in tables.items():
        titles = [*dict.fromkeys(title for row in rows for title in row)]
        made = [titles, *([text(row.get(title)) for title in titles] for row in rows)]
        files[f"{name}.csv"] = _csv(made, ",").encode()
        files[f"{name}-1251.csv"] = _csv(made, ";").encode("cp1251")
        files[f"{name}.xlsx"] = workbook(made)
    files["torn.csv"] = files["right.csv"] + f'"{STEMS[0]}'.encode()  # a text that does not end
    files |= {f"torn-{name}": files[name][:-20] for name in ("events.avro", "right.xlsx")}
    return files


def _csv(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    made = StringIO(newline="")
    csv.writer(made, delimiter=delimiter).writerows(rows)
    return made.getvalue()


def drop(root: Path, sent: Sequence[Canary]) -> dict[Path, bytes]:
    """Drop the events into the agencies' folders as files of every kind; return each by the folder it comes back in."""
    back = {}
    for agency, family, own in of_each_family(sent):
        for name, content in dropped(family, own).items():
            waiting = root / agency / "in" / family / name
            part = waiting.with_name(f"{name}.part")
            part.write_bytes(content)
            part.rename(waiting)
            failed = name.startswith(("torn", "all", "wrong", STEMS[1]))
            back[root / agency / ("failed" if failed else "done") / family / name] = content
    return back


def given_back(root: Path, back: Mapping[Path, bytes]) -> list[bytes]:
    """Return all that lies in the agencies' folders and is not, byte for byte, what this agency dropped itself.

    A file that is called after somebody is called so in its own summary, and nowhere else.
    """
    told = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or (path.name == path.parent.name and back.get(path.parent) == path.read_bytes()):
            continue
        named = path.parent.name.encode() if path.name == "summary.json" and path.parent in back else None
        told.append(path.read_bytes().replace(named, b"") if named else path.read_bytes())
    return told


def fill_outbox(database: Database, sent: Sequence[Canary]) -> None:
    """Make the outbox in a file of SQLite, and write the events into it."""
    with sqlite3.connect(str(database.engine.url.database)) as writer:
        writer.executescript(definition("sqlite"))
        rows = [(each.family, each.json().decode(errors="replace")) for each in sent]
        writer.executemany("INSERT INTO migex_outbox (family, event) VALUES (?, ?)", rows)
    writer.close()


def told_by_outbox(database: Database) -> list[bytes]:
    """Return all that the poller has written beside the events."""
    with closing(sqlite3.connect(str(database.engine.url.database))) as held:
        told = held.execute("SELECT answer, verdict, batch FROM migex_outbox").fetchall()
        return [_row(each) for each in (*told, *held.execute("SELECT * FROM migex_outbox_poller"))]


def _forms(stem: str) -> Iterator[bytes]:
    """Yield how a text may be kept: in several encodings, escaped, in base64, and as names are compared."""
    for form in {stem, stem.lower(), stem.upper()}:
        plain = form.encode()
        yield from (
            plain,
            form.encode("utf-16-le"),
            form.encode("utf-16-be"),
            form.encode("cp1251"),
            plain.hex().encode(),
            quote(form).encode(),
            quote(form).lower().encode(),
            repr(plain)[2:-1].encode(),
        )
        for escaped in (form.encode("ascii", "backslashreplace"), json.dumps(form)[1:-1].upper().encode()):
            yield escaped.replace(b"\\U", b"\\u")
        for shift in range(3):  # where it begins in a group of three bytes; its ends depend on what is beside it
            coded = b64encode(bytes(shift) + plain)
            inner = coded[-(-8 * shift // 6) : 8 * (shift + len(plain)) // 6]
            yield from (inner, inner.replace(b"+", b"-").replace(b"/", b"_"))
    for word in phonetics.words(stem):
        yield from (word.encode(), word.lower().encode(), phonetics.sounds(word).encode())


_BY_CHANCE = 5
"""Bytes that may well stand together by chance among millions of random ones."""

_FORMS = {form for stem in STEMS for form in _forms(stem) if len(form) > _BY_CHANCE}
_FOUND = re.compile(b"|".join(map(re.escape, sorted(_FORMS))))


def found(where: bytes) -> str | None:
    """Return the form in which a canary is in some bytes, for whoever looks for the leak; None: there is none."""
    seen = _FOUND.search(where)
    return None if seen is None else f"{seen[0]!r} in …{where[max(seen.start() - 60, 0) : seen.end() + 20]!r}"


def files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file below a directory."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()


def planted(directory: Path, text: bytes) -> set[str]:
    """Put a text into a file, and into every RocksDB and SQLite below a directory; return where one should find it."""
    (directory / "planted").write_bytes(text)
    places = {"planted"}
    for mark in sorted(directory.rglob("CURRENT")):
        with closing(Rdict(str(mark.parent), Options(raw_mode=True))) as held:
            held[b"planted"] = text
        places.add(f"{mark.parent.relative_to(directory)} opened")
    for path in sorted(directory.rglob("*.db")):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE planted (said BLOB)")
            database.execute("INSERT INTO planted VALUES (?)", (text,))
        places.add(f"{path.relative_to(directory)} opened")
    return places


def contents(directory: Path, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what every RocksDB and SQLite below a directory holds, as its reader sees it: unpacked and put together."""
    for mark in sorted(directory.rglob("CURRENT")):
        copied = shutil.copytree(mark.parent, scratch / str(len([*scratch.glob("*")])))
        with closing(Rdict(str(copied), Options(raw_mode=True), access_type=AccessType.read_only())) as held:
            yield f"{mark.parent.relative_to(directory)} opened", b"\n".join(_pairs(held))
    for path in sorted(directory.rglob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as held:
            yield f"{path.relative_to(directory)} opened", b"\n".join(map(_row, _rows(held)))


def _pairs(held: Rdict) -> Iterator[bytes]:
    for key, value in held.items():
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        yield key + b"\0" + value


def _rows(held: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    for (table,) in held.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        yield from held.execute(f"SELECT * FROM {table}")


def _row(values: tuple[Any, ...]) -> bytes:
    return b"\t".join(each if isinstance(each, bytes) else str(each).encode() for each in values)
