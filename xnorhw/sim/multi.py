"""Several generated networks in one Verilated model: one compilation, many runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.emit import popcount, rom, rtl
from xnorhw.emit.sim import BenchNetwork, bench_files
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.model import Plan
from xnorhw.sim.cocotb_run import STALLED, CocotbRun, run_cocotb
from xnorhw.sim.compiled import CompiledRun, Stalls, Watched, run_compiled

__all__ = ["MultiModel", "multi_model"]

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MultiModel:
    """Networks called net0, net1, ... and the files of the one model that holds them all."""

    plans: tuple[Plan, ...]
    graphs: tuple[IntGraph, ...]
    files: Mapping[str, str]

    def run_compiled(
        self,
        index: int,
        frames: Frames,
        work: Path,
        *,
        stalls: Stalls | None = None,
        pace: int = 0,
        activity: bool = False,
        watched: Sequence[Watched] = (),
        waves: Path | None = None,
    ) -> CompiledRun:
        """Send uint8 [N, beats * beat bytes] through network ``index``; see ``compiled.run_compiled``."""
        return run_compiled(
            self.files,
            self.plans[index],
            frames,
            work,
            prefix=f"net{index}",
            select=index,
            stalls=stalls,
            pace=pace,
            activity=activity,
            watched=watched,
            waves=waves,
        )

    def run_cocotb(
        self,
        index: int,
        tensors: Mapping[str, npt.NDArray[Any]],
        work: Path,
        *,
        test: str = STALLED,
        seed: int = 1,
    ) -> CocotbRun:
        """Run the cocotb bench on network ``index``; see ``cocotb_run.run_cocotb``."""
        return run_cocotb(
            self.files,
            self.plans[index],
            self.graphs[index],
            tensors,
            work,
            test=test,
            prefix=f"net{index}",
            bench=f"net{index}.json",
            seed=seed,
        )


def multi_model(
    networks: Sequence[tuple[Plan, IntGraph]], build_hash: Callable[[IntGraph, Plan], int] | None = None
) -> MultiModel:
    """One model of up to 256 networks of one beat width.

    Only the network that runs is clocked, so a run costs no more than the network alone.
    ``build_hash`` gives the number that a network's registers show; without it that is its
    index.
    """
    files: dict[str, str] = {}
    listing: list[str] = []
    benches = []
    for index, (plan, graph) in enumerate(networks):
        prefix = f"net{index}"
        number = index if build_hash is None else build_hash(graph, plan)
        emitted = rtl.files(plan, number, prefix)
        listing += [name for name in emitted["rtl/files.f"].split() if name not in listing]
        files |= {**emitted, **rom.files(plan, graph, prefix)}
        benches.append(BenchNetwork(plan, number, prefix))
    # one chooser knows the counts of all
    files |= {f"rtl/{name}": text for name, text in popcount.files(*(plan for plan, _ in networks)).items()}
    files |= bench_files(benches)
    files["rtl/files.f"] = "".join(f"{name}\n" for name in listing)
    plans, graphs = zip(*networks, strict=True)
    return MultiModel(tuple(plans), tuple(graphs), files)
