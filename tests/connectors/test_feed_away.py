"""A feed store that is away just now: its process is started again until it is back, and never given up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from connectors.feed_store import FeedStore
from schemas.errors import Unavailable

WITHOUT_FILES = """
import os, resource, sys
from connectors.feed_store import FeedStore
from schemas.errors import Unavailable
FeedStore(sys.argv[1], 1).close()
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    FeedStore(sys.argv[1], 1)
except Unavailable as error:
    print(error.code)
"""


def test_a_file_that_cannot_be_opened_just_now_is_away(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WITHOUT_FILES, f"sqlite:///{tmp_path}/feed.db"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "feed-away\n", done.stderr


def test_a_server_that_does_not_answer_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="feed-away"):
        FeedStore(f"postgresql://postgres@/postgres?host={tmp_path}", 1)
