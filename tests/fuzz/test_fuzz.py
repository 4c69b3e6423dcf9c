"""Whatever is sent to a door is answered: no crash, no hang, no fault of ours, nothing lost, nobody named.

What failed is tried again alone by `python -m tests.fuzz SURFACE SEED NUMBER`, as the failure says.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from structlog.testing import capture_logs

from tests.fuzz import checks
from tests.fuzz.asgi import guarded
from tests.fuzz.surfaces import surfaces

INPUTS = {
    **{"ndjson": 55_000, "json": 25_000, "kafka": 40_000, "avro": 8_000, "requests": 12_000, "schemas": 5_000},
    **{"csv": 20_000, "xlsx": 10_000, "jsonl": 10_000, "preflight": 12_000, "records": 4_000, "receipts": 4_000},
}
"""Inputs of each surface in a long run; a short one tries a tenth, always the same ones."""

SEED = os.environ.get("MIGEX_TEST_SEED") or str(Random().randrange(10**9))  # for the long runs


def test_every_surface_is_tried() -> None:
    assert set(INPUTS) == set(surfaces())
    assert sum(INPUTS.values()) >= 200_000


@pytest.mark.parametrize("surface", INPUTS)
async def test_whatever_comes_is_answered(surface: str, caplog: pytest.LogCaptureFixture) -> None:
    await _try_out(surface, "0", INPUTS[surface] // 10, caplog)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("surface", INPUTS)
async def test_whatever_comes_is_answered_long(surface: str, caplog: pytest.LogCaptureFixture) -> None:
    await _try_out(surface, SEED, INPUTS[surface], caplog)


async def _try_out(surface: str, seed: str, most: int, caplog: pytest.LogCaptureFixture) -> None:
    send = surfaces()[surface]
    sent = number = 0
    with guarded() as begin, capture_logs() as logs:
        while sent < most:
            begin()
            try:
                sent += await send(Random(f"{surface} {seed} {number}"))
            except BaseException as failure:  # whatever it is goes on, and says by which input it came
                failure.add_note(f"python -m tests.fuzz {surface} {seed} {number}")
                raise
            number += 1
    checks.unmarked(f"{logs}{caplog.text}".encode())
    assert logs == []
