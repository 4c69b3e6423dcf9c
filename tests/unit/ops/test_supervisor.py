"""The supervisor with real processes: small programs instead of the product's."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops import pids
from ops.chaos.house import fill, mount, unmount
from ops.pids import PidFile, read_json
from ops.settings import Settings
from ops.supervisor import Supervisor, supervisor_file, turn
from schemas.errors import Misconfigured
from tests.waiting import until

STAY = "import time; print('here', flush=True); time.sleep(60)"
IGNORE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
ENDS = """
import os, sys, time
statuses, log = {statuses}, {log!r}
nth = open(log).read().count("begun")
print("begun", flush=True)
if nth == len(statuses):
    time.sleep(60)
if statuses[nth] < 0:
    os.kill(os.getpid(), -statuses[nth])
sys.exit(statuses[nth])
"""
SUPERVISE = """
import json, sys
from pathlib import Path
from ops import logs, supervisor
from ops.settings import Logs, Settings
logs.set_up()
supervisor.GRACE_SECS, supervisor._TURN_EVERY_SECS = 1.0, 0.2
home, argv = Path(sys.argv[1]), json.loads(sys.argv[2])
patience = supervisor.Patience(first_secs=0.05, longest_secs=0.2, quick_secs=5.0, deaths=3)
supervisor.Supervisor(Settings(home=home, logs=Logs(max_megabytes=1)), argv, patience).run()
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
    if "broken" in (names := file.read_text().split()):
        raise ValueError("what the store says is not understood")
    return {n: Program([sys.executable, "-c", stay], settings, {"generation": 2}) for n in names}

patience = supervisor.Patience(first_secs=0.05, longest_secs=0.2, quick_secs=5.0, deaths=30)
supervisor.Supervisor(settings, {}, patience, crews=crews).run()
"""


class System:
    """A supervisor in a process of its own, over small programs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.supervisor: subprocess.Popen[bytes] | None = None

    def start(self, **sources: str) -> None:
        argv = {name.replace("_", "-"): [sys.executable, "-c", source] for name, source in sources.items()}
        self.supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(self.home), json.dumps(argv)],
            stderr=(self.home / "said").open("a"),
        )

    def muster(self, *names: str) -> None:
        """Say which workers are wanted, and start a supervisor that asks for them."""
        (self.home / "draft").write_text(" ".join(names))
        (self.home / "draft").replace(self.home / "wanted")
        if self.supervisor is None:
            self.supervisor = subprocess.Popen([sys.executable, "-c", MUSTER, str(self.home)])

    def noted(self, name: str) -> dict[str, object]:
        return read_json(self.home / "run" / f"{name}.json")

    def said(self, event: str, name: str) -> int:
        """Return how often the supervisor has said this of a process."""
        lines = map(json.loads, (self.home / "said").read_text().splitlines())
        return sum(line["event"] == event and line["name"] == name for line in lines)

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


def test_only_its_own_deaths_in_a_row_cost_a_process_its_place(system: System) -> None:
    """Own: neither did it say that something is away, nor was it killed. Three of them are too many here."""
    ends = {
        "gateway": [75, 75, 75, 75, 70],
        "feed": [75, 70, 75, 70, 75, 70, 75, 70],
        "clock": [75, -9, -9, -9, -9, 70, 70],
        "registry": [70, 70, 75, 1, 1],
        "aggregate": [75, 75, 75, 70, 1, 70],
    }
    log = system.home / "logs"
    system.start(**{name: ENDS.format(statuses=each, log=str(log / f"{name}.log")) for name, each in ends.items()})
    until(lambda: all(system.log(name).count("begun") >= len(each) for name, each in ends.items()))
    until(lambda: system.noted("aggregate")["state"] == "failed")
    del ends["aggregate"]
    until(lambda: all(system.log(name).count("begun") > len(each) and system.pid(name) for name, each in ends.items()))


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


def test_an_answer_that_goes_wrong_leaves_those_who_run_alone(system: System) -> None:
    system.muster("reconcile")
    until(lambda: system.pid("reconcile"))
    first = system.pid("reconcile")
    system.muster("broken")
    time.sleep(0.5)
    assert system.pid("reconcile") == first
    system.muster("reconcile", "aggregate")
    until(lambda: system.pid("aggregate"))
    assert system.pid("reconcile") == first


# --- a disk that does not take what is written ---


@contextmanager
def away(directory: Path) -> Iterator[None]:
    """Nobody can write there meanwhile: a file stands in the directory's place."""
    elsewhere = directory.rename(directory.with_name("elsewhere"))
    directory.touch()
    yield
    directory.unlink()
    elsewhere.rename(directory)


def test_who_dies_is_started_again_while_no_note_can_be_written_and_noted_when_it_can(system: System) -> None:
    system.start(feed=STAY, clock=STAY)
    until(lambda: "here" in system.log("feed") and "here" in system.log("clock"))
    first, clock = system.pid("feed"), system.pid("clock")
    assert first
    with away(system.home / "run"):
        os.kill(first, signal.SIGKILL)
        until(lambda: system.log("feed").count("here") == 2)
        time.sleep(2.0)  # it is tried once a second
    until(lambda: system.pid("feed") not in {None, first})
    assert system.noted("feed")["restarts"] == 1
    assert system.pid("clock") == clock
    assert system.said("A note cannot be written.", "feed") == 1


def test_who_has_no_log_to_write_to_is_started_when_it_has(system: System) -> None:
    system.start(feed=STAY)
    until(lambda: "here" in system.log("feed"))
    first = system.pid("feed")
    assert first
    with away(system.home / "logs"):
        os.kill(first, signal.SIGKILL)
        until(lambda: system.noted("feed")["state"] == "waiting")
        time.sleep(1.0)  # more attempts than deaths by which it would be given up
        assert system.noted("feed")["state"] == "waiting"
    until(lambda: system.pid("feed") not in {None, first})
    assert system.said("A process cannot be started.", "feed") == 1


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Meanwhile no file of this process can become larger, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_note_that_cannot_be_written_leaves_the_old_one_and_no_half_of_the_new_one(tmp_path: Path) -> None:
    pids.write_json(tmp_path / "x.json", {"state": "up"})
    with small_files(5), pytest.raises(OSError, match="too large"):
        pids.write_json(tmp_path / "x.json", {"state": "waiting"})
    assert {path.name for path in tmp_path.iterdir()} == {"x.json"}
    assert read_json(tmp_path / "x.json") == {"state": "up"}


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b"12", b"[]", b"\xff\x00"])
def test_a_note_that_is_none_of_ours_says_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert read_json(tmp_path / "x.json") == {}
    assert PidFile(tmp_path / "x.json").pid() is None


def test_a_log_for_whose_copy_there_is_no_room_goes_on_and_no_half_of_it_is_left(tmp_path: Path) -> None:
    log = tmp_path / "feed.log"
    for name, text in (("", "new\n" * 100), (".1", "one"), (".2", "two"), (".3", "three")):
        (tmp_path / f"feed.log{name}").write_text(text)
    for _ in range(3):
        with small_files(100), pytest.raises(OSError, match="too large"):
            turn(log, max_bytes=3)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"feed.log": "new\n" * 100, "feed.log.1": "one", "feed.log.2": "two"}
    turn(log, max_bytes=3)
    assert (log.read_text(), (tmp_path / "feed.log.1").read_text()) == ("", "new\n" * 100)


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Iterator[System]:
    """A system whose home is a disk of 8 MiB."""
    if not mount(tmp_path / "home", 8 << 20):
        pytest.skip("this user may not mount a disk")
    made = System(tmp_path / "home")
    yield made
    made.end()
    unmount(made.home)


def test_a_full_disk_ends_nothing_and_all_is_up_and_noted_when_it_is_freed(on_small_disk: System) -> None:
    system, home = on_small_disk, on_small_disk.home
    state = f"open({str(home / 'state')!r}, 'w').write('x' * 200_000)"
    keeper = f"import sys\ntry: {state}\nexcept OSError: sys.exit(75)\n{STAY}"
    system.start(feed=STAY, clock=STAY, aggregate=keeper)
    names = ["feed", "clock", "aggregate"]
    until(lambda: all("here" in system.log(name) for name in names))
    (home / "state").unlink()
    (home / "grown").write_text("grown\n" * 200_000)  # more than a log may have
    fill(home / "ballast")
    (home / "grown").rename(home / "logs" / "gateway.log")
    first = {name: system.pid(name) for name in names}
    for pid in first.values():
        assert pid
        os.kill(pid, signal.SIGKILL)
    time.sleep(3.0)
    assert system.supervisor
    assert system.supervisor.poll() is None
    (home / "ballast").unlink()
    until(lambda: all(system.pid(name) not in {None, first[name]} for name in names))
    assert {system.noted(name)["state"] for name in names} == {"up"}
    assert all(int(str(system.noted(name)["restarts"])) for name in names)
    until(lambda: (home / "logs" / "gateway.log").read_text() == "")
    assert [path for folder in ("run", "logs") for path in (home / folder).glob(".*")] == []


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
