"""Kafka with principals: everybody may do what streams/principals.yaml says and nothing else, on one real broker."""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from rich.console import Console

from ops import acl, enrolment, publish, system
from ops import settings as all_settings
from ops import topics as cluster
from ops.access import access, access_as, make_passwords, password_file
from ops.broker import Broker
from ops.broker_properties import Guard, container_files
from ops.demo.watch import Watch
from ops.ports import free_block
from ops.settings import Settings
from ops.trespass import Deed, admits, allowed, check, everything
from schemas.conventions import load
from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka, Tls
from streams.principals import BROKER, agency_user, product_user
from streams.topics import Topics
from tests.broker.certificates import Authority
from tests.connectors.events import line

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

CROSSING = "border.crossing"
PRODUCT = {
    "gateway": [r"WRITE topic migex\.inbox\.v1"],
    "kafka-door": [
        r"READ topic migex\.agency\.(?!\w+\.verdicts)\S+",
        r"WRITE topic migex\.(inbox|agency\.\w+\.verdicts)\.v1",
        r"DESCRIBE group migex\.kafka-door",
    ],
    "file-door": [r"WRITE topic migex\.inbox\.v1"],
    "clock": [r"WRITE topic migex\.(inbox|clock)\.v1"],
    "deduplicate": [
        r"READ topic migex\.inbox\.v1",
        r"WRITE topic migex\.(log\.g1|quarantine\.v1|agency\.\w+\.verdicts\.v1)",
        r"DESCRIBE group migex\.deduplicate\.g1",
    ],
    "reconcile": [
        r"READ topic migex\.log\.g1",
        r"WRITE topic migex\.(partials\.g1|quarantine\.v1)",
        r"DESCRIBE group migex\.reconcile\.g1",
    ],
    "aggregate": [r"READ topic migex\.partials\.g1", r"DESCRIBE group migex\.aggregate\.g1"],
    "feed": [],
    "operator": [
        r"READ topic migex\.inbox\.v1",
        r"(CREATE|DELETE|ALTER_CONFIGS) topic migex\.\S+",
        r"DESCRIBE group migex\.\S+",
        r"ALTER cluster kafka-cluster",
    ],
}
"""What each of the product's principals may do, said once more and in another way than in the file."""


def of_agency(code: str) -> list[str]:
    """What an agency may do."""
    return [
        rf"WRITE topic migex\.agency\.{code}\.(?!verdicts)\S+",
        rf"READ topic migex\.agency\.{code}\.verdicts\.v1",
        rf"DESCRIBE group agency\.{code}\.\S+",
    ]


class Town:
    """A system on a guarded broker that speaks every protocol, and all agencies with their passwords."""

    def __init__(self, home: Path) -> None:
        self.authority = Authority(home / "ca")
        made = all_settings.with_free_ports(home / "home", kafka=all_settings.Kafka(protocol="SASL_PLAINTEXT"))
        own = all_settings.Broker(port=free_block(4))
        self.settings = made.model_copy(update={"broker": own})
        self.convention = load(self.settings.convention)
        self.topics = Topics.of(1, self.convention)
        make_passwords(self.settings, [BROKER, *map(agency_user, self.convention.agencies)])
        tls = Tls(self.authority.file, self.authority.certificate(BROKER))
        guard = Guard(password_file(self.settings, BROKER), ("SASL_PLAINTEXT", "SASL_SSL", "SSL"), tls)
        self.broker = Broker(self.settings.home, 1, own.port, guard=guard)

    def kafka(self, user: str) -> Kafka:
        return access_as(self.settings, user)

    def over_tls(self, user: str) -> Kafka:
        """The way by password through TLS."""
        way = replace(self.kafka(user), protocol="SASL_SSL", tls=Tls(self.authority.file))
        return replace(way, bootstrap=self.broker.addresses("SASL_SSL"))

    def by_certificate(self, user: str, authority: Authority | None = None) -> Kafka:
        """The way by certificate."""
        tls = Tls(self.authority.file, (authority or self.authority).certificate(user))
        return Kafka(self.broker.addresses("SSL"), "SSL", user, tls=tls)

    def migex(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "ops.cli", *words]
        return subprocess.run(argv, env=self.settings.inherited(), capture_output=True, text=True, check=False)

    def crossings(self, agency: str) -> str:
        return self.topics.name(f"agency:{agency}:{CROSSING}")

    def verdicts(self, agency: str) -> str:
        return self.topics.name(f"verdicts:{agency}")


@pytest.fixture(scope="module")
def town(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town, its rights given (`broker` is asked for its check of Java and Maven)."""
    made = Town(tmp_path_factory.mktemp("town"))
    with made.broker:
        list(enrolment.enrol(made.settings, made.broker.kafka))
        asyncio.run(cluster.apply(access(made.settings), made.topics))
        yield made


def test_every_pair_of_user_topic_and_action_is_as_it_should_be(town: Town) -> None:
    users = {product_user(name): may for name, may in PRODUCT.items()}
    users |= {agency_user(code): of_agency(code) for code in town.convention.agencies}
    deeds = everything(town.topics)
    assert len(deeds) > 4 * len(town.topics.all())

    async def tried() -> list[list[Deed]]:
        return await asyncio.gather(*(allowed(town.kafka(user), deeds) for user in users))

    for (user, may), found in zip(users.items(), asyncio.run(tried()), strict=True):
        wanted = [deed for deed in deeds if any(re.fullmatch(each, str(deed)) for each in may)]
        assert list(map(str, found)) == list(map(str, wanted)), user
        assert all(any(re.fullmatch(each, str(deed)) for deed in wanted) for each in may), user


def test_another_client_sees_the_same(town: Town) -> None:
    gpk = town.kafka("agency.gpk")
    assert written(gpk, town.crossings("gpk")) is None
    assert written(gpk, town.crossings("mvd")) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert written(gpk, town.topics.name("inbox")) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert read(gpk, town.verdicts("gpk")) is None
    for foreign in (town.topics.name("inbox"), town.verdicts("mvd"), town.crossings("gpk")):
        assert read(gpk, foreign) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert not asyncio.run(admits(Kafka(gpk.bootstrap)))
    assert not asyncio.run(admits(replace(gpk, password="wrong")))
    assert not asyncio.run(admits(replace(gpk, user="agency.nobody")))


def written(kafka: Kafka, topic: str) -> int | None:
    """Write one message and return the error's code."""
    told: list[KafkaError | None] = []
    producer = Producer({**kafka.librdkafka(), "message.timeout.ms": 5000, "log_level": 0})
    producer.produce(topic, b"no event", on_delivery=lambda error, _: told.append(error))
    producer.flush(10)
    return told[0].code() if told[0] else None


def read(kafka: Kafka, topic: str) -> int | None:
    """Ask for messages and return the error's code; None: there is only nothing new."""
    group = {"group.id": f"{kafka.user}.test", "enable.partition.eof": True, "auto.offset.reset": "latest"}
    consumer = Consumer({**kafka.librdkafka(), **group, "log_level": 0})
    try:
        hidden = consumer.list_topics(topic, timeout=10).topics[topic].error
        if hidden is not None:
            return int(hidden.code())
        consumer.assign([Place(topic, 0, 0)])
        while True:
            message = consumer.poll(10)
            assert message is not None
            error = message.error()
            if error is not None:
                return None if error.code() == KafkaError._PARTITION_EOF else int(error.code())
    finally:
        consumer.close()


async def test_door_agents_and_feed_work_with_their_rights(town: Town) -> None:
    screen = Console(file=io.StringIO())
    await asyncio.to_thread(system.up, town.settings, screen)
    try:
        lines = [line(header__record_no=f"P-{n}") for n in range(200)]
        lines.append(line(header__record_no="P-0", event__direction="OUT"))  # the same version with another content
        by_kafka = await publish.publish(lines, CROSSING, "gpk", "kafka", town.settings)
        by_http = await publish.publish(lines[:100], CROSSING, "gpk", "http", town.settings)
        assert (by_kafka.accepted, by_http.accepted) == (201, 100)
        watch = Watch(town.settings, town.convention)
        try:
            entries = await until(lambda: watch.books().get(("gpk", CROSSING), {}), "deliveries", 302)
        finally:
            watch.close()
        # one delivery is the message that is no event; each record has one version that speaks
        assert (entries["refused"], entries["current"], entries["conflict"]) == (1, 200, 1)
        assert "conflict" in await outcomes(town.kafka("agency.gpk"), town.verdicts("gpk"), 203)
        assert town.migex("status").returncode == 0
        logs = "".join(path.read_text() for path in (town.settings.home / "logs").glob("*.log"))
        passwords = {path.read_text().strip() for path in (town.settings.secrets / "kafka").iterdir()}
        assert len(passwords) == len(PRODUCT) + 1 + len(town.convention.agencies)
        shown = logs + screen.file.getvalue() + command_lines()  # type: ignore[attr-defined]
        assert not [password for password in passwords if password in shown]
    finally:
        await asyncio.to_thread(system.down, town.settings, screen, keep_broker=True)


async def until(look: Callable[[], dict[str, int]], entry: str, least: int, secs: float = 60.0) -> dict[str, int]:
    end = time.monotonic() + secs
    while (found := look()).get(entry, 0) < least:
        assert time.monotonic() < end, f"the books say {found}"
        await asyncio.sleep(0.2)
    return found


async def outcomes(kafka: Kafka, topic: str, least: int) -> set[str]:
    """Return what the verdicts on an agency's topic say."""
    async with AIOKafkaConsumer(**kafka.options(), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        found: list[str] = []
        while len(found) < least:
            found.append(str(orjson.loads((await asyncio.wait_for(consumer.getone(), 30)).value)))
        return {word for each in found for word in re.findall(r"\w+", each)}


def command_lines() -> str:
    """Return the arguments of every process on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)


def test_nobody_else_can_read_a_password(town: Town) -> None:
    home = town.settings.home
    holding = [path for path in home.rglob("*") if path.is_file() and os.access(path, os.R_OK) and secret_in(path)]
    assert {path.name for path in holding} >= {"server.properties", "migex.gateway.password"}
    assert not [path for path in holding if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert not list(home.rglob("format.arguments"))


def secret_in(path: Path) -> bool:
    return path.suffix == ".password" or (path.stat().st_size < 1 << 20 and b"password=" in path.read_bytes())


def test_a_right_too_many_stops_the_start_and_is_withdrawn(town: Town) -> None:
    too_much = AclBinding(
        ResourceType.TOPIC, "migex.", ResourcePatternType.PREFIXED, "User:migex.clock", "*", AclOperation.READ,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    clocks = (ResourceType.TOPIC, "migex.inbox.v1", ResourcePatternType.LITERAL, "User:migex.clock", "*",
              AclOperation.WRITE, AclPermissionType.ALLOW)  # fmt: skip
    admin = AdminClient(access(town.settings).librdkafka())
    for done in admin.create_acls([too_much]).values():
        done.result(10)
    started = town.migex("clock")
    assert started.returncode == 78, started.stderr
    assert "migex: forbidden-right: migex.clock may do what it must not: READ topic migex.inbox.v1" in started.stderr
    assert [str(each) for each in acl.diff(access(town.settings), town.topics)] == [
        "migex.clock may READ topic migex.*: is too much; remedy: `migex acl apply`"
    ]
    assert list(enrolment.enrol(town.settings)) == ["withdrawn: migex.clock may READ topic migex.*"]
    asyncio.run(check(town.kafka("migex.clock"), "migex.clock", town.topics))
    for gone in admin.delete_acls([AclBindingFilter(*clocks)]).values():
        gone.result(10)
    with pytest.raises(
        Misconfigured, match=r"migex\.clock may not WRITE topic migex\.inbox\.v1: run `migex acl apply`"
    ):
        asyncio.run(check(town.kafka("migex.clock"), "migex.clock", town.topics))
    assert list(enrolment.enrol(town.settings)) == ["given: migex.clock may WRITE topic migex.inbox.v1"]
    assert list(enrolment.enrol(town.settings)) == []


def test_a_strangers_right_is_shown_and_found_by_trying(town: Town) -> None:
    everybody = AclBinding(
        ResourceType.TOPIC, "*", ResourcePatternType.LITERAL, "User:*", "*", AclOperation.WRITE, AclPermissionType.ALLOW
    )
    admin = AdminClient(access(town.settings).librdkafka())
    for done in admin.create_acls([everybody]).values():
        done.result(10)
    try:
        assert list(enrolment.enrol(town.settings)) == []  # it is not ours to withdraw
        (found,) = acl.diff(access(town.settings), town.topics)
        assert "withdraw it with Kafka's own tool" in str(found)
        with pytest.raises(Misconfigured, match=r"agency\.mvd may do what it must not: WRITE topic migex\.inbox\.v1"):
            asyncio.run(check(town.kafka("agency.mvd"), "agency.mvd", town.topics))
    finally:
        for gone in admin.delete_acls([acl.filter_of(everybody)]).values():
            gone.result(10)


def test_an_agency_gets_another_password_and_none(town: Town) -> None:
    before = town.kafka("agency.labour")
    list(enrolment.enrol_agency(town.settings, "labour"))
    after = town.kafka("agency.labour")
    assert (asyncio.run(admits(before)), asyncio.run(admits(after))) == (False, True)
    enrolment.dismiss_agency(town.settings, "labour")
    assert not asyncio.run(admits(after))
    with pytest.raises(Misconfigured, match=r"agency\.labour\.password is missing"):
        town.kafka("agency.labour")


def test_through_tls_by_password_and_by_certificate(town: Town, tmp_path: Path) -> None:
    for way in (town.over_tls("agency.gpk"), town.by_certificate("agency.gpk")):
        asyncio.run(check(way, "agency.gpk", town.topics))
        assert written(way, town.crossings("gpk")) is None
        assert written(way, town.crossings("mvd")) == KafkaError.TOPIC_AUTHORIZATION_FAILED
        assert not asyncio.run(admits(replace(way, tls=Tls()))), "a CA that nobody named is trusted"
    assert not asyncio.run(admits(town.by_certificate("agency.gpk", Authority(tmp_path / "other"))))
    assert not asyncio.run(admits(replace(town.over_tls("agency.gpk"), password="wrong")))
    with pytest.raises(Misconfigured, match="MIGEX_KAFKA__CA"):
        replace(town.over_tls("agency.gpk"), tls=Tls(tmp_path / "none.pem")).options()


def test_without_principals_there_are_no_rights(town: Town, tmp_path: Path) -> None:
    plain = Settings(home=tmp_path)
    with pytest.raises(Misconfigured, match="MIGEX_KAFKA__PROTOCOL is PLAINTEXT"):
        list(enrolment.enrol(plain))
    with pytest.raises(Misconfigured, match=r"cluster with principals.*MIGEX_KAFKA__PROTOCOL"):
        Broker(town.settings.home, 1, town.settings.broker.port).up()
    with pytest.raises(Unavailable, match=r"does not answer to migex\.operator"):
        asyncio.run(check(replace(access(town.settings), bootstrap="127.0.0.1:1"), "migex.operator", town.topics))


def test_a_container_starts_with_files_that_only_it_reads(town: Town, tmp_path: Path) -> None:
    told, arguments = container_files(tmp_path, "kafka", Guard(password_file(town.settings, BROKER)))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (told, arguments)} == {0o600}
    lines = dict(each.split("=", 1) for each in told.read_text().splitlines())
    assert lines["advertised.listeners"] == "CONTAINERS://kafka:19092,MACHINE://127.0.0.1:9092"
    assert lines["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert (lines["super.users"], lines["allow.everyone.if.no.acl.found"]) == (f"User:{BROKER}", "false")
    assert "PLAINTEXT" not in {each.split(":")[1] for each in lines["listener.security.protocol.map"].split(",")}
