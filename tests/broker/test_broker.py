"""The local broker: it answers, keeps what it acknowledged through a kill, and partitions as we do."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Message, Producer

from ops.broker import Broker
from schemas.errors import Misconfigured
from streams.topics import partition

pytestmark = pytest.mark.broker


async def new_topic(bootstrap: str, partitions: int, replicas: int = 1) -> str:
    name = f"test.{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, replicas)])
    finally:
        await admin.close()
    return name


async def send(bootstrap: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for future in [await producer.send(topic, value, partition=0) for value in values]:
            await future


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


async def test_idempotent_producer_and_reader(broker: str) -> None:
    topic = await new_topic(broker, 1)
    sent = [str(n).encode() for n in range(1000)]
    await send(broker, topic, sent)
    assert await read(broker, topic, 1000) == sent


async def test_our_partitioner_is_librdkafkas_consistent(broker: str) -> None:
    topic = await new_topic(broker, 8)
    keys = [b"a", b"123456789", *(uuid.UUID(int=n * 7919).bytes for n in range(300))]
    landed: dict[bytes, int] = {}

    def note(error: object, delivered: Message) -> None:
        assert error is None
        key, number = delivered.key(), delivered.partition()
        assert isinstance(key, bytes)
        assert number is not None
        landed[key] = number

    producer = Producer({"bootstrap.servers": broker, "partitioner": "consistent"})
    for key in keys:
        producer.produce(topic, b"", key=key, on_delivery=note)
    producer.flush(30)
    assert landed == {key: partition(key, 8) for key in keys}


async def test_unknown_topic_is_not_created(broker: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        described = await admin.describe_topics(["test.nobody-made-this"])
        assert described[0]["error_code"] == 3  # UNKNOWN_TOPIC_OR_PARTITION
        assert "test.nobody-made-this" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_killed_node_comes_back_with_what_it_acknowledged(broker: str, tmp_path: Path) -> None:
    """A cluster of its own, because it is killed (`broker` is asked for its check of Java and Maven)."""
    with Broker(tmp_path) as cluster:
        topic = await new_topic(cluster.bootstrap, 1)
        await send(cluster.bootstrap, topic, [b"kept"])
        cluster.kill(1)
        assert cluster.status()[0].pid is None
        cluster.start(1)
        assert await read(cluster.bootstrap, topic, 1) == [b"kept"]
        before = cluster.status()
        assert cluster.up() == cluster.bootstrap  # a second start changes nothing
        assert cluster.status() == before
    assert [node.pid for node in cluster.status()] == [None]


def test_taken_port_is_named_with_the_remedy(broker: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"Port {port} .*MIGEX_BROKER__PORT.*MIGEX_BROKER__LOCAL=false"):
            Broker(tmp_path, port=port).up()


def test_number_of_nodes_cannot_change_under_the_data(broker: str, tmp_path: Path) -> None:
    tmp_path.joinpath("kafka").mkdir()
    tmp_path.joinpath("kafka", "cluster.json").write_text('{"cluster_id": "x", "nodes": 1, "port": 9999}')
    with pytest.raises(Misconfigured, match="MIGEX_BROKER__NODES"):
        Broker(tmp_path, nodes=3).up()


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_three_nodes_lose_one_and_go_on(broker: str, tmp_path: Path) -> None:
    with Broker(tmp_path, nodes=3) as cluster:
        topic = await new_topic(cluster.bootstrap, 1, replicas=3)
        sent = []
        for node in (1, 2, 3):
            cluster.kill(node)
            sent.append(f"without {node}".encode())
            await send(cluster.bootstrap, topic, sent[-1:])
            cluster.start(node)
        assert await read(cluster.bootstrap, topic, 3) == sent
