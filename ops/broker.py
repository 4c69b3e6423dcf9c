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
from typing import Self

from ops.broker_properties import Detour, Guard, Listener, format_arguments, properties, write_for_us
from ops.broker_properties import Node as Described
from ops.jars import FOLDER, jars, java, locked
from ops.pids import PidFile, detach, read_json, stop_all, write_json
from ops.ports import free_block, is_free
from ops.settings import user_cache
from schemas.errors import Misconfigured, Unavailable
from streams.kafka import Kafka, Protocol

READY_SECS = 90.0
GRACE_SECS = 15.0


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it is now; `pid` None: it does not run."""

    node: int
    port: int
    pid: int | None
    answers: bool


class Broker:
    """A local Kafka cluster of one or three nodes, numbered from 1."""

    def __init__(
        self,
        home: Path,
        nodes: int = 1,
        port: int | None = None,
        cache: Path | None = None,
        *,
        detour: Detour | None = None,
        guard: Guard | None = None,
    ) -> None:
        """`port` is the first of 2 x `nodes` neighbouring ports; None: free ones, the same again when they are free.

        With a `detour`, who comes by a proxy is told to go on by the proxies. With a `guard`, nobody may do anything
        but with the rights that he was given.
        """
        self.home = home
        self.nodes = nodes
        self._port = port
        self._cache = cache or user_cache()
        self._detour = detour
        self._guard = guard
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

    @property
    def kafka(self) -> Kafka:
        """The way to the cluster as its own user; raises Unavailable when it was never started."""
        return self._as_itself(self.bootstrap)

    def addresses(self, protocol: Protocol) -> str:
        """Return where the nodes are spoken to by a protocol of the guard; raises ValueError for another."""
        place = (self._guard.protocols if self._guard else ("PLAINTEXT",)).index(protocol)
        return ",".join(self._described(n).listeners[place].advertised for n in self._all())

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
        if layout and layout.get("guarded", False) != (self._guard is not None):
            raise Misconfigured(
                "broker-guard-changed",
                f"{self.home / 'kafka'} holds a cluster {'without' if self._guard else 'with'} principals: "
                "set MIGEX_KAFKA__PROTOCOL back, or choose another MIGEX_HOME.",
            )
        port = self._port or layout.get("port")
        if port is None or (self._port is None and fresh and not all(map(is_free, self._ports(port)))):
            port = free_block(self._width())
        if not fresh:
            port = layout["port"]
        cluster = layout.get("cluster_id") or urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        guarded = self._guard is not None
        write_json(self._layout, {"cluster_id": cluster, "nodes": self.nodes, "port": port, "guarded": guarded})

    def _ports(self, first: int) -> range:
        return range(first, first + self._width())

    def _width(self) -> int:
        """Return how many ports the cluster takes."""
        return self.nodes * (1 + (1 if self._guard is None else len(self._guard.protocols)))

    def _check_ports(self, nodes: Sequence[int]) -> None:
        first = read_json(self._layout)["port"]
        for port in [port for n in nodes for port in self._ports(first)[n - 1 :: self.nodes]]:
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
            write_for_us(folder / "server.properties", properties(self._described(node), self._guard))
            if not folder.joinpath("data", "meta.properties").exists():
                told = folder / "format.arguments"
                write_for_us(told, format_arguments(_flags(classpath), cluster, folder, self._guard))
                tool = [program, f"@{told}"]
                running.append(subprocess.Popen(tool, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        outputs = [(tool.communicate()[0], tool.returncode) for tool in running]
        for node in nodes:
            self._folder(node).joinpath("format.arguments").unlink(missing_ok=True)
        for text, code in outputs:
            if code != 0:
                raise Unavailable("broker-format", f"Kafka could not prepare its directory: {_tail(text)}")

    def _spawn(self, program: str, classpath: str, node: int) -> None:
        argv = [program, *_flags(classpath), "kafka.Kafka", str(self._folder(node) / "server.properties")]
        self._pid_file(node).record(detach(argv, self._log(node)), node=node)

    def _until_answering(self, nodes: Sequence[int]) -> None:
        first = read_json(self._layout)["port"]
        end = time.monotonic() + READY_SECS
        ports = [first + n - 1 for n in nodes]
        while not all(map(_listens, ports)) or not all(set(nodes) <= self._members(port) for port in ports):
            for node in nodes:
                self._check_alive(node)
            if time.monotonic() > end:
                raise Unavailable("broker-silent", f"The local broker did not answer within {READY_SECS:.0f} s.")
            time.sleep(0.1)

    def _members(self, port: int) -> set[int]:
        """Return the nodes of the cluster that this node knows to be serving; empty when it does not answer."""
        with ThreadPoolExecutor(1) as thread:  # a loop may be running in ours
            return thread.submit(asyncio.run, _ask(self._as_itself(f"127.0.0.1:{port}"))).result()

    def _as_itself(self, bootstrap: str) -> Kafka:
        return Kafka(bootstrap) if self._guard is None else self._guard.kafka(bootstrap)

    def _check_alive(self, node: int) -> None:
        if self._pid_file(node).pid() is None:
            text = self._log(node).read_text(encoding="utf-8", errors="replace")
            raise Unavailable("broker-ended", f"Node {node} ended; {self._log(node)} says last: {_tail(text)}")

    def _described(self, node: int) -> Described:
        first = read_json(self._layout)["port"]
        protocols = ("PLAINTEXT",) if self._guard is None else self._guard.protocols
        listeners = []
        for place, protocol in enumerate(protocols):
            # the controllers' ports stand between the first protocol's and the others'
            address = f"127.0.0.1:{first + (place + (place > 0)) * self.nodes + node - 1}"
            listeners.append(Listener(protocol, protocol, address, address))
        if self._detour is not None:
            listens, told = (f"127.0.0.1:{port + node - 1}" for port in self._detour)
            listeners.append(Listener("DETOUR", protocols[0], listens, told))
        controllers = [f"127.0.0.1:{first + self.nodes + n - 1}" for n in self._all()]
        return Described(node, controllers, listeners, self._folder(node) / "data")


def _flags(classpath: str) -> list[str]:
    quiet = f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.properties'}"
    return ["-Xmx512m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", quiet, "-cp", classpath]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


async def _ask(kafka: Kafka) -> set[int]:
    from aiokafka.client import AIOKafkaClient, CoordinationType  # noqa: PLC0415  # 0.3 s, not needed for `status`
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # not being there yet is no news
    client = AIOKafkaClient(**kafka.options(), request_timeout_ms=3000)
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
