"""Clocks a frame of the C++ core, where every loop takes a turn a clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw.plan.model import Plan
from xnorhw.sim.hls_run import run_hls

BACK_TO_BACK = 10


def pace(files: Mapping[str, str], plan: Plan, frames: npt.NDArray[np.uint8], work: Path) -> float:
    """Clocks a frame of the later frames: until buffers are full, the first ones may take longer, or less."""
    clocks = []
    for count in (BACK_TO_BACK, 2 * BACK_TO_BACK):
        run = run_hls(files, plan, np.resize(frames, (count, frames.shape[1])), work)
        assert run.cycles_per_frame is not None
        clocks.append(round(run.cycles_per_frame * (count - 1)))  # whole, but for the division's last bit
    return (clocks[1] - clocks[0]) / BACK_TO_BACK
