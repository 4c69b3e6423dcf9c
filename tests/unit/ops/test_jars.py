"""Kafka's jars: fetched once, whoever asks at the same time; what is missing is named. Maven is a small script here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FETCH = "from pathlib import Path; import sys; from ops.jars import jars; print(jars(Path(sys.argv[1])))"
MAVEN = """#!/bin/sh
echo fetched >> "$(dirname "$0")/calls"
for word in "$@"; do case "$word" in -DoutputDirectory=*) out="${word#*=}";; esac; done
/bin/sleep 0.3
/bin/mkdir -p "$out" && echo jar > "$out/kafka.jar"
"""
JAVA = """#!/bin/sh
echo 'openjdk version "%s" 2025-04-15' >&2
"""


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o700)


def start(argv: list[str], programs: Path, cache: Path) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MIGEX_")}
    environ = {
        **clean,
        "PATH": f"{programs}:/usr/bin/nowhere",
        "MIGEX_CACHE": str(cache),
        "MIGEX_HOME": str(cache / "h"),
    }
    return subprocess.Popen(
        [sys.executable, *argv], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_at_the_same_time_fetch_once(tmp_path: Path) -> None:
    programs, cache = tmp_path / "bin", tmp_path / "cache"
    programs.mkdir()
    # sh is found by its path; dirname is the one tool that the script needs by name
    program(programs, "mvn", MAVEN.replace("dirname", "/usr/bin/dirname"))
    both = [start(["-c", FETCH, str(cache)], programs, cache) for _ in range(2)]
    outputs = [running.communicate(timeout=60) for running in both]
    assert [running.returncode for running in both] == [0, 0], outputs
    folders = {out.strip() for out, _ in outputs}
    assert len(folders) == 1
    assert [path.name for path in Path(folders.pop()).iterdir()] == ["kafka.jar"]
    assert (programs / "calls").read_text() == "fetched\n"
    assert [path.name for path in (cache / "kafka").iterdir() if path.name.startswith(".")] == [".lock"]


@pytest.mark.parametrize(
    ("installed", "status", "said"),
    [
        ({}, 78, "java-missing: The local broker needs Java 17"),
        ({"java": JAVA % "11.0.2"}, 78, "java-old: "),
        ({"java": JAVA % "1.8.0_292"}, 78, "java-old: "),
        ({"java": JAVA % "21.0.1"}, 78, "maven-missing: "),
        (
            {"java": JAVA % "17.0.15", "mvn": "#!/bin/sh\necho '[ERROR] no way out'; exit 1\n"},
            75,
            "jars-unavailable: Maven could not fetch Kafka's jars: [ERROR] no way out",
        ),
    ],
)
def test_what_is_missing_is_named_with_another_way(
    installed: dict[str, str], status: int, said: str, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in installed.items():
        program(programs, name, text)
    running = start(["-m", "ops.cli", "broker", "up"], programs, tmp_path / "cache")
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors.count("\n")) == (status, 1)
    assert f"migex: {said}" in errors
    assert status == 75 or "MIGEX_BROKER__BOOTSTRAP" in errors
