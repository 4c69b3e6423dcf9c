"""The built distribution holds exactly our packages, with their data, and collides with nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.house import tree


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names inside a wheel built from this checkout."""
    out = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = out.glob("*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_top_level_is_our_packages(contents: set[str]) -> None:
    top = {name.split("/")[0] for name in contents}
    assert {name for name in top if not name.endswith(".dist-info")} == set(tree.PACKAGES)


def test_every_file_of_the_packages_is_inside(contents: set[str]) -> None:
    assert {tree.name(path) for path in tree.files() if tree.in_package(path)} - contents == set()


def test_no_dependency_owns_one_of_their_names() -> None:
    owners = packages_distributions()
    assert {package: set(owners.get(package, [])) - {"migex"} for package in tree.PACKAGES} == {
        package: set() for package in tree.PACKAGES
    }


def test_the_locks_name_no_index_and_have_a_hash_for_everything() -> None:
    for lock in sorted(Path(tree.ROOT, "requirements").glob("*.txt")):
        lines = lock.read_text().replace("\\\n", " ").splitlines()
        pins = [line for line in lines if not line.lstrip().startswith("#")]
        assert pins
        assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []
