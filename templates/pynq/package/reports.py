"""What the driver reports: counters, throughput, the self-test; each prints itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = ["Counters", "SelfTestReport", "Throughput"]


@dataclass(frozen=True)
class Counters:
    """The accelerator's counters since its last reset; they wrap at 2^32.

    ``busy_cycles``: clocks with at least one frame in flight.  ``input_stalls`` and
    ``output_stalls``: clocks in which a beat waited on that side.  ``errors``: in words.
    """

    frames_in: int
    frames_out: int
    busy_cycles: int
    input_stalls: int
    output_stalls: int
    errors: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Throughput:
    """Measured against planned.

    ``seconds`` and ``fps`` are of this processor's clock, packing and transfers included,
    ``latency_seconds`` the same for a single frame; on a simulated device they measure the
    simulator.  ``cycles_per_frame`` and ``latency_cycles`` come from the accelerator's own
    counter of busy clocks, fill and drain included; ``clock_mhz`` is read back from the
    processing system; ``fps_by_clock`` follows from these two.
    """

    kind: str
    simulated: bool
    frames: int
    batch: int
    seconds: float
    fps: float
    latency_seconds: float
    cycles_per_frame: float
    latency_cycles: int
    clock_mhz: float
    fps_by_clock: float
    planned_clock_mhz: float
    planned_cycles_per_frame: int
    planned_latency_cycles: int
    planned_fps: float

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        what = "simulated clocks, no board" if self.simulated else "on this board"
        lines = [
            f"{self.kind} ({what}): {self.frames} frames in batches of {self.batch}",
            f"  clock             {self.clock_mhz:12.3f} MHz, planned {self.planned_clock_mhz:.3f}",
            f"  clocks a frame    {self.cycles_per_frame:12.1f}, planned {self.planned_cycles_per_frame}",
            f"  clocks of latency {self.latency_cycles:12d}, planned {self.planned_latency_cycles}",
            f"  frames a second   {self.fps_by_clock:12.0f} by these clocks, planned {self.planned_fps:.0f}",
            f"  frames a second   {self.fps:12.0f} by the processor's clock"
            + (
                ", which here measures the simulator"
                if self.simulated
                else ", packing and transfers included"
            ),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class SelfTestReport:
    """A self-test that passed: what was run."""

    kind: str
    simulated: bool
    frames: int
    steps: tuple[str, ...]
    accuracy: float | None

    @property
    def passed(self) -> bool:
        """Always True: a self-test that fails raises SelfTestError."""
        return True

    def __str__(self) -> str:
        where = f"{self.kind}, a simulation" if self.simulated else self.kind
        lines = [f"self-test passed on {where}: {self.frames} frames equal the golden model in every sum"]
        lines += [f"  {step}" for step in self.steps]
        if self.accuracy is not None:
            lines.append(
                f"  {self.accuracy:.1%} of the labelled frames are classified right, as by the golden model"
            )
        return "\n".join(lines)
