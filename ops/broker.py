"""A local Apache Kafka: one node to work with, three to rehearse the loss of one.

KRaft in combined mode, loopback only, everything under `<home>/kafka`. It outlives the program that started it;
`down` ends it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ops.jars import FOLDER, jars, java, locked
from ops.pids import PidFile, detach, read_json, stop_all, write_json
from ops.ports import free_block, is_free
from ops.settings import user_cache
from schemas.errors import Misconfigured, Unavailable

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
READY_SECS = 90.0
GRACE_SECS = 15.0


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it is now; `pid` None: it does not run."""

    node: int
    port: int
    pid: int | None
    answers: bool


class Detour(NamedTuple):
    """A second way to each node, through a proxy: the first of the nodes' own ports, and the first of the proxies'."""

    listens: int
    advertised: int


class Broker:
    """A local Kafka cluster of one or three nodes, numbered from 1."""

    def __init__(
        self,
        home: Path,
        nodes: int = 1,
        port: int | None = None,
        cache: Path | None = None,
        detour: Detour | None = None,
    ) -> None:
        """`port` is the first of 2 x `nodes` neighbouring ports; None: free ones, the same again when they are free.

        With a `detour`, who comes by a proxy is told to go on by the proxies.
        """
        self.home = home
        self.nodes = nodes
        self._port = port
        self._cache = cache or user_cache()
        self._detour = detour
        self._layout = home / "kafka" / "cluster.json"

    @classmethod
    def found(cls, home: Path, cache: Path | None = None) -> Self:
        """Return the cluster that was once started in `home`, whatever its nodes and ports; one node if none was."""
        layout = read_json(home / "kafka" / "cluster.json")
        return cls(home, layout.get("nodes", 1), layout.get("port"), cache)

    def __enter__(self) -> Self:
        """Start the cluster."""
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the cluster."""
        self.down()

    @property
    def bootstrap(self) -> str:
        """Addresses of the nodes; raises Unavailable when the cluster was never started."""
        port = read_json(self._layout).get("port")
        if port is None:
            raise Unavailable("broker-down", f"No local broker was started under {self.home}: `migex broker up`.")
        return ",".join(f"127.0.0.1:{port + n}" for n in range(self.nodes))

    def up(self) -> str:
        """Start what does not run, wait until the cluster answers, return its addresses.

        Raises Misconfigured when Java or Maven is missing or a port is taken, Unavailable when it does not answer.
        """
        program = java()
        classpath = f"{jars(self._cache)}/*"
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # what lies in Kafka is about persons
        with locked(self.home / "kafka" / ".lock"):
            missing = [n for n in self._all() if self._pid_file(n).pid() is None]
            self._lay_out(fresh=len(missing) == self.nodes)
            self._check_ports(missing)
            self._format(program, classpath, missing)
            for node in missing:
                self._spawn(program, classpath, node)
            self._until_answering(self._all())
        return self.bootstrap

    def down(self) -> None:
        """Stop all nodes; their data stays."""
        stop_all([self._pid_file(n) for n in self._all()], GRACE_SECS)

    def kill(self, node: int) -> None:
        """End one node with SIGKILL, as a power cut would."""
        file = self._pid_file(node)
        file.signal(signal.SIGKILL)
        file.wait(GRACE_SECS)

    def start(self, node: int) -> None:
        """Start one node again and wait until it answers; raises Unavailable when it does not."""
        if self._pid_file(node).pid() is None:
            self._check_ports([node])
            self._spawn(java(), f"{jars(self._cache)}/*", node)
        self._until_answering([node])

    def status(self) -> list[Node]:
        """Return each node as it is now."""
        first = read_json(self._layout).get("port") or self._port or 0
        found = [(n, first + n - 1, self._pid_file(n).pid()) for n in self._all()]
        return [Node(n, port, pid, pid is not None and _listens(port)) for n, port, pid in found]

    def _all(self) -> range:
        return range(1, self.nodes + 1)

    def _folder(self, node: int) -> Path:
        return self.home / "kafka" / f"node-{node}"

    def _pid_file(self, node: int) -> PidFile:
        return PidFile(self.home / "run" / f"kafka-{node}.json")

    def _log(self, node: int) -> Path:
        return self.home / "logs" / f"kafka-{node}.log"

    def _lay_out(self, *, fresh: bool) -> None:
        """Decide cluster id and ports, once; `fresh`: no node runs, so the ports may still change."""
        layout = read_json(self._layout)
        if layout.get("nodes", self.nodes) != self.nodes:
            raise Misconfigured(
                "broker-nodes-changed",
                f"{self.home / 'kafka'} holds a cluster of {layout['nodes']} nodes, not {self.nodes}: "
                "set MIGEX_BROKER__NODES back, or choose another MIGEX_HOME.",
            )
        port = self._port or layout.get("port")
        if port is None or (self._port is None and fresh and not all(map(is_free, self._ports(port)))):
            port = free_block(2 * self.nodes)
        if not fresh:
            port = layout["port"]
        cluster = layout.get("cluster_id") or urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        write_json(self._layout, {"cluster_id": cluster, "nodes": self.nodes, "port": port})

    def _ports(self, first: int) -> range:
        return range(first, first + 2 * self.nodes)

    def _check_ports(self, nodes: Sequence[int]) -> None:
        first = read_json(self._layout)["port"]
        for port in [first + offset + n - 1 for n in nodes for offset in (0, self.nodes)]:
            if not is_free(port):
                raise Misconfigured(
                    "port-taken",
                    f"Port {port} of 127.0.0.1 is in use by another program: stop it, or set MIGEX_BROKER__PORT to "
                    "another port. If a Kafka runs there that you want to use, set MIGEX_BROKER__LOCAL=false.",
                )

    def _format(self, program: str, classpath: str, nodes: Sequence[int]) -> None:
        cluster = read_json(self._layout)["cluster_id"]
        running = []
        for node in nodes:
            folder = self._folder(node)
            folder.mkdir(parents=True, exist_ok=True)
            folder.joinpath("server.properties").write_text(self._properties(node), encoding="utf-8")
            if not folder.joinpath("data", "meta.properties").exists():
                tool = [*_java(program, classpath), "kafka.tools.StorageTool", "format"]
                tool += [f"--cluster-id={cluster}", "-c", str(folder / "server.properties")]
                running.append(subprocess.Popen(tool, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        outputs = [(tool.communicate()[0], tool.returncode) for tool in running]
        for text, code in outputs:
            if code != 0:
                raise Unavailable("broker-format", f"Kafka could not prepare its directory: {_tail(text)}")

    def _spawn(self, program: str, classpath: str, node: int) -> None:
        argv = [*_java(program, classpath), "kafka.Kafka", str(self._folder(node) / "server.properties")]
        self._pid_file(node).record(detach(argv, self._log(node)), node=node)

    def _until_answering(self, nodes: Sequence[int]) -> None:
        first = read_json(self._layout)["port"]
        end = time.monotonic() + READY_SECS
        ports = [first + n - 1 for n in nodes]
        while not all(map(_listens, ports)) or not all(set(nodes) <= _members(port) for port in ports):
            for node in nodes:
                self._check_alive(node)
            if time.monotonic() > end:
                raise Unavailable("broker-silent", f"The local broker did not answer within {READY_SECS:.0f} s.")
            time.sleep(0.1)

    def _check_alive(self, node: int) -> None:
        if self._pid_file(node).pid() is None:
            text = self._log(node).read_text(encoding="utf-8", errors="replace")
            raise Unavailable("broker-ended", f"Node {node} ended; {self._log(node)} says last: {_tail(text)}")

    def _listeners(self, node: int) -> dict[str, str]:
        first = read_json(self._layout)["port"]
        clients = [f"PLAINTEXT://127.0.0.1:{first + node - 1}"]
        listeners = [*clients, f"CONTROLLER://127.0.0.1:{first + self.nodes + node - 1}"]
        names = ["CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT"]
        if self._detour is not None:
            listeners.append(f"DETOUR://127.0.0.1:{self._detour.listens + node - 1}")
            clients.append(f"DETOUR://127.0.0.1:{self._detour.advertised + node - 1}")
            names.append("DETOUR:PLAINTEXT")
        return {
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(clients),
            "listener.security.protocol.map": ",".join(names),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
        }

    def _properties(self, node: int) -> str:
        first = read_json(self._layout)["port"]
        controller = first + self.nodes
        voters = ",".join(f"{n}@127.0.0.1:{controller + n - 1}" for n in self._all())
        copies, insync = self.nodes, max(1, self.nodes - 1)
        lines = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            **self._listeners(node),
            "log.dirs": self._folder(node) / "data",
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
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())


def _java(program: str, classpath: str) -> list[str]:
    quiet = f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.properties'}"
    return [program, "-Xmx512m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", quiet, "-cp", classpath]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _members(port: int) -> set[int]:
    """Return the nodes of the cluster that this node knows to be serving; empty when it does not answer."""
    with ThreadPoolExecutor(1) as thread:  # a loop may be running in ours
        return thread.submit(asyncio.run, _ask(f"127.0.0.1:{port}")).result()


async def _ask(address: str) -> set[int]:
    from aiokafka.client import AIOKafkaClient, CoordinationType  # noqa: PLC0415  # 0.3 s, not needed for `status`
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # not being there yet is no news
    client = AIOKafkaClient(bootstrap_servers=address, request_timeout_ms=3000)
    try:
        await client.bootstrap()
        # the first group waits for the topic of offsets to be made: wait here, or every worker reports an error
        await client.coordinator_lookup(CoordinationType.GROUP, "migex")
    except KafkaError:
        return set()
    finally:
        await client.close()
    return {broker.nodeId for broker in client.cluster.brokers()}


def _tail(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-3:])[-600:]
