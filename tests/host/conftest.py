"""The small network's driver, built for each processor, on a simulated board."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.host.simulated_board import Board, Program, Target, compile_shim, make
from xnorhw import golden
from xnorhw.emit.store import read_build
from xnorhw.sim.device import SimDevice
from xnorhw.sim.tools import missing_tools

FRAMES = 1200


@dataclass(frozen=True)
class Answers:
    """Seeded random frames as a program reads them, uint8 [N, H, W, C], and golden's scores [N, classes]."""

    frames: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def answers(small_build: Path) -> Answers:
    """More frames than any test sends, and what golden says of them."""
    graph = read_build(small_build).graph
    codes = np.random.default_rng(17).integers(0, 256, (FRAMES, *graph.input_tensor.shape))
    sums = golden.run(graph, codes)[graph.output]
    scores = golden.scores(graph, sums).reshape(FRAMES, -1).astype("<f4")
    return Answers(codes.transpose(0, 2, 3, 1).astype(np.uint8), scores)


@pytest.fixture(scope="session")
def host_folder(small_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the build's host/, to make in."""
    folder = tmp_path_factory.mktemp("driver") / "host"
    shutil.copytree(small_build / "host", folder, ignore=shutil.ignore_patterns("work"))
    return folder


@pytest.fixture(scope="session")
def programs(host_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Target], Program]:
    """The command-line program of a processor, made at the first call."""
    shims = tmp_path_factory.mktemp("shims")
    made: dict[str, Program] = {}

    def get(target: Target) -> Program:
        target.require()
        if target.name not in made:
            folder = make(host_folder, target)
            made[target.name] = Program(folder / "accel-run", compile_shim(target, shims), target)
        return made[target.name]

    return get


@pytest.fixture(scope="session")
def device_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the device's program is compiled, once."""
    return tmp_path_factory.mktemp("device")


@pytest.fixture(scope="session")
def _device(small_build: Path, device_work: Path) -> Iterator[SimDevice]:
    if missing_tools() and not os.environ.get("CI"):
        pytest.skip("; ".join(f"{tool.name} is missing: {tool.remedy}" for tool in missing_tools()))
    with SimDevice(small_build, work=device_work) as device:
        yield device


@pytest.fixture
def board(_device: SimDevice, tmp_path: Path) -> Board:
    """A board of one test, on the device of all."""
    return Board(_device, tmp_path / "board")
