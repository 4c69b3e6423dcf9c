"""What a node of Kafka is told when it starts: its `server.properties`, with and without principals."""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from connectors import key_files
from streams.kafka import MECHANISM, Kafka, Protocol, Tls
from streams.principals import BROKER

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_COMMON_NAME = "RULE:^(?:.*,)?CN=([^,]+)(?:,.*)?$/$1/"
"""A certificate's user is the common name of its subject."""


class Detour(NamedTuple):
    """A second way to each node, through a proxy: the first of the nodes' own ports, and the first of the proxies'."""

    listens: int
    advertised: int


class Guard(NamedTuple):
    """How a cluster learns who speaks to it, and that it lets nobody do what he has no right to."""

    password: Path  # file with the password of the cluster's own user
    protocols: tuple[Protocol, ...] = ("SASL_PLAINTEXT",)  # each has ports of its own; the nodes use the first
    tls: Tls = Tls()  # of the nodes; the certificate's file holds the key too

    def kafka(self, bootstrap: str) -> Kafka:
        """Return the way to the cluster as itself; raises Misconfigured when its password is missing."""
        return Kafka(bootstrap, self.protocols[0], BROKER, key_files.read(self.password).strip(), self.tls)


class Listener(NamedTuple):
    """Where a node is spoken to, as `host:port`."""

    name: str
    protocol: Protocol
    listens: str
    advertised: str  # what clients are told; empty: nothing


class Node(NamedTuple):
    """One node and its cluster; nodes are numbered from 1."""

    number: int
    controllers: Sequence[str]  # addresses of all nodes' controllers, in order
    listeners: Sequence[Listener]  # the first is the one that the nodes themselves use
    data: Path


def properties(node: Node, guard: Guard | None) -> str:
    """Return the text of `server.properties`; with a guard it holds a password."""
    copies, insync = len(node.controllers), max(1, len(node.controllers) - 1)
    lines = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n}@{where}" for n, where in enumerate(node.controllers, start=1)),
        **_listeners(node, guard),
        "log.dirs": node.data,
        "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        "default.replication.factor": copies,
        "min.insync.replicas": insync,
        "unclean.leader.election.enable": "false",
        "group.initial.rebalance.delay.ms": 0,  # the first worker need not wait 3 s for a second one
        # a node that was killed is let in again only when its old session has ended
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        # few partitions for Kafka's own topics: the default of 50 each costs seconds at every start
        "offsets.topic.num.partitions": 8,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 2,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": insync,
        "share.coordinator.state.topic.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": insync,
        **(_guarded(node, guard) if guard is not None else {}),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def format_arguments(flags: Sequence[str], cluster: str, folder: Path, guard: Guard | None) -> str:
    """Return what Java is told to format the storage of a node whose properties lie in `folder`, as an argument file.

    A file, because a password among a process's arguments is seen by everybody on the machine.
    """
    words = [*flags, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
    words += ["-c", str(folder / "server.properties")]
    if guard is not None:
        words += ["--add-scram", f"{MECHANISM}=[name={BROKER},password={key_files.read(guard.password).strip()}]"]
    return "".join('"{}"\n'.format(word.replace("\\", "\\\\")) for word in words)


def write_for_us(path: Path, text: str) -> None:
    """Write a file that nobody else may read, from its first moment on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def container_files(directory: Path, host: str, guard: Guard) -> list[Path]:
    """Write what Kafka's own image starts with, as one node called `host`, and return the files.

    Other containers reach it at port 19092, this machine at 9092; its controller listens to itself only.
    """
    listeners = [
        Listener("CONTAINERS", guard.protocols[0], "0.0.0.0:19092", f"{host}:19092"),
        Listener("MACHINE", guard.protocols[0], "0.0.0.0:9092", "127.0.0.1:9092"),
    ]
    node = Node(1, ["127.0.0.1:9093"], listeners, Path("/var/lib/kafka/data"))
    told, arguments = directory / "server.properties", directory / "format.arguments"
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    write_for_us(told, properties(node, guard))
    flags = ["-XX:-UsePerfData", "-cp", "/opt/kafka/libs/*"]
    write_for_us(arguments, format_arguments(flags, cluster, directory, guard))
    return [told, arguments]


def _listeners(node: Node, guard: Guard | None) -> Mapping[str, object]:
    controller = f"CONTROLLER://{node.controllers[node.number - 1]}"
    protocols = {"CONTROLLER": "PLAINTEXT" if guard is None else "SASL_PLAINTEXT"}
    protocols |= {each.name: each.protocol for each in node.listeners}
    told = [f"{each.name}://{each.advertised}" for each in node.listeners if each.advertised]
    return {
        "listeners": ",".join([*(f"{each.name}://{each.listens}" for each in node.listeners), controller]),
        "advertised.listeners": ",".join(told),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": node.listeners[0].name,
    }


def _guarded(node: Node, guard: Guard) -> dict[str, object]:
    """Return who is known and how, and that everybody else may do nothing; the controllers are known by a password."""
    password = key_files.read(guard.password).strip()
    login = f'required username="{BROKER}" password="{password}"'
    lines: dict[str, object] = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{BROKER}",
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": f'{_PLAIN} {login} user_{BROKER}="{password}";',
    }
    for each in node.listeners:
        prefix = f"listener.name.{each.name.lower()}"
        if each.protocol.startswith("SASL_"):
            lines[f"{prefix}.{MECHANISM.lower()}.sasl.jaas.config"] = f"{_SCRAM} {login};"
        if each.protocol == "SSL":
            lines[f"{prefix}.ssl.client.auth"] = "required"
            lines[f"{prefix}.ssl.principal.mapping.rules"] = f"{_COMMON_NAME},DEFAULT"
    if guard.tls.certificate is not None:
        lines |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": guard.tls.certificate}
    if guard.tls.ca is not None:
        lines |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": guard.tls.ca}
    return lines
