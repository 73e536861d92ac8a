"""What the tests of the simulated device share: a build, its program, its frames and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.emit.sim import result_frames
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.pack import pack_frames
from xnorhw.sim.device import SimDevice

MM2S, S2MM = 0x00, 0x30
CONTROL, STATUS, ADDRESS, LENGTH = 0x00, 0x04, 0x18, 0x28
RUN, RESET, IOC, ERROR = 1, 4, 1 << 12, 1 << 14
HALTED, IDLE, INT_ERROR, SLAVE_ERROR, DECODE_ERROR = 1, 2, 1 << 4, 1 << 5, 1 << 6


@dataclass(frozen=True)
class DeviceBuild:
    """A build; random frames as the IP takes them; golden's results as it gives them."""

    stored: StoredBuild
    work: Path
    frames: npt.NDArray[np.uint8]
    results: npt.NDArray[np.uint8]

    def device(self, **options: object) -> SimDevice:
        return SimDevice(self.stored, work=self.work, **options)  # type: ignore[arg-type]


def make_build(folder: Path, work: Path, frames: int = 12) -> DeviceBuild:
    stored = read_build(folder)
    graph, plan = stored.graph, stored.plan
    pixels = np.random.default_rng(11).integers(0, 256, (frames, *graph.input.shape))
    tensors = golden.run(graph, pixels)
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    return DeviceBuild(
        stored,
        work,
        pack_frames(plan, tensors[plan.input_tensor], kind),
        result_frames(plan, tensors[plan.output_tensor]),
    )


class Dma:
    """The DMA's registers by name, and buffers at offsets in the device's memory."""

    def __init__(self, device: SimDevice) -> None:
        self.device = device

    def read(self, channel: int, register: int) -> int:
        return self.device.read32(self.device.dma_base + channel + register)

    def write(self, channel: int, register: int, value: int) -> None:
        self.device.write32(self.device.dma_base + channel + register, value)

    def start(self, channel: int, offset: int, length: int) -> None:
        self.write(channel, ADDRESS, self.device.memory_base + offset)
        self.write(channel, LENGTH, length)

    def run(self, *channels: int, enable: int = 0) -> None:
        for channel in channels or (MM2S, S2MM):
            self.write(channel, CONTROL, RUN | enable)

    def reset(self) -> None:
        self.write(MM2S, CONTROL, RESET)
        while self.read(MM2S, CONTROL) & RESET:
            pass
