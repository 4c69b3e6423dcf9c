"""Topics are created as data says, compared, put right, and never deleted."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest

from ops.topics import Difference, apply, diff
from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka
from streams.topics import Topics, TopicSpec

pytestmark = pytest.mark.broker


class Changed(Topics):
    """The topics of a test under names of their own, some of them changed."""

    def __init__(self, tag: str, **changes: dict[str, Any]) -> None:
        super().__init__(1, ["gpk"], ["border.crossing"])
        self._tag, self._changes = tag, changes

    def all(self) -> list[TopicSpec]:
        return [
            dataclasses.replace(spec, name=f"{self._tag}.{spec.name}", **self._changes.get(spec.role.split(":")[0], {}))
            for spec in super().all()
        ]


@pytest.fixture
def tag() -> str:
    return f"test{uuid.uuid4().hex[:8]}"


async def test_apply_creates_all_then_nothing_differs(broker: str, tag: str) -> None:
    topics = Changed(tag)
    missing = await diff(Kafka(broker), topics)
    assert {d.name for d in missing} == {spec.name for spec in topics.all()}
    assert {d.aspect for d in missing} == {"topic"}
    assert await apply(Kafka(broker), topics) == missing
    assert await diff(Kafka(broker), topics) == []
    assert await apply(Kafka(broker), topics) == []


async def test_settings_and_growth_are_put_right(broker: str, tag: str) -> None:
    await apply(Kafka(broker), Changed(tag))
    later = Changed(tag, agency={"partitions": 4}, verdicts={"keep_ms": 1000})
    found = await diff(Kafka(broker), later)
    assert {(d.aspect, d.found, d.wanted) for d in found} == {
        ("partitions", "2", "4"),
        ("retention.ms", "2592000000", "1000"),
    }
    await apply(Kafka(broker), later)
    assert await diff(Kafka(broker), later) == []


async def test_partitions_that_others_depend_on_stop_the_start(broker: str, tag: str) -> None:
    await apply(Kafka(broker), Changed(tag))
    later = Changed(tag, inbox={"partitions": 16})
    with pytest.raises(Misconfigured, match=r"inbox.*partitions is 8, should be 16.*new generation"):
        await apply(Kafka(broker), later)
    assert [d.aspect for d in await diff(Kafka(broker), later)] == ["partitions"]


async def test_two_at_the_same_time_do_not_disturb_each_other(broker: str, tag: str) -> None:
    import asyncio

    await asyncio.gather(apply(Kafka(broker), Changed(tag)), apply(Kafka(broker), Changed(tag)))
    assert await diff(Kafka(broker), Changed(tag)) == []


async def test_no_kafka_there_names_the_setting() -> None:
    with pytest.raises(Unavailable, match="MIGEX_BROKER__BOOTSTRAP"):
        await diff(Kafka("127.0.0.1:1"), Changed("x"))


def test_a_difference_reads_as_a_sentence() -> None:
    text = str(Difference("migex.inbox.v1", "retention.ms", "unset", "-1"))
    assert text == "migex.inbox.v1: retention.ms is unset, should be -1; remedy: `migex topics apply`"
