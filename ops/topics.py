"""The topics on the cluster against the topics as data: what differs, and what may be put right.

No partition is added to a topic whose partitions others depend on, and only a dropped generation's topics are deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka
from streams.topics import REPLICAS, Topics, TopicSpec

APPLY = "`migex topics apply`"
_TOPIC_SET = 1  # DescribeConfigs' source of a value that was set for this topic (Kafka protocol, API key 32)


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a topic is not as it should be; `aspect` is `topic`, `partitions`, `replicas` or a setting."""

    name: str
    aspect: str
    found: str
    wanted: str
    remedy: str = APPLY

    def __str__(self) -> str:
        return f"{self.name}: {self.aspect} is {self.found}, should be {self.wanted}; remedy: {self.remedy}"


@dataclass(frozen=True, slots=True)
class _Found:
    partitions: int
    replicas: int
    config: Mapping[str, str]


async def diff(kafka: Kafka, topics: Topics) -> list[Difference]:
    """Return every difference between cluster and data; raises Unavailable when Kafka does not answer."""
    async with _admin(kafka) as admin:
        return await _diff(admin, topics.all())


async def apply(kafka: Kafka, topics: Topics) -> list[Difference]:
    """Put right what may be put right, and return what was.

    Raises Misconfigured when an existing topic has other partitions than everything derived from it needs,
    Unavailable when Kafka does not answer or refuses.
    """
    async with _admin(kafka) as admin:
        found = await _diff(admin, topics.all())
        specs = {spec.name: spec for spec in topics.all()}
        for difference in found:
            if difference.aspect == "partitions" and not specs[difference.name].may_grow:
                raise Misconfigured("topic-partitions", str(difference))
        mine = [d for d in found if d.remedy == APPLY]
        await _create(admin, [specs[d.name] for d in mine if d.aspect == "topic"])
        await _grow(admin, [specs[d.name] for d in mine if d.aspect == "partitions"])
        await _configure(admin, {d.name: specs[d.name] for d in mine if d.aspect not in {"topic", "partitions"}})
        await _until_done(admin, topics.all())
        return mine


async def delete(kafka: Kafka, names: Sequence[str]) -> None:
    """Delete topics for ever; one that is not there is no error. Raises Unavailable as `apply` does."""
    async with _admin(kafka) as admin:
        answer = await admin.delete_topics(list(names))
        for name, code, *_ in answer.topic_error_codes:
            if code not in {0, UnknownTopicOrPartitionError.errno}:
                raise for_code(code)(name)


async def members(kafka: Kafka, groups: Sequence[str]) -> int:
    """Return how many members these consumer groups have together; a group that is not there has none."""
    async with _admin(kafka) as admin:
        # one group a request: aiokafka 0.14 cannot read an answer about several
        answers = [await admin.describe_consumer_groups([group]) for group in groups]
        # a group: error, id, state, protocol type, protocol, members
        return sum(len(group[5]) for (answer,) in answers for group in answer.groups)


@asynccontextmanager
async def _admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka.options())
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise Unavailable(
            "broker-refused",
            f"Kafka at {kafka.bootstrap} did not do as asked ({type(error).__name__}): look at "
            "MIGEX_BROKER__BOOTSTRAP, `migex broker status` and the broker's log.",
        ) from error
    finally:
        await admin.close()


async def _diff(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[Difference]:
    replicas = min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
    found = await _found(admin, [spec.name for spec in specs])
    return [d for spec in specs for d in _compare(spec, found.get(spec.name), replicas)]


def _compare(spec: TopicSpec, found: _Found | None, replicas: int) -> list[Difference]:
    if found is None:
        return [Difference(spec.name, "topic", "missing", f"there with {spec.partitions} partitions")]
    different = []
    if found.partitions != spec.partitions:
        remedy = APPLY
        if not spec.may_grow or found.partitions > spec.partitions:
            remedy = "its partitions cannot change: set streams/topics.yaml back, or begin a new generation"
        different.append(Difference(spec.name, "partitions", str(found.partitions), str(spec.partitions), remedy))
    if found.replicas < replicas:
        remedy = "reassign its partitions with Kafka's own tool"
        different.append(Difference(spec.name, "replicas", str(found.replicas), str(replicas), remedy))
    for key, value in spec.config(found.replicas).items():
        if found.config.get(key) != value:
            different.append(Difference(spec.name, key, found.config.get(key, "unset"), value))
    return different


async def _found(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, _Found]:
    """Return the topics that exist."""
    described = [t for t in await _describe(admin, names) if t["error_code"] == 0]
    resources = [ConfigResource(ConfigResourceType.TOPIC, t["topic"]) for t in described]
    answers = await admin.describe_configs(resources) if resources else []
    configs = {}
    for code, reason, _, name, entries in (resource for answer in answers for resource in answer.resources):
        if code:
            raise for_code(code)(reason)
        # an entry: name, value, read-only, source, sensitive, synonyms
        configs[name] = {entry[0]: entry[1] for entry in entries if entry[3] == _TOPIC_SET}
    return {
        t["topic"]: _Found(len(t["partitions"]), len(t["partitions"][0]["replicas"]), configs[t["topic"]])
        for t in described
    }


async def _describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = await admin.describe_topics(list(names))
    return described


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    replicas = min(REPLICAS, len((await admin.describe_cluster())["brokers"]))
    new = [NewTopic(s.name, s.partitions, replicas, topic_configs=s.config(replicas)) for s in specs]
    answer = await admin.create_topics(new)
    for _, code, *reason in answer.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:  # another `apply` may run beside us
            raise for_code(code)(*reason)


async def _grow(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if specs:
        await admin.create_partitions({spec.name: NewPartitions(total_count=spec.partitions) for spec in specs})


async def _configure(admin: AIOKafkaAdminClient, specs: Mapping[str, TopicSpec]) -> None:
    """Set our settings and keep those that somebody else set: this request replaces all of a topic's settings."""
    if not specs:
        return
    found = await _found(admin, list(specs))
    wanted = {name: {**found[name].config, **specs[name].config(found[name].replicas)} for name in specs}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=config) for name, config in wanted.items()]
    for answer in await admin.alter_configs(resources):
        for code, reason, *_ in answer.resources:
            if code:
                raise for_code(code)(reason)


async def _until_done(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], secs: float = 30.0) -> None:
    """Wait until the brokers know it all and every partition has a leader, so that whoever starts next can write."""
    for _ in range(int(secs / 0.1)):
        left = [d for d in await _diff(admin, specs) if d.remedy == APPLY]
        described = await _describe(admin, [spec.name for spec in specs])
        if not left and all(p["error_code"] == 0 for topic in described for p in topic["partitions"]):
            return
        await asyncio.sleep(0.1)
    raise Unavailable("topics-slow", f"Kafka has not done it after {secs:.0f} s: look at the broker's log.")
