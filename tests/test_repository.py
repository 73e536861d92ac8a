"""The repository speaks of the product alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def linter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_repository", ROOT / "tools/check_repository.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_repository_is_clean(linter: ModuleType) -> None:
    names = linter.tracked(ROOT)
    assert "pyproject.toml" in names
    assert [line for name in names for line in linter.check(ROOT, name)] == []


@pytest.mark.parametrize(
    "text",
    [
        "see /work/design.md",
        "HOME = '/root'",
        "open('/home/jane/net.pt')",
        "see shared/design.md",
        "see ../shared/spec/papers.md",
        "done in the next session",
        "written by an AI assistant",
        "as issue 12 says",
        "fixes #12.",
        "pip install -i https://pypi.org/simple",
        "https://download.pytorch.org/whl/cpu",
        "# TODO: later",
    ],
)
def test_linter_finds(linter: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.py").write_text(f"fine\n{text}\n")
    found = linter.check(tmp_path, "x.py")
    assert len(found) == 1 and found[0].startswith("x.py:2: ")


@pytest.mark.parametrize(
    "text",
    [
        "work = folder / 'work'",
        "out/work/rtl",
        "(out/work, out/host/work, ...)",
        "make -C out/vivado",
        "a session of simulation",
        "color: #123456;",
        "shared memory",
        "the ring is shared by both",
    ],
)
def test_linter_leaves_alone(linter: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.md").write_text(text)
    assert linter.check(tmp_path, "x.md") == []


def test_linter_finds_a_file_too_long(linter: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("x = 1\n" * (linter.LONGEST + 1))
    assert len(linter.check(tmp_path, "x.py")) == 1
    (tmp_path / "x.py").write_text("x = 1\n" * linter.LONGEST)
    assert linter.check(tmp_path, "x.py") == []
