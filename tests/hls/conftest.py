"""The compiler and the stand-ins, as tests of C++ want them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

STANDINS = Path(__file__).resolve().parents[2] / "templates" / "hls" / "sim"
SOURCES = Path(__file__).resolve().parent / "standins"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")

Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compiler() -> str:
    """The C++ compiler; a test without one is skipped, but not where CI says that all is there."""
    found = shutil.which("g++")
    if found is None and not os.environ.get("CI"):
        pytest.skip("g++ is missing; on Debian and Ubuntu run: apt install g++")
    return found or "g++"


@pytest.fixture(scope="session")
def scheduler(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scheduler's object file."""
    target = tmp_path_factory.mktemp("scheduler") / "xh_scheduler.o"
    command = [compiler, "-std=c++14", "-O1", *WARNINGS, "-c", STANDINS / "xh_scheduler.cpp", "-o", target]
    subprocess.run([str(part) for part in command], check=True)
    return target


@pytest.fixture(scope="session")
def network(compiler: str, scheduler: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function (folder of network.h, definitions...) -> the program that runs it, compiled once."""
    built: dict[tuple[str, ...], Path] = {}

    def build(folder: str, *definitions: str) -> Path:
        key = (folder, *definitions)
        if key not in built:
            target = tmp_path_factory.mktemp(folder) / "run"
            command: Sequence[str | Path] = (
                [compiler, "-std=c++14", "-O1", *WARNINGS, "-I", SOURCES / folder, "-I", STANDINS]
                + [f"-D{definition}" for definition in definitions]
                + [STANDINS / "run.cpp", scheduler, "-o", target]
            )
            subprocess.run([str(part) for part in command], check=True)
            built[key] = target
        return built[key]

    return build
