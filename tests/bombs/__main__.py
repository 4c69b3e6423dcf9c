"""Lets bombs go off: `python -m tests.bombs [WORD …]`, those whose names begin with one of the words.

A line each: the name, the code that it was told, the MiB by which the process grew, and the seconds of CPU.
"""

from __future__ import annotations

import sys

from tests.bombs.all import BOMBS
from tests.bombs.blast import cost
from tests.bombs.doors import gateway

gateway()
words = tuple(sys.argv[1:])
for name, bomb in BOMBS.items():
    if not words or name.startswith(words):
        code, mebibytes, cpu_secs = cost(bomb)
        sys.stdout.write(f"{name}\t{code}\t{mebibytes:.1f}\t{cpu_secs:.2f}\n")
        sys.stdout.flush()
