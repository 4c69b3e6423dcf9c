"""The checker of a run of chaos is independent: it shares no code with what it checks."""

from __future__ import annotations

import ast

import pytest

from tests.house import tree

CHECKER = ("check", "reckon", "ledger", "tables")
OF_THE_PRODUCT = {"schemas", "streams", "connectors", "ops"}


@pytest.mark.parametrize("name", CHECKER)
def test_the_checker_imports_nothing_but_itself_and_what_it_reads_files_with(name: str) -> None:
    module = tree.syntax(tree.ROOT / "ops" / "chaos" / f"{name}.py")
    imported = {node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    imported |= {each.name for node in ast.walk(module) if isinstance(node, ast.Import) for each in node.names}
    ours = {each for each in imported if each.partition(".")[0] in OF_THE_PRODUCT}
    assert ours <= {f"ops.chaos.{other}" for other in CHECKER}
