"""The supervisor with real processes: small programs instead of the product's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import pids
from ops.pids import PidFile, read_json
from ops.settings import Settings
from ops.supervisor import Supervisor, supervisor_file, turn
from schemas.errors import Misconfigured
from tests.waiting import until

STAY = "import time; print('here', flush=True); time.sleep(60)"
IGNORE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
SUPERVISE = """
import json, sys
from pathlib import Path
from ops import supervisor
from ops.settings import Settings
supervisor.GRACE_SECS = 1.0
home, argv = Path(sys.argv[1]), json.loads(sys.argv[2])
patience = supervisor.Patience(first_secs=0.05, longest_secs=0.2, quick_secs=5.0, deaths=3)
supervisor.Supervisor(Settings(home=home), argv, patience).run()
"""


MUSTER = """
import json, sys
from pathlib import Path
from ops import supervisor
from ops.crews import Program
from ops.settings import Settings
supervisor.GRACE_SECS, supervisor._ASK_EVERY_SECS = 1.0, 0.1
settings = Settings(home=Path(sys.argv[1]))

def crews():
    file = settings.home / "wanted"
    if not file.exists():
        return None
    stay = "import time; print('here', flush=True); time.sleep(60)"
    return {n: Program([sys.executable, "-c", stay], settings, {"generation": 2}) for n in file.read_text().split()}

patience = supervisor.Patience(first_secs=0.05, longest_secs=0.2, quick_secs=5.0, deaths=30)
supervisor.Supervisor(settings, {}, patience, crews=crews).run()
"""


class System:
    """A supervisor in a process of its own, over small programs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.supervisor: subprocess.Popen[bytes] | None = None

    def start(self, **sources: str) -> None:
        import json

        argv = {name.replace("_", "-"): [sys.executable, "-c", source] for name, source in sources.items()}
        self.supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(self.home), json.dumps(argv)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def muster(self, *names: str) -> None:
        """Say which workers are wanted, and start a supervisor that asks for them."""
        (self.home / "draft").write_text(" ".join(names))
        (self.home / "draft").replace(self.home / "wanted")
        if self.supervisor is None:
            self.supervisor = subprocess.Popen([sys.executable, "-c", MUSTER, str(self.home)])

    def noted(self, name: str) -> dict[str, object]:
        return read_json(self.home / "run" / f"{name}.json")

    def pid(self, name: str) -> int | None:
        return PidFile(self.home / "run" / f"{name}.json").pid()

    def log(self, name: str) -> str:
        path = self.home / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.supervisor is not None:
            self.supervisor.send_signal(number)
            self.supervisor.wait(20)
            self.supervisor = None


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    made = System(tmp_path)
    yield made
    made.end()


def alive(pid: int) -> bool:
    return pids.started(pid) is not None


def test_what_is_killed_is_started_again(system: System) -> None:
    system.start(feed=STAY)
    until(lambda: "here" in system.log("feed"))
    first = system.pid("feed")
    assert first
    os.kill(first, signal.SIGKILL)
    until(lambda: system.pid("feed") not in {None, first})
    until(lambda: system.noted("feed")["restarts"] == 1)
    assert system.noted("feed")["state"] == "up"


def test_who_dies_quickly_again_and_again_is_given_up_and_the_others_go_on(system: System) -> None:
    system.start(feed="raise SystemExit(3)", clock=STAY)
    until(lambda: system.noted("feed").get("state") == "failed")
    assert {key: system.noted("feed")[key] for key in ("restarts", "exit", "pid")} == {
        "restarts": 2,
        "exit": 3,
        "pid": None,
    }
    assert system.pid("clock")


def test_who_waits_for_what_is_away_is_never_given_up(system: System) -> None:
    system.start(feed="raise SystemExit(75)")
    until(lambda: system.noted("feed").get("restarts") == 5)  # others are given up after the second
    assert system.noted("feed")["state"] != "failed"


def test_who_is_misconfigured_is_given_up_at_once(system: System) -> None:
    system.start(feed="raise SystemExit(78)")
    until(lambda: system.noted("feed").get("state") == "failed")
    assert system.noted("feed")["restarts"] == 0


def test_stops_doors_first_and_kills_who_does_not_listen(system: System) -> None:
    note = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print(time.time()), sys.exit()))\n" + STAY
    )
    system.start(feed=note, aggregate=IGNORE, gateway=note)
    until(lambda: all("here" in system.log(name) for name in ("feed", "aggregate", "gateway")))
    stubborn = system.pid("aggregate")
    assert stubborn
    system.end()
    ended = {name: float(system.log(name).split()[-1]) for name in ("feed", "gateway")}
    assert ended["gateway"] + 0.9 < ended["feed"]  # a second of patience with aggregate lies between
    assert not alive(stubborn)
    assert system.pid("supervisor") is None
    assert list(system.home.joinpath("run").glob("*.json")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_children_die_with_a_supervisor_that_is_killed(system: System) -> None:
    system.start(feed=IGNORE)
    until(lambda: "here" in system.log("feed"))
    child = system.pid("feed")
    assert child
    system.end(signal.SIGKILL)
    until(lambda: not alive(child), secs=5)


def test_a_new_supervisor_ends_what_was_left(system: System) -> None:
    left = subprocess.Popen([sys.executable, "-c", STAY], stdout=subprocess.DEVNULL)
    PidFile(system.home / "run" / "feed.json").record(left.pid)
    system.start(feed=STAY)
    assert left.wait(10) == -signal.SIGTERM
    until(lambda: system.pid("feed") not in {None, left.pid})


def test_workers_come_and_go_as_they_are_wanted_and_the_others_stay(system: System) -> None:
    system.muster("reconcile")
    until(lambda: system.pid("reconcile"))
    first = system.pid("reconcile")
    system.muster("reconcile", "reconcile.g2", "reconcile.g2-1")
    until(lambda: system.pid("reconcile.g2") and system.pid("reconcile.g2-1"))
    killed = system.pid("reconcile.g2")
    assert killed
    os.kill(killed, signal.SIGKILL)
    until(lambda: system.pid("reconcile.g2") not in {None, killed})
    assert system.noted("reconcile.g2")["generation"] == 2
    second = system.pid("reconcile.g2-1")
    assert second
    system.muster("reconcile", "reconcile.g2")
    until(lambda: not alive(second) and system.pid("reconcile.g2-1") is None)
    (system.home / "wanted").unlink()  # nobody can say
    time.sleep(0.5)
    assert system.pid("reconcile") == first
    assert system.pid("reconcile.g2")
    system.end()
    assert list(system.home.joinpath("run").glob("*.json")) == []


def test_a_number_that_another_program_got_is_left_alone(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "x.json")
    pids.write_json(tmp_path / "x.json", {"pid": os.getpid(), "started": "long ago"})
    assert file.pid() is None
    file.stop(0.0)  # would have ended this test
    file.record(os.getpid())
    assert file.pid() == os.getpid()


def test_what_is_detached_does_not_hold_our_files_open(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        log = tmp_path / "log"
        listed = "import os; print(sorted(os.listdir('/dev/fd'), key=int)[:-1], flush=True)"  # the last is the listing
        pid = pids.detach([sys.executable, "-c", listed], log)
        os.waitpid(pid, 0)
    assert log.read_text() == "['0', '1', '2']\n"


def test_one_system_has_one_supervisor(system: System) -> None:
    system.start(feed=STAY)
    until(lambda: supervisor_file(system.home).pid())
    with pytest.raises(Misconfigured, match="already-up"):
        Supervisor(Settings(home=system.home), {}).run()


def test_logs_are_turned_by_size(tmp_path: Path) -> None:
    log = tmp_path / "feed.log"
    with log.open("a") as writer:  # stays open for appending, as a process's output does
        for n in range(6):
            writer.write(f"line {n}\n")
            writer.flush()
            turn(log, max_bytes=3)
    assert log.read_text() == ""
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "feed.log": "",
        "feed.log.1": "line 5\n",
        "feed.log.2": "line 4\n",
        "feed.log.3": "line 3\n",
    }
