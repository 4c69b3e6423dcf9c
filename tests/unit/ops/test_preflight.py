"""`migex preflight`: a file in, its verdicts out, without a running system."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import orjson
import pytest

from ops.preflight import Wishes, main
from ops.settings import Settings
from schemas.errors import Misconfigured, Refused
from tests.connectors.events import event
from tests.connectors.test_rows import flat, table

FIRST = Path(__file__).parents[3] / "examples" / "first" / "gpk.border.crossing.jsonl"


def check(file: Path, home: Path, **wishes: object) -> tuple[int, bytes]:
    out = io.BytesIO()
    asked = Wishes(file, "border.crossing", "gpk")._replace(**wishes)  # type: ignore[arg-type]
    return main(asked, Settings(home=home), out), out.getvalue()


def test_a_good_file_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = check(FIRST, tmp_path)
    told = orjson.loads(out)
    assert (status, told["passed"], [each["answer"] for each in told["rows"]]) == (0, True, ["accepted"])
    assert orjson.loads(capsys.readouterr().err) == told["summary"]
    assert told["summary"]["unasked"] == "offline"
    assert list(tmp_path.iterdir()) == [], "nothing is kept"


def test_a_table_with_a_mapping_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = table(flat(event()), flat(event(person__sex=7))).replace(b"person.sex", "Пол".encode())
    file, mapping = tmp_path / "crossings.csv", tmp_path / "mapping.yaml"
    file.write_bytes(content)
    mapping.write_text("columns: {Пол: person.sex}", encoding="utf-8")
    status, out = check(file, tmp_path / "home", mapping=mapping, csv=True, lang="be")
    found = list(csv.DictReader(io.StringIO(out.decode("utf-8-sig"))))
    assert (status, [(each["row"], each["answer"], each["code"]) for each in found]) == (
        1,
        [("2", "accepted", ""), ("3", "refused", "not-in-codelist")],
    )
    file.write_bytes(content[:-10])
    assert check(file, tmp_path / "home")[0] == 1, "without the mapping nobody knows the column"
    assert "bad-header" in capsys.readouterr().err


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    for file, wishes in ((tmp_path / "none.csv", {}), (tmp_path / "none.xls", {}), (FIRST, {"agency": "nobody"})):
        with pytest.raises(Misconfigured):
            check(file, tmp_path, **wishes)
    with pytest.raises(Refused):
        check(FIRST, tmp_path, agency="refugee")
