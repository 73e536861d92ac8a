"""Every error that is raised says what to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "xnorhw"
CLASSES = {"BoardError", "FitError", "ModelError", "ToolError", "VerifyError", "XnorhwError"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def without_remedy(text: str) -> list[int]:
    """The lines that make an error of ours without its remedy."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in CLASSES
        and not any(keyword.arg == "remedy" for keyword in node.keywords)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_every_error_has_a_remedy(path: Path) -> None:
    assert without_remedy(path.read_text(encoding="utf-8")) == []


def test_a_missing_remedy_is_seen() -> None:
    assert without_remedy('raise ModelError("x", module="y")\nraise FitError("x", remedy="z")') == [1]
