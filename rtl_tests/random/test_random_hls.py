"""The same random networks through the generated C++: on bounded streams with random stalls, and as C
simulation.  Every tensor is compared, and the clocks a frame takes with the plan's."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rtl_tests.random.campaign import (
    FOLDINGS,
    LEAST_NEGATIVE,
    LEAST_NETWORKS,
    assert_equal,
    draw_subset,
    frames_of,
)
from tests.random_networks.chain import Checked
from tests.random_networks.coverage import EVERYWHERE, table
from xnorhw.emit import hls
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Lines, Matrix, Stage
from xnorhw.plan.model import Plan
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.hls_run import HlsRun, compile_hls, run_hls

COMPILERS = 2
"""Programs compiled at once."""

STALLS = (Stalls(1, 40, 40), Stalls(2, 5, 90))
"""Both sides pausing at random; then a reader so slow that everything fills up."""

BACK_TO_BACK = 12
"""Frames, at least, of the run without pauses from which the clocks a frame are taken."""

FORMS = (
    "converter plain", "converter that narrows", "converter that widens", "codes out of byte lanes", "lines",
    "lines of several words a pixel", "lines past the map", "lines with longer rows", "taps",
    "taps words outside", "replay", "replay of blocks", "matrix raw", "matrix of one fold",
    "matrix of several folds", "matrix of one group", "matrix of several groups",
    "matrix with position classes", "matrix on codes", "pool",
)  # fmt: skip
"""The forms of the stages that these networks meet; rtl_tests/hls runs each form by itself."""

TRAFFIC = (
    "frames back to back", "streams that were full", "frames in C simulation",
    "lines that take longer than the RTL's ring",
)  # fmt: skip
ROWS = (*EVERYWHERE, *FOLDINGS, *FORMS, *TRAFFIC)


@dataclass(frozen=True)
class Runs:
    """What one network's program gave."""

    stalled: tuple[HlsRun, ...]
    csim: HlsRun
    steady: HlsRun


def _run(checked: Checked, plan: Plan, work: Path) -> Runs:
    files = hls.files(plan, checked.graph)
    compile_hls(files, work)
    frames = frames_of(checked, plan)
    stalled = tuple(run_hls(files, plan, frames, work, stalls=stalls) for stalls in STALLS)
    csim = run_hls(files, plan, frames, work, csim=True)
    many = np.tile(frames, (-(-BACK_TO_BACK // len(frames)), 1))
    return Runs(stalled, csim, run_hls(files, plan, many, work, stalls=Stalls(3, 0, 0)))


def forms(stage: Stage) -> list[str]:
    """The rows of ``FORMS`` that ``stage`` reaches."""
    if stage.kind == "convert":
        if stage.plain:
            return ["converter plain"]
        return ["converter that widens" if stage.widens else "converter that narrows"]
    if stage.kind == "codes":
        return ["codes out of byte lanes"]
    if isinstance(stage, Lines):
        rows = {
            "lines": True,
            "lines of several words a pixel": stage.window.words_per_pixel > 1,
            "lines past the map": stage.cycles > stage.source.words,
            "lines with longer rows": stage.columns > stage.window.width,
        }
        return [name for name, reached in rows.items() if reached]
    if stage.kind == "taps":
        return ["taps", *(["taps words outside"] if stage.words_outer else [])]
    if stage.kind == "replay":
        return ["replay", *(["replay of blocks"] if stage.repeats > 1 else [])]
    if isinstance(stage, Matrix):
        unit = stage.unit
        return [
            *([] if unit.thresholded else ["matrix raw"]),
            f"matrix of {'one fold' if unit.folds == 1 else 'several folds'}",
            f"matrix of {'one group' if unit.groups == 1 else 'several groups'}",
            *(["matrix with position classes"] if stage.starts.classes > 1 else []),
            *([] if unit.act_bipolar else ["matrix on codes"]),
        ]
    return ["pool"]


def test_every_tensor_is_goldens(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Also the pace: the slowest stage sets it, none waits longer for its neighbours."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is missing")
    subset = draw_subset()
    coverage = subset.coverage
    with ThreadPoolExecutor(COMPILERS) as pool:
        found = pool.map(lambda pair: _run(*pair, tmp_path), zip(subset.checked, subset.plans, strict=True))
        for checked, plan, runs in zip(subset.checked, subset.plans, found, strict=True):
            full: Counter[str] = Counter()
            for run in (*runs.stalled, runs.csim):
                assert_equal("hls", checked, plan, run.streams, run.results)
                for use in run.uses:
                    assert use.most <= use.depth
                    full[use.name] += use.most == use.depth
                coverage.rows["frames back to back"] += len(run.results)
            assert np.array_equal(
                runs.steady.results, np.resize(runs.csim.results, runs.steady.results.shape)
            )
            design = hls_design(plan)
            assert runs.steady.cycles_per_frame == design.cycles_per_frame
            slower = design.cycles_per_frame > plan.figures.cycles_per_frame
            coverage.rows["lines that take longer than the RTL's ring"] += slower
            for stage in design.stages:
                coverage.rows.update(forms(stage))
            coverage.rows["streams that were full"] += sum(n > 0 for n in full.values())
            coverage.rows["frames in C simulation"] += len(runs.csim.results)
    record_property("coverage", table(coverage, ROWS, "golden = C++"))
    assert coverage.networks >= LEAST_NETWORKS
    assert coverage.negative_share >= LEAST_NEGATIVE
    assert not coverage.missing(ROWS)
