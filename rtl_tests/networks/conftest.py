"""`pytest rtl_tests --build FOLDER`: the bench on a build folder, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent / "test_build.py"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without a build folder there is nothing to collect from its test."""
    if collection_path == BENCH and config.getoption("--build") is None:
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With a build folder its test is all that was asked for."""
    if config.getoption("--build") is None:
        return
    wanted = [item for item in items if item.path == BENCH]
    config.hook.pytest_deselected(items=[item for item in items if item.path != BENCH])
    items[:] = wanted
