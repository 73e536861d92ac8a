"""Random networks on every board's simulated device, frames in batches, under stalls, against golden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xnorhw
from tests.random_networks.build import RandomNetwork, build
from tests.random_networks.draw import SMALL_CHIP, SeededChoices, draw_spec
from xnorhw import golden
from xnorhw.emit.sim import result_frames
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import codes_of
from xnorhw.pack import pack_frames
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import SimDevice
from xnorhw.sim.device_run import DeviceSession

pytestmark = pytest.mark.long


def draw(seed: int) -> RandomNetwork:
    """The first network from ``seed`` on that is not vacuous."""
    choices = SeededChoices(seed)
    while (network := build(draw_spec(choices, SMALL_CHIP))) is None:
        pass
    return network


@pytest.mark.parametrize("board", xnorhw.boards())
def test_a_random_network(board: str, tmp_path: Path) -> None:
    seed = sum(board.encode())
    network = draw(seed)
    xnorhw.save(network.net, tmp_path / "net.pt", network.input)
    xnorhw.load(tmp_path / "net.pt").build(board, tmp_path / "out", verify="golden")
    stored = read_build(tmp_path / "out")
    graph, plan = stored.graph, stored.plan
    rng = np.random.default_rng(seed)
    tensors = golden.run(graph, codes_of(graph, network.x[rng.integers(len(network.x), size=40)]))
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, tensors[plan.input_tensor], kind)
    wanted = result_frames(plan, tensors[plan.output_tensor])
    for stalls in (None, Stalls(seed, 40, 60), Stalls(seed + 1, 0, 90)):
        with SimDevice(stored, stalls=stalls) as device:
            session = DeviceSession(device, 40)
            done = 0
            while done < len(frames):
                count = min(int(rng.integers(1, 18)), len(frames) - done)
                results = session.run(frames[done : done + count])
                assert np.array_equal(results, wanted[done : done + count]), (board, stalls, done)
                done += count
            assert session.counters()["FRAMES_OUT"] == len(frames)
