"""The bench of the file door: where its time goes is told for each kind of file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.door import crossings
from bench.dropped import files, where_it_goes
from ops import secrets
from ops.settings import Files, with_free_ports
from schemas.conventions import load


def test_the_time_of_each_kind_of_file_is_told_by_module(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path, files=Files(settle_secs=0))
    secrets.make(settings.secrets, load(settings.convention).agencies)
    dropped = files(list(crossings(20)))
    tables = list(where_it_goes(settings, dropped))
    assert len(tables) == len(dropped) > 1
    for table in tables:
        shares = [float(share or 0) for _, share in table.rows]
        assert sum(shares) == pytest.approx(100, abs=30)  # small ones are left out
