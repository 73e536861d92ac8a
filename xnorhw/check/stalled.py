"""A few frames through the cocotb bench, with random stalls on both sides."""

from __future__ import annotations

from collections.abc import Mapping

from xnorhw.check.compare import Comparison, compare
from xnorhw.check.observed import Arrays, observed_tensors
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.sim.cocotb_run import STALLED, Core, run_cocotb

__all__ = ["COCOTB_FRAMES", "check_stalled"]

COCOTB_FRAMES = 2
"""Frames that go through cocotb: it checks the protocol, and is slow."""


def check_stalled(
    stored: StoredBuild,
    files: Mapping[str, str],
    tensors: Arrays,
    count: int,
    names: list[str],
    *,
    core: Core = "rtl",
) -> Comparison:
    """Compare ``count`` frames of golden ``tensors`` with what the bench observes of a core.

    Raises VerifyError where every value is right and the bench fails all the same: it looks
    at tlast, counters and the rules of the streams as well.
    """
    few = {name: values[:count] for name, values in tensors.items()}
    work = stored.folder / "work"
    run = run_cocotb(files, stored.plan, stored.graph, few, work, test=STALLED, core=core)
    found = observed_tensors(stored, run.streams, run.results, count)
    result = compare(core, names, few, found)
    if not run.passed and not result.mismatches:
        failed = next((o for o in run.outcomes if o.message), None)
        what = f"{failed.test}: {failed.message}" if failed else "no test of the bench ran"
        raise VerifyError(
            f"the cocotb bench failed on the {core} core though every value is right: {what}",
            module=stored.plan.output_tensor,
            remedy="Run make -C sim in the build folder to see it",
        )
    return result
