"""The template with real processes: who is forked from it is a child of the supervisor, and lives without it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.pids import started
from ops.settings import with_free_ports
from ops.template import Forked, Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to whom they descend from")

HOST = """
import sys, time
from pathlib import Path
from ops.settings import load
from ops.template import Template
template = Template()
while not template.prepared(time.monotonic()):
    time.sleep(0.02)
forked = template.fork(["registry"], load().inherited(), Path(sys.argv[1]))
print(template._process.pid, forked.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    made = Template()
    prepare(made)
    yield made
    made.end()
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # orphans of other tests are not ours


def prepare(template: Template) -> None:
    while not template.prepared(time.monotonic()):
        time.sleep(0.02)
    assert template._ready


def fork(template: Template, log: Path, *words: str, **settings: str) -> Forked:
    forked = template.fork(words, {**os.environ, **settings}, log)
    assert forked is not None
    return forked


def test_a_forked_process_has_its_own_settings_log_and_exit_status(template: Template, tmp_path: Path) -> None:
    logs = [tmp_path / name for name in ("seven", "wrong")]
    seven = fork(template, logs[0], "config", "show", MIGEX_GENERATION="7")
    wrong = fork(template, logs[1], "config", "show", MIGEX_GENERATION="0")
    assert (seven.wait(20), wrong.wait(20)) == (0, 78)
    assert "MIGEX_GENERATION=7" in logs[0].read_text()
    assert logs[1].read_text().startswith("migex: bad-setting: MIGEX_GENERATION")
    assert (seven.poll(), wrong.poll()) == (0, 78)  # asked again


def test_who_finds_no_room_for_his_log_says_that_it_will_pass(template: Template, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    assert fork(template, tmp_path / "log", "config", "show").wait(20) == 75
    assert fork(template, tmp_path / "other", "config", "show").wait(20) == 0  # it can fork others all the same


@pytest.mark.usefixtures("template")  # at whose end the orphans are nobody's again
def test_where_no_template_can_be_started_processes_start_without_it() -> None:
    made = Template()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))  # no more files can be opened, so no pipes
    try:
        assert made.prepared(time.monotonic())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert made.fork(["config", "show"], os.environ, Path(os.devnull)) is None


def test_it_is_signalled_and_waited_for_as_any_child(template: Template, tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path)
    kept = fork(template, tmp_path / "registry.log", "registry", **settings.environment())
    address = "http://{}:{}/health".format(*settings.address("registry"))
    until_answer(address)
    assert Path(f"/proc/{kept.pid}/comm").read_text().strip() == "registry"
    with pytest.raises(subprocess.TimeoutExpired):
        kept.wait(0.1)
    kept.terminate()
    assert kept.wait(20) == 0
    kept.kill()  # of who has ended nothing comes

    killed = fork(template, tmp_path / "registry.log", "registry", **settings.environment())
    killed.kill()
    assert killed.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_template_a_process_lives_on_and_the_next_waits_for_another_one(
    template: Template, tmp_path: Path, number: signal.Signals
) -> None:
    prepare(template)
    settings = with_free_ports(tmp_path)
    kept = fork(template, tmp_path / "log", "registry", **settings.environment())
    assert template._process is not None
    gone = template._process.pid
    os.kill(gone, number)
    assert template.fork(["config", "show"], os.environ, tmp_path / "log") is None
    assert not template.prepared(time.monotonic())
    prepare(template)
    assert template._process.pid != gone
    assert kept.poll() is None
    assert fork(template, tmp_path / "log", "config", "show").wait(20) == 0
    kept.kill()
    kept.wait(20)


def test_all_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    settings = with_free_ports(tmp_path)
    argv = [sys.executable, "-c", HOST, str(tmp_path / "log")]
    host = subprocess.Popen(argv, env=settings.inherited(), stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    pids = [int(pid) for pid in host.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(started, pids))
    host.kill()
    host.wait()
    end = time.monotonic() + 20
    while any(map(started, pids)):
        assert time.monotonic() < end, "somebody is left"
        time.sleep(0.02)


def until_answer(address: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            httpx.get(address).raise_for_status()
        except httpx.TransportError:
            assert time.monotonic() < end, "it did not answer in time"
            time.sleep(0.05)
        else:
            return
