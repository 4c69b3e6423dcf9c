"""What files may hold: every kind through the door with an agency's mapping; what is torn or wrong is put aside."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import fastavro
import orjson
import pytest

from connectors import confluent
from connectors.inbox import MemoryInbox
from schemas.contracts import FAMILIES
from schemas.header import Kind
from tests.connectors.events import event
from tests.connectors.files import Files
from tests.house import tree

EXAMPLES = tree.ROOT / "examples" / "files"
CROSSING = FAMILIES["border.crossing"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def kinds(files: Files) -> list[int]:
    """Return what the inbox holds."""
    assert isinstance(files.inbox, MemoryInbox)
    return [each.header.kind for each in files.inbox.entries]


def container(count: int) -> bytes:
    """Return an Avro container file with so many events."""
    made = [event(header__record_no=f"V-{n}") for n in range(count)]
    decoded = [confluent.decode(confluent.encode(CROSSING, each), CROSSING.name) for each in made]
    out = BytesIO()
    fastavro.writer(out, CROSSING.schema, decoded, sync_interval=500)
    return out.getvalue()


@pytest.mark.parametrize("name", ["gpk.border.crossing.csv", "gpk.border.crossing.xlsx"])
def test_the_examples_say_what_their_readme_says(files: Files, name: str) -> None:
    mapping = (EXAMPLES / "border.crossing.yaml").read_text()
    (files.root / "gpk" / "mappings" / "border.crossing.yaml").write_text(mapping)
    content = (EXAMPLES / name).read_bytes()
    files.drop(name, content)
    assert files.look() == 1
    told = files.done(name)
    assert [(each["row"], each["answer"]) for each in told.lines] == [(2, "accepted"), (3, "accepted"), (4, "refused")]
    assert [(each["code"], each["field"]) for each in told.table if each["code"]] == [("bad-cell", "person.birth_date")]
    if name.endswith(".csv"):
        assert "КАРИМОВ".encode("cp1251") in content


def test_without_a_mapping_columns_are_called_as_the_fields_are(files: Files) -> None:
    files.drop("a.csv", b"record_no,revision,op,recorded_at\nA-1,2,CANCEL,2018-03-02T08:00:00+03:00\n")
    files.look()
    assert files.done("a.csv").summary["accepted"] == 1


def test_an_array_and_an_avro_file(files: Files) -> None:
    files.drop("a.json", orjson.dumps([event(header__record_no="J-1"), event(event__checkpoint="NOWHERE")]))
    files.drop("b.avro", container(3))
    assert files.look() == 2
    assert (files.done("a.json").summary["accepted"], files.done("a.json").summary["refused"]) == (1, 1)
    assert files.done("b.avro").summary["accepted"] == 3


def test_nothing_is_taken_in_of_a_file_that_is_torn(files: Files) -> None:
    content = container(40)
    files.drop("a.avro", content[:-5])
    files.drop("b.csv", b'record_no,revision,op,recorded_at\nA-1,2,CANCEL,2018-03-02T08:00:00+03:00\nA-2,"')
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("nothing.txt", "no workbook")
    files.drop("c.xlsx", packed.getvalue())
    assert files.look() == 3
    for name, code in (("a.avro", "malformed-avro"), ("b.csv", "bad-table"), ("c.xlsx", "bad-table")):
        assert [(each["row"], each["code"]) for each in files.done(name, "failed").table] == [("0", code)]
    assert kinds(files) == [Kind.REFUSED] * 3


@pytest.mark.parametrize("mapping", ["columns: {Имя: person.no_such_field}", "colums: {}", "a: [", "dates: ['%y']"])
def test_a_mapping_that_is_wrong_is_told_and_nothing_taken_in(files: Files, mapping: str) -> None:
    (files.root / "gpk" / "mappings" / "border.crossing.yaml").write_text(mapping)
    files.drop("a.csv", b"record_no\n1\n")
    files.look()
    assert [each["code"] for each in files.done("a.csv", "failed").table] == ["bad-mapping"]
    assert kinds(files) == [Kind.REFUSED]


def test_a_mapping_may_not_be_a_link(files: Files) -> None:
    theirs = files.root / "mvd" / "mappings" / "border.crossing.yaml"
    theirs.write_text("separator: ','")
    (files.root / "gpk" / "mappings" / "border.crossing.yaml").symlink_to(theirs)
    files.drop("a.csv", b"record_no\n1\n")
    files.look()
    assert [each["code"] for each in files.done("a.csv", "failed").table] == ["bad-mapping"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    files = Files(tmp_path, max_bytes=1000)
    files.drop("a.jsonl", orjson.dumps(event()) * 2)
    files.look()
    assert [each["code"] for each in files.done("a.jsonl", "failed").table] == ["too-large"]
