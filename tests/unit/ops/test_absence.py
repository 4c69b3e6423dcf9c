"""Kafka is away: no process of ours may be given up for that, so each says what it misses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ops import secrets
from ops.generations.roster import Roster
from ops.processes import clock, gateway, worker
from ops.settings import Settings, with_free_ports
from schemas.conventions import load
from schemas.errors import Unavailable


@pytest.mark.parametrize("run", [clock.run, gateway.run, lambda settings: worker.run(settings, "deduplicate")])
def test_a_process_without_kafka_says_what_is_away(tmp_path: Path, run: Callable[[Settings], None]) -> None:
    settings = with_free_ports(tmp_path)  # nobody answers there
    secrets.make(settings.secrets, load(settings.convention).agencies)
    assert Roster(settings).numbers() == [1]
    with pytest.raises(Unavailable, match="kafka-away"):
        run(settings)
