"""Skips without libclang, but not where tests are meant to be complete (CI is set)."""

from __future__ import annotations

import importlib.util
import os

import pytest


@pytest.fixture(autouse=True)
def libclang() -> None:
    """The parser that all of these tests stand on."""
    if importlib.util.find_spec("clang") is None:
        said = "needs libclang: pip install libclang"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
