"""The containers name only what exists: processes, settings, ports, volumes, files of the build."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from ops import settings
from ops.broker_properties import Guard, container_files
from ops.processes import AGENTS, PROCESSES
from ops.settings import Settings
from tests.house import tree

COMPOSE: Mapping[str, Any] = yaml.safe_load((tree.ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (tree.ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STEPS = ("init", "kafka-files", "rights", "topics")
OURS = sorted(name for name, service in COMPOSE["services"].items() if service.get("build"))


def environment(name: str) -> dict[str, str]:
    """Return what a container of ours finds in its environment."""
    built = dict(each.split("=", 1) for line in lines("ENV") for each in line.split())
    own: dict[str, str] = COMPOSE["services"][name]["environment"]
    return built | own


def lines(instruction: str) -> list[str]:
    """Return what the Dockerfile says after an instruction, each time."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)


def volumes(name: str) -> dict[str, str]:
    """Return the named volumes of a service by where they are mounted."""
    mounts = [volume.split(":") for volume in COMPOSE["services"][name].get("volumes", [])]
    return {where: volume for volume, where, *_ in mounts if not volume.startswith(".")}


def published(name: str) -> list[int]:
    return [int(port.rpartition(":")[2]) for port in COMPOSE["services"][name].get("ports", [])]


def test_every_container_is_a_process_or_what_it_needs() -> None:
    # A process without a container is no error here: whoever runs it elsewhere need not run it in containers.
    assert set(COMPOSE["services"]) <= {*PROCESSES, *STEPS, "kafka", "prometheus", "grafana"}


def test_the_containers_run_the_kafka_that_the_tests_run() -> None:
    pom = ElementTree.parse(tree.ROOT / "ops" / "kafka" / "pom.xml")
    version = pom.findtext(".//{*}properties/{*}kafka.version")
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version}"


def test_containers_are_pinned_and_reachable_from_this_machine_only() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_has_a_container_whose_health_is_asked_for(name: str) -> None:
    container = COMPOSE["services"][name]
    assert container["command"] == (["worker", name] if name in AGENTS else [name])
    assert f"http://127.0.0.1:{Settings().address(name)[1]}/health" in container["healthcheck"]["test"][-1]


def test_containers_find_the_workers_where_they_answer() -> None:
    told = COMPOSE["x-process"]["environment"]["MIGEX_METRICS__WORKERS"]
    named = dict(each.split("=") for each in told.split(","))
    assert named == {name: f"{name}:{Settings().address(name)[1]}" for name in ("deduplicate", "reconcile")}


def test_what_the_containers_mount_exists() -> None:
    mounts = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    files = [volume.split(":")[0] for volume in mounts if volume.startswith("./")]
    assert files
    assert [file for file in files if not (tree.ROOT / file).exists()] == []


def test_the_container_files_follow_their_formats() -> None:
    for tool, *arguments in (
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
    ):
        command = [str(Path(sys.executable).parent / tool), *arguments]
        checked = subprocess.run(command, cwd=tree.ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", OURS)
def test_a_container_has_settings_that_there_are(name: str) -> None:
    found = settings.load(environment(name))  # raises for a name that is none and for a value that cannot be
    assert found.kafka.protocol == "SASL_PLAINTEXT"


@pytest.mark.parametrize("name", OURS)
def test_what_a_container_keeps_lies_in_a_volume(name: str) -> None:
    found = settings.load(environment(name))
    kept = {found.home, found.secrets, found.state, found.checkpoints_directory, found.archive_directory}
    kept |= {found.files_directory} if name == "file-door" else set()
    kept |= {Path(each) for each in COMPOSE["services"][name]["command"] if each.startswith("/")}
    places = [PurePosixPath(where) for where in volumes(name)]
    assert [each for each in kept if not any(each.is_relative_to(place) for place in places)] == []
    assert set(volumes(name).values()) <= set(COMPOSE["volumes"])


def test_a_volume_is_mounted_where_the_image_lets_its_user_write() -> None:
    (user,) = lines("USER")
    assert f"--uid {user} " in DOCKERFILE
    (made,) = re.findall(rf"install --directory --owner {user} --mode 0700 (.+)$", DOCKERFILE, re.MULTILINE)
    (home,) = re.findall(r"--home-dir (\S+)", DOCKERFILE)
    mounted = {where for name in OURS for where in volumes(name)}
    assert mounted == {home, *made.split()}
    assert COMPOSE["services"]["kafka"]["user"].partition(":")[0] == user, "it reads what ours have written"


def test_what_is_published_is_where_they_listen() -> None:
    found = Settings()
    listening = {"gateway": found.gateway.port, "registry": found.registry.port, "feed": found.feed.port}
    assert {name: published(name) for name in OURS if published(name)} == {n: [p] for n, p in listening.items()}
    for name in listening:
        assert getattr(settings.load(environment(name)), name).host == "0.0.0.0"  # or Docker reaches nobody


def test_containers_and_this_machine_reach_kafka_where_it_listens(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("p" * 20)
    told = container_files(tmp_path, "kafka", Guard(password))[0].read_text()
    (advertised,) = re.findall(r"^advertised.listeners=(.+)$", told, re.MULTILINE)
    inner, outer = (each.partition("://")[2] for each in advertised.split(","))
    assert {settings.load(environment(name)).broker.bootstrap for name in OURS} == {inner}
    assert COMPOSE["services"]["kafka"]["ports"] == [f"{outer}:{outer.partition(':')[2]}"]


def test_what_the_image_is_built_from_is_sent_to_the_builder() -> None:
    ignored = (tree.ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    wanted = list(copied())
    assert wanted
    assert [path for path in wanted if not any(fnmatch(path, each) for each in sent)] == []
    assert [path for path in wanted if not (tree.ROOT / path).exists()] == []


def copied() -> Iterator[str]:
    """Yield what the Dockerfile takes from the checkout."""
    for line in lines("COPY"):
        if not line.startswith("--from"):
            yield from line.split()[:-1]
