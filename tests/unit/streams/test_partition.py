"""State, outbox and position in one write (law L2): a partition that is killed in every window, and opened again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import Broken, Misconfigured, Unavailable
from schemas.frame import encode, tick_frame
from streams.checkpoints import Checkpoints
from streams.deduplicate import Deduplicate
from streams.fold import Effect, Fold, Message, Send, View
from streams.partition import Output, Partition
from streams.reconcile.fold import Reconcile
from streams.replay import Replay
from streams.rocks import Identity
from tests.laws.records import Crossing, Entry, delivery, inbox_frame, rules
from tests.laws.worlds import worlds

IDENTITY = Identity("cluster", "topic", 0, 1, "count")


class Sum:
    """A fold that adds numbers up and sends each sum; it fails on `bad`."""

    hot = b""

    def fold(self, view: View, messages: Sequence[Message]) -> Sequence[Effect]:
        sends = []
        for message in messages:
            if message.value == b"bad":
                raise ZeroDivisionError
            total = int(view.get(b"sum") or b"0") + int(message.value)
            view.put(b"sum", str(total).encode())
            sends.append(Send("log", 0, str(total).encode()))
        return sends


def messages(*values: int, start: int = 0) -> list[Message]:
    return [Message(start + i, str(value).encode()) for i, value in enumerate(values)]


def place(directory: Path, identity: Identity = IDENTITY) -> Partition:
    return Partition(directory, identity, Sum())


def killed(at: Partition, directory: Path) -> Partition:
    """Return the partition as the next process finds it: what was written is there, whatever was in memory is not."""
    left = directory.with_name(directory.name + "+")
    shutil.copytree(directory, left)
    at.close()
    return place(left)


def said(outputs: Sequence[Output]) -> list[tuple[int, bytes]]:
    return [(output.number, output.value) for output in outputs]


def test_killed_before_the_write_nothing_has_happened(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    at.step(messages(1))
    at.acknowledge()
    with pytest.raises(ZeroDivisionError):
        at.step([*messages(2, start=1), Message(2, b"bad")])
    at = killed(at, tmp_path / "p")
    assert (at.position, at.view.get(b"sum"), said(at.unsent())) == (1, b"1", [(1, b"1")])
    outputs, _ = at.step(messages(2, start=1))
    assert said(outputs) == [(2, b"3")]


def test_killed_after_the_write_before_the_send_the_outputs_are_sent_by_the_next_process(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    outputs, _ = at.step(messages(1, 2))
    at = killed(at, tmp_path / "p")
    assert said(at.unsent()) == said(outputs) == [(1, b"1"), (2, b"3")]
    assert (at.position, at.outbox) == (2, 2)


def test_killed_after_the_send_before_the_acknowledgement_they_are_sent_again_and_the_numbers_go_on(
    tmp_path: Path,
) -> None:
    at = place(tmp_path / "p")
    at.step(messages(1, 2, 3))
    at.acknowledge()  # of the first, and it is forgotten with the next write only
    at = killed(at, tmp_path / "p")
    assert [number for number, _ in said(at.unsent())] == [1, 2, 3]
    outputs, _ = at.step(messages(4, start=3))
    assert said(outputs) == [(4, b"10")]
    assert [number for number, _ in said(at.unsent())] == [1, 2, 3, 4]


def test_what_was_acknowledged_leaves_the_outbox_with_the_next_write(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    at.step(messages(1, 2, 3))
    for _ in range(2):
        at.acknowledge()
    assert at.outbox == 1
    at.step(messages(4, start=3))
    at.acknowledge()
    at = killed(at, tmp_path / "p")
    assert [number for number, _ in said(at.unsent())] == [3, 4]


def test_outputs_keep_their_order_beyond_a_byte(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    at.step(messages(*range(300)))
    at = killed(at, tmp_path / "p")
    assert [number for number, _ in said(at.unsent())] == list(range(1, 301))


def test_messages_that_were_folded_are_skipped(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    at.step(messages(1, 2))
    assert at.step(messages(1, 2)) == ([], [])
    outputs, _ = at.step(messages(1, 2, 3))
    assert said(outputs) == [(3, b"6")]
    assert at.position == 3


@pytest.mark.parametrize("offsets", [[1], [0, 2], [0, 1, 1, 2], [1, 0]], ids=["first", "within", "twice", "order"])
def test_a_gap_stops_and_changes_nothing(tmp_path: Path, offsets: list[int]) -> None:
    at = place(tmp_path / "p")
    with pytest.raises(Broken, match="offset-gap"):
        at.step([Message(offset, b"1") for offset in offsets])
    assert (at.position, at.view.get(b"sum"), at.outbox) == (0, None, 0)


@pytest.mark.parametrize("field", Identity._fields)
def test_the_state_of_another_cluster_topic_partition_generation_or_agent_is_refused(
    tmp_path: Path, field: str
) -> None:
    place(tmp_path / "p").close()
    other = 7 if field in {"partition", "generation"} else "other"
    with pytest.raises(Misconfigured, match=r"foreign-state.*move it away") as caught:
        place(tmp_path / "p", IDENTITY._replace(**{field: other}))  # type: ignore[arg-type]
    assert str(other) in caught.value.detail
    place(tmp_path / "p").close()  # it let go of the state, and its owner may go on


def test_a_state_that_is_open_elsewhere_is_unavailable_until_it_is_let_go(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    with pytest.raises(Unavailable, match="state-locked"):
        place(tmp_path / "p")
    at.close()
    place(tmp_path / "p").close()


def test_a_state_is_written_by_whole_batches_only(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    with pytest.raises(Broken, match="unbatched-write"):
        at.view.put(b"sum", b"1")
    with pytest.raises(Broken, match="unbatched-write"):
        at.view.delete(b"sum")


def test_a_scan_yields_its_prefix_in_order_and_nothing_else(tmp_path: Path) -> None:
    at = place(tmp_path / "p")
    at.step(messages(1, 2))
    assert [key[:1] for key, _ in at.view.scan(b"x")] == [b"x", b"x"]
    assert list(at.view.scan(b"nothing")) == []


class Kills:
    """Deduplicate and reconcile on disk, over topics in memory, with processes that die in any window."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.chance = chance
        self.world = Replay(rules(), 1, 1)
        self.directory = directory
        self.folds: dict[str, Fold] = {
            "deduplicate": Deduplicate(0, 1, {1: "gpk", 2: "mvd"}),
            "reconcile": Reconcile(0, 1, rules()),
        }
        self.places = {name: self.open(name) for name in self.folds}
        self.sources = {"deduplicate": self.world.inbox, "reconcile": self.world.log}

    def open(self, name: str) -> Partition:
        return Partition(self.directory / name, Identity("c", "t", 0, 1, name), self.folds[name])

    def successor(self, name: str, at: Partition, left: Sequence[Output]) -> Partition:
        """Return the place at which work goes on when the process at this one has died, before it sent what is left."""
        at.close()
        return self.open(name)

    def work(self) -> None:
        """Fold everything; a process dies now and then: before it sends, in the midst of sending, or unacknowledged."""
        while True:
            busy = [n for n, s in self.sources.items() if self.places[n].position < len(s.partitions[0])]
            if not busy:
                break
            self._step(self.chance.choice(busy))
        self.world.run()

    def _step(self, name: str) -> None:
        at = self.places[name]
        values = self.sources[name].partitions[0][at.position :][: self.chance.randint(1, 4)]
        outputs, _ = at.step([Message(at.position + i, value) for i, value in enumerate(values)])
        dies = self.chance.random() < 0.4
        sent = self.chance.randint(0, len(outputs)) if dies else len(outputs)
        self._send(at, outputs[:sent], left=len(outputs) - sent)
        if dies:
            self.places[name] = at = self.successor(name, at, outputs[sent:])
            self._send(at, at.unsent())

    def end(self) -> None:
        for at in self.places.values():
            at.close()

    def _send(self, at: Partition, outputs: Sequence[Output], left: int = 0) -> None:
        """Send these and acknowledge some of what was sent; the last `left` of the outbox were not."""
        for output in outputs:
            if output.topic in {"log", "partials"}:
                (self.world.log if output.topic == "log" else self.world.partials).append(0, output.value)
        for _ in range(self.chance.randint(0, at.outbox - left)):
            at.acknowledge()


class Hosts(Kills):
    """The same on hosts that share checkpoints; who is taken for dead may go on for a while, and comes back later."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.zombies: list[tuple[str, Partition, Sequence[Output]]] = []  # who, where, what it was about to send
        super().__init__(directory, chance)

    def open(self, name: str) -> Partition:
        identity = Identity("c", "t", 0, 1, name)
        while True:
            host = self.chance.choice("abc")
            shelf = Checkpoints(self.directory / "shelf", identity, host)
            try:
                return Partition(self.directory / host / name, identity, self.folds[name], shelf)
            except Unavailable:
                continue

    def successor(self, name: str, at: Partition, left: Sequence[Output]) -> Partition:
        if self.chance.random() < 0.5 and sum(name == other for other, _, _ in self.zombies) < 2:
            self.zombies.append((name, at, left))
        else:
            at.close()
        return self.open(name)

    def _step(self, name: str) -> None:
        super()._step(name)
        if self.chance.random() < 0.1 and (publish := self.places[name].checkpoint()):
            publish()
        if self.zombies and self.chance.random() < 0.5:
            other, at, left = zombie = self.chance.choice(self.zombies)
            values = self.sources[other].partitions[0][at.position :][: self.chance.randint(1, 4)]
            outputs, _ = at.step([Message(at.position + i, value) for i, value in enumerate(values)])
            self._send(at, [*left, *outputs])
            self.zombies.remove(zombie)
            if self.chance.random() < 0.5:
                at.close()
            else:
                self.zombies.append((other, at, ()))

    def end(self) -> None:
        super().end()
        for _, at, _ in self.zombies:
            at.close()


def check(kills: Kills, entries: list[Entry]) -> None:
    """Compare the cells with those of the same folds in memory, where nobody dies."""
    clean = Replay(rules(), 1, 1)
    for i, entry in enumerate([*entries, delivery(Crossing("last"))]):
        for world in (clean, kills.world):
            world.inbox.append(0, inbox_frame([entry]))
            world.inbox.append(0, encode(tick_frame(10 + i)))
    clean.run()
    kills.world.deduplicate, kills.world.reconcile = [], []
    kills.work()
    kills.end()
    assert {key: cell[:3] for key, cell in kills.world.cells.items()} == {
        key: cell[:3] for key, cell in clean.cells.items()
    }


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(most=5), st.integers(0, 2**32 - 1))
def test_whatever_dies_and_whenever_the_cells_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], seed: int
) -> None:
    check(Kills(tmp_path_factory.mktemp("kills"), random.Random(seed)), entries)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(most=5), st.integers(0, 2**32 - 1))
def test_whichever_host_goes_on_and_from_which_checkpoint_the_cells_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], seed: int
) -> None:
    check(Hosts(tmp_path_factory.mktemp("hosts"), random.Random(seed)), entries)
