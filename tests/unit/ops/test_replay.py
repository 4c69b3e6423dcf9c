"""`migex replay`: a file in, a table out, and what was refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.replay import Run, main
from ops.settings import Settings
from schemas.errors import Misconfigured

FIRST = Path(__file__).parents[3] / "examples" / "first" / "gpk.border.crossing.jsonl"


def test_the_first_event_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    main([FIRST], None, None, "F06", Settings())
    told = capsys.readouterr()
    assert "2018-03" in told.out
    assert told.err == "1 accepted\n"


def test_what_is_no_event_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "gpk.border.crossing.jsonl"
    file.write_bytes(b"{}\nrubbish\n\n" + FIRST.read_bytes())
    run = Run(Settings())
    run.read(file, "gpk", "border.crossing")
    assert run.answers == {"refused": 2, "accepted": 1}
    assert run.table("F06").rstrip().count("2018-03") == 1


@pytest.mark.parametrize(("name", "table"), [("first.jsonl", "F06"), ("gpk.border.crossing.jsonl", "F99")])
def test_an_unnamed_sender_or_an_unknown_table_is_said(tmp_path: Path, name: str, table: str) -> None:
    file = tmp_path / name
    file.touch()
    with pytest.raises(Misconfigured):
        main([file], None, None, table, Settings())
