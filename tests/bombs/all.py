"""All bombs, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bombs.blast import Bomb
from tests.bombs.files import FILES, WORKBOOKS
from tests.bombs.requests import EVENTS, PREFLIGHTS, QUESTIONS
from tests.bombs.schemas import MESSAGES, SCHEMAS

BOMBS: Mapping[str, Bomb] = {**EVENTS, **PREFLIGHTS, **QUESTIONS, **WORKBOOKS, **FILES, **SCHEMAS, **MESSAGES}
