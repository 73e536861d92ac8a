"""The forms of a built network that can be run: their names and how each is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import ModelError
from xnorhw.pack import pack_frames, unpack_results

__all__ = ["FORMS", "Form", "run_form"]

Form = Literal["golden", "c", "hls", "rtl", "device"]
FORMS: tuple[str, ...] = get_args(Form)

Progress = Callable[[str], None]
Codes = npt.NDArray[np.int64]


def run_form(
    stored: StoredBuild, codes: Codes, on: str, progress: Progress | None
) -> npt.NDArray[np.float32]:
    """Scores [N, classes] of input codes [N, C, H, W] on the form ``on``; see ``Build.predict``."""
    graph = stored.graph
    if on not in FORMS:
        raise ModelError(
            f"there is no form {on!r}",
            module="on",
            remedy=f"Take {', '.join(FORMS[:-1])} or {FORMS[-1]}",
        )
    if on == "golden":
        return golden.scores(graph, golden.run(graph, codes)[graph.output])
    if on == "c":
        return _on_cpu(stored, codes)
    return _behind(stored, _on_chip(stored, codes, on, progress))


def _on_cpu(stored: StoredBuild, codes: Codes) -> npt.NDArray[np.float32]:
    from xnorhw.sim.engine_run import read_engine, run_engine

    files, work = read_engine(stored.folder), stored.folder / "work"
    if not files:
        raise ModelError(
            "the build has no CPU engine: it was made before there was one",
            module=str(stored.folder),
            remedy="Build again with xnorhw build",
        )
    return run_engine(files, stored.graph, codes, work, trace=False).scores


def _behind(stored: StoredBuild, sums: Codes) -> npt.NDArray[np.float32]:
    """What the host does with the sums that leave the chip."""
    back = stored.graph.back(stored.plan.output_tensor)
    return golden.scores(back, golden.run(back, sums)[back.output])


def _on_chip(stored: StoredBuild, codes: Codes, on: str, progress: Progress | None) -> Codes:
    """The sums [N, C, H, W] that leave the chip."""
    from xnorhw.sim.compiled import run_compiled
    from xnorhw.sim.device_run import run_device
    from xnorhw.sim.hls_run import run_hls
    from xnorhw.sim.model import read_sources

    graph, plan = stored.graph, stored.plan
    tensor = graph.tensor(plan.input_tensor)
    assert tensor.type is not None
    values = golden.run(graph.front(tensor.name), codes)[tensor.name]
    files, work = read_sources(stored.folder), stored.folder / "work"
    frames = pack_frames(plan, values, tensor.type)
    tell = None if progress is None else lambda done, total: progress(f"frame {done} of {total}")
    if on == "hls":
        results = run_hls(files, plan, frames, work).results
    elif on == "rtl":
        results = run_compiled(files, plan, frames, work, assertions=False, progress=tell).results
    else:
        results = run_device(stored, frames, progress=tell).results
    return unpack_results(plan, results, graph.tensor(plan.output_tensor).shape)
