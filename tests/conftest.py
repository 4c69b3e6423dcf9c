"""What all tests share: how they are dealt to the two cores."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file on one core, and everything that needs the broker on one core, so that one broker serves all."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            group = "broker" if item.get_closest_marker("broker") else item.path.as_posix()
            item.add_marker(pytest.mark.xdist_group(group))
