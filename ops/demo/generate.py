"""Writes what the agencies send as files, and what must come of it as `expected.json`.

`python -m ops.demo.generate --out DIR [--ports N|CODES] [--scale F] [--seed S] [--convention FILE]`
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ops.demo import bts
from ops.demo.oracle import Expected
from ops.demo.schedule import Lane, Schedule, schedule
from schemas import conventions
from schemas.errors import MigexError, Misconfigured

CONVENTION = bts.FOLDER / "convention.yaml"
EXPECTED = "expected.json"


def write(planned: Schedule, out: Path, progress: Callable[[int], None] = lambda lines: None) -> Expected:
    """Write the schedule's files into an empty or new directory and return what must come of them.

    `progress` is told the number of lines after each batch. Raises Misconfigured when the directory holds files.
    """
    if out.exists() and any(out.iterdir()):
        raise Misconfigured("demo-directory", f"{out} holds files: name an empty or a new directory.")
    out.mkdir(parents=True, exist_ok=True)
    stage, lanes = 0, ExitStack()
    files: dict[Lane, BinaryIO] = {}
    with lanes:
        for lane, lines in planned.batches():
            if lane.stage != stage:
                lanes.close()
                stage, files = lane.stage, {}
            if lane not in files:
                files[lane] = lanes.enter_context((out / lane.file_name).open("wb"))
            files[lane].write(b"".join(base64.b64encode(line) + b"\n" for line in lines) if lane.raw
                              else b"\n".join(lines) + b"\n")  # fmt: skip
            progress(len(lines))
    expected = planned.expected
    (out / EXPECTED).write_text(json.dumps(expected.to_json(), indent=1), encoding="utf-8")
    return expected


def lanes(directory: Path) -> list[list[tuple[Lane, Path]]]:
    """Return the files that `write` made, stage by stage."""
    stages: dict[int, list[tuple[Lane, Path]]] = {}
    for path in sorted(directory.iterdir()):
        if path.name != EXPECTED:
            lane = _lane(path.name)
            stages.setdefault(lane.stage, []).append((lane, path))
    return [stages[stage] for stage in sorted(stages)]


def _lane(name: str) -> Lane:
    head, _, rest = name.partition("-")
    raw = rest.endswith(".raw.b64")
    agency, _, rest = rest.removesuffix(".raw.b64" if raw else ".jsonl").partition(".")
    family, _, door = rest.rpartition(".")
    return Lane(int(head) - 1, door, agency, family, raw)


def main(arguments: list[str] | None = None) -> int:
    """Write the files that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ops.demo.generate", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="an empty or a new directory")
    parser.add_argument("--ports", help="number of smallest ports, or port codes joined by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every cell (rounded up)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed writes the same bytes")
    parser.add_argument("--convention", type=Path, default=CONVENTION, help="convention file")
    chosen = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        planned = schedule(conventions.load(chosen.convention), chosen.ports, chosen.scale, chosen.seed)
        expected = write(planned, chosen.out)
    except MigexError as error:
        print(error, file=sys.stderr)
        return 78
    secs = time.perf_counter() - began
    cells, count = len(expected.cells), expected.deliveries
    print(f"{count:,} deliveries of {expected.crossings:,} crossings, {cells} cells, {count / secs:,.0f} deliveries/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
