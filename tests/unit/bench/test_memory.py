"""The bench of a worker's memory: what it looks at is a state that grows, and all of the load is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.load import entries
from bench.memory import grow, table, write_log
from schemas.header import Op

ORIGINALS = 15_000


def test_all_that_is_said_is_folded_and_the_state_grows(tmp_path: Path) -> None:
    messages = write_log(ORIGINALS, tmp_path / "log")
    samples = grow(tmp_path / "log", messages, tmp_path / "state")
    assert len(samples) == 5  # at the start, and after each quarter
    assert [seen.records for seen in samples] == sorted({seen.records for seen in samples})
    assert samples[-1].state > samples[0].state
    ops = Counter(top.op for top, _ in entries(ORIGINALS))
    assert ORIGINALS <= samples[-1].records <= ORIGINALS + 2 * (ops[Op.CORRECT] + ops[Op.CANCEL])
    assert len(table(samples).rows) == len(samples)
