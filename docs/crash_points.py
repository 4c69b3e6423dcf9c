"""The page of crash points: where a process may die, and what must hold then; read by `docs/generate.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from streams import crash_points
from streams.crash_points import CrashPoint

_MEMBER = re.compile(r"^ +([A-Z_]+) = \"[a-z-]+\"(?: +# (.+))?$", re.MULTILINE)

_ABOUT = (
    "Every send, commit and rename by which a process makes something last has a named moment before or after it. "
    "At each of them that a record comes by, `tests/laws/test_crash_points.py` lets a process die, once or twice, "
    "while some 200 records with all faults are counted; it is started again from disk. At every cut each record must "
    "count exactly once, and at the end cells, books and fates must be those of a run without a crash. At the others "
    "(`file`, `expiry`, `archive`, `trim`, `outbox`) the tests of those parts do the same with what they write. Such a "
    "side effect without a point fails `tests/house/test_crash_points.py`. This page is made by `make generate`."
)

MUST_HOLD = {
    "frame": "The sender was not told. It sends the same delivery again under the same id, and it counts once, whether "
    "Kafka has its frame already or not; what Kafka has is counted even if nobody comes back.",
    "verdicts": "The door begins again behind the last committed offsets. A message that was answered before gets the "
    "same answer under the same delivery id: it counts once, and its verdict may stand on the topic twice.",
    "offsets": "Nothing is answered again; what came meanwhile is.",
    "file": "The file is in the agency's folder, or a door's, or given back: never twice, never nowhere. The next door "
    "goes on behind the last row that has its verdict. A row that was answered before gets the same receipt under the "
    "same delivery id: it counts once.",
    "expiry": "What the agency was given back is there as a whole, or gone from its sight; what is left of it the next "
    "look deletes. Nothing else is touched.",
    "tick": "A tick that some partitions lack is a hole, which every reader passes over; the next tick closes a cut. "
    "A tick that is written again is ignored.",
    "state": "The state holds all of a step or nothing of it: its changes, its outputs and its position. A step that "
    "is not written is folded again; a step that is written is not.",
    "send": "What the outbox holds is sent again, in order. Readers follow the chain: they ignore what they had.",
    "acknowledge": "Some outputs are sent again although Kafka has them; readers ignore them.",
    "takeover": "Whoever opens the partition next begins as this one did: from the state, with its whole outbox.",
    "checkpoint": "A checkpoint is there as a whole or not at all; what is unfinished is removed by the next one. The "
    "state itself is not touched.",
    "restore": "The state is the old one or the checkpoint, never a mixture; an interrupted exchange is put right "
    "before the state is opened, and the rest of the source is folded.",
    "lease": "The same worker takes its lease back at once; another one when it has run out.",
    "feed": "Cells, position and the fold's state are committed together or not at all. Readers see the cut before or "
    "the cut after. A step that is committed is not folded again, for its position is.",
    "archive": "The archive is as it was, or longer by one file that the manifest names; a file that it does not name "
    "is written again.",
    "outbox": "The poller begins again with the request that the rows name, under the same key: what the gateway has "
    "had counts once and gets the same verdicts.",
    "trim": "Only what is archived and verified is deleted from the topic; the rest is deleted the next time.",
}
"""What must hold after a crash, by the first word of the point's name."""


def crash_points_page(root: Path, modules: Iterable[Path]) -> str:
    """Return docs/crash-points.md: every point, its moment and its module, and what must hold after a crash there."""
    moments = dict(_MEMBER.findall(Path(crash_points.__file__).read_text(encoding="utf-8")))
    places = reached(modules)
    lines = [
        "# Crash points",
        "",
        *wrap(_ABOUT, 118),
    ]
    for word, points in groupby(CrashPoint, key=lambda point: point.partition("-")[0]):
        lines += [
            "",
            f"## {word}",
            "",
            *wrap(MUST_HOLD.get(word, ""), 118),
            "",
            "| point | moment | module |",
            "|---|---|---|",
        ]
        for point in points:
            where = ", ".join(f"`{path.relative_to(root).as_posix()}`" for path in places[point.name])
            lines.append(f"| `{point}` | {moments[point.name]} | {where} |")
    return "\n".join(lines) + "\n"


def reached(modules: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the modules that reach each point, by its name in the code; what nobody reaches has none."""
    found: dict[str, list[Path]] = {point.name: [] for point in CrashPoint}
    for module in modules:
        names = {name for call in _calls(module) if (name := _point(call)) is not None}
        for name in sorted(names):
            found[name].append(module)
    return found


def _calls(module: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def _point(call: ast.Call) -> str | None:
    """Return the name of the point if the call reaches one."""
    function = ast.unparse(call.func).rpartition(".")[2]
    if function.lstrip("_") != "reach" or not call.args:
        return None
    point = ast.unparse(call.args[0])
    return point.removeprefix("CrashPoint.") if point.startswith("CrashPoint.") else None
