"""Tries one input of the fuzz tests again: `python -m tests.fuzz SURFACE SEED NUMBER`, as their failure says."""

from __future__ import annotations

import asyncio
import sys
from random import Random

from tests.fuzz.surfaces import surfaces

surface, seed, number = sys.argv[1:]
asyncio.run(surfaces()[surface](Random(f"{surface} {seed} {number}")))
