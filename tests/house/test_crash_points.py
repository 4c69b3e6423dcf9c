"""Whatever lasts beyond a process has a crash point beside it, so that a rehearsal can stop the process there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from docs import crash_points
from streams.crash_points import CrashPoint
from tests.house import tree

ROOMS = ("streams/", "connectors/", "ops/archive.py", "ops/generations/", "ops/processes/")

REACHED_BY = {
    "connectors/agency_topics.py:_tell": "answer",
    "connectors/agency_topics.py:_commit": "answer",
    "connectors/archive.py:_replace": "append",
    "streams/checkpoints.py:_drop_old": "publish",
}
"""Side effects whose points are reached by the function that calls them."""

WITHOUT = {
    "connectors/key_files.py:replace": "One rename; what is sealed by a key is written after its file is there.",
    "connectors/feed_store/generations.py:*": "Each act is one transaction with nothing durable before or after it.",
    "connectors/feed_store/lease.py:*": "One statement each; `FeedPartition` reaches the point behind taking it.",
    "connectors/feed_store/store.py:check_identity": "One transaction, before anything else of the process.",
    "streams/broker_time.py:_now": "Nobody reads it: it is sent to be told its timestamp.",
    "streams/checkpoints.py:clear": "Puts an interrupted restore right; interrupted itself, it begins again.",
    "streams/checkpoints.py:distrust": "One rename; the damaged one is found again if it does not come to it.",
    "streams/checkpoints.py:set_aside": "One rename; the damage is found again if it does not come to it.",
    "streams/checkpoints.py:mark": "Written when nothing more is done; found again if it does not come to it.",
    "streams/scratch.py:commit": "Nobody opens it again; after a crash everything is built anew.",
    "streams/rocks.py:write": "One batch; `Partition.step` reaches the points before and behind it.",
    "streams/rocks.py:_check": "The first write of an empty state; without it the state is still empty.",
}
"""Side effects without a point, and why: they stand alone, and doing them again is the same as once."""


def test_every_durable_side_effect_has_a_crash_point() -> None:
    assert {place for place, function in side_effects() if not is_covered(place, function)} == set()


def test_no_exception_is_left_over() -> None:
    places = {place for place, _ in side_effects()}
    named = places | {f"{place.partition(':')[0]}:*" for place in places}
    assert {*REACHED_BY, *WITHOUT} - named == set()
    assert {place for place, function in side_effects() if place in REACHED_BY and reaches(function)} == set()


def test_every_point_is_reached_somewhere() -> None:
    assert [name for name, modules in crash_points.reached(tree.modules()).items() if not modules] == []


def test_the_page_says_of_every_point_what_must_hold() -> None:
    assert {point.partition("-")[0] for point in CrashPoint} == set(crash_points.MUST_HOLD)


@pytest.mark.parametrize(
    ("line", "durable"),
    [
        ("self._producer.send(topic, value)", True),
        ("self._edges.consumer.commit(offsets)", True),
        ("self._rocks.db.write(batch)", True),
        ("self._rocks.write(batch)", True),
        ("fresh.rename(into)", True),
        ("temporary.replace(path)", True),
        ("os.replace(a, b)", True),
        ("self._writing.begin()", True),
        ("admin.delete_records(ends)", True),
        ("text.replace('a', 'b')", False),
        ("self._reading.begin()", False),
        ("out.write(VERSION)", False),
        ("self._sends.append(1)", False),
    ],
)
def test_what_counts_as_a_durable_side_effect(line: str, durable: bool) -> None:
    (call,) = (node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call))
    assert is_durable(call) is durable


def side_effects() -> Iterator[tuple[str, ast.AST]]:
    """Yield module:function of each function that has a durable side effect of its own, and the function."""
    for path in tree.modules():
        if tree.name(path).startswith(ROOMS):
            for function in tree.functions(path):
                if any(is_durable(call) for call in calls(function)):
                    yield f"{tree.name(path)}:{function.name}", function


def is_covered(place: str, function: ast.AST) -> bool:
    """Whether the function reaches a point, or its caller does, or there is a reason why not."""
    module, _, name = place.partition(":")
    if reaches(function) or place in WITHOUT or f"{module}:*" in WITHOUT:
        return True
    callers = [each for each in tree.functions(tree.ROOT / module) if each.name == REACHED_BY.get(place)]
    return any(reaches(each) and called(each, name) for each in callers)


def is_durable(call: ast.Call) -> bool:
    """Whether the call brings something to Kafka, to a database or to a file's final name."""
    if not isinstance(call.func, ast.Attribute):
        return False
    owner, name = ast.unparse(call.func.value), call.func.attr
    return (
        (name.startswith("send") and owner.endswith("producer"))
        or (name == "commit" and owner.endswith("consumer"))
        or (name == "write" and owner.endswith(("db", "rocks")))
        or (name == "begin" and owner.endswith(("writing", "_engine", "writing(engine)")))
        or (name == "replace" and (owner == "os" or len(call.args) == 1))
        or name in {"rename", "renames", "write_text", "write_bytes", "delete_records"}
    )


def reaches(function: ast.AST) -> bool:
    """Whether the function reaches a crash point itself."""
    return called(function, "reach")


def called(function: ast.AST, name: str) -> bool:
    """Whether the function calls another one of this name."""
    names = {ast.unparse(call.func).rpartition(".")[2].lstrip("_") for call in calls(function)}
    return name.lstrip("_") in names


def calls(function: ast.AST) -> list[ast.Call]:
    """Return the calls in a function."""
    return [node for node in ast.walk(function) if isinstance(node, ast.Call)]
