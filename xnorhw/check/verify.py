"""Run the chain of equalities on a build folder, tensor by tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.check.approximate import measure_approximation
from xnorhw.check.c_link import CLink
from xnorhw.check.compare import Comparison, Difference, compare
from xnorhw.check.consistency import check_folding_is_the_builds, check_model_is_the_builds
from xnorhw.check.count_modules import check_counts
from xnorhw.check.hls_link import HlsLink
from xnorhw.check.hls_memories import check_hls_memories
from xnorhw.check.memories import LINK as ROM_LINK
from xnorhw.check.memories import check_memories
from xnorhw.check.rtl_link import RtlLink
from xnorhw.check.torch_link import check_torch
from xnorhw.check.verdict import LINKS, Accuracy, Link, Verdict
from xnorhw.emit import folder as build_folder
from xnorhw.emit.store import StoredBuild
from xnorhw.frontends import TorchEvaluator, load_model_file
from xnorhw.frontends.rounding import approximated
from xnorhw.golden.codes import random_codes, values_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import FullProduct, Product
from xnorhw.sim.engine_run import read_engine

__all__ = ["Level", "verify_build"]

Level = Literal["golden", "full"]
Progress = Callable[[str], None]
Codes = npt.NDArray[np.int64]

CHUNK = 64
RANDOM_SEED = 1


@dataclass(frozen=True)
class _Frames:
    codes: Codes
    real: int
    labels: npt.NDArray[np.int64] | None

    def chunks(self) -> Iterator[tuple[int, Codes]]:
        for start in range(0, len(self.codes), CHUNK):
            yield start, self.codes[start : start + CHUNK]


def verify_build(
    stored: StoredBuild,
    level: Level = "full",
    *,
    codes: Codes | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    frames: int | None = None,
    waves: bool = False,
    progress: Progress | None = None,
) -> Verdict:
    """Compare every form of a build with the golden model on every tensor.

    ``codes`` [N, C, H, W]: the user's input codes, all of them unless ``frames`` says fewer;
    without them the frames kept in the build, and seeded random ones past those.  ``labels``
    [N] give accuracies.  ``level`` "golden" compares torch and golden alone.  ``waves``
    leaves an FST file in work/.  Raises ModelError for input that does not fit, ToolError
    where a simulator is missing; differences are in the verdict, see ``Verdict.require``.
    """
    if level not in get_args(Level):
        raise ModelError(
            f"there is no level {level!r}", module="verify", remedy=f"Take {' or '.join(get_args(Level))}"
        )
    chosen = _choose(stored, codes, labels, frames)
    check_model_is_the_builds(stored)
    memories = Comparison()
    if stored.accelerator is not None:
        check_folding_is_the_builds(stored)
        check_counts(stored)
        memories = check_memories(stored).beside(check_hls_memories(stored, ROM_LINK))
    file = load_model_file(stored.model)
    evaluator = TorchEvaluator(approximated(file.graph))
    forms: dict[str, CLink | HlsLink | RtlLink] = {}
    rtl = None
    if level == "full" and stored.accelerator is not None:
        rtl = RtlLink(stored, waves=waves, progress=progress)
    if level == "full":
        forms = {form.name: form for form in _forms(stored, rtl, progress)}
    torch_sum = Comparison()
    sums = {name: Comparison() for name in forms}
    ties: list[int] = []
    decisions: dict[str, list[npt.NDArray[np.int64]]] = {"torch": [], "golden": [], **{n: [] for n in forms}}
    for start, part in chosen.chunks():
        tensors = golden.run(stored.graph, part)
        if progress is not None:
            progress(f"torch and golden, frames {start} to {start + len(part) - 1}")
        link = check_torch(stored.graph, evaluator, part, tensors, start)
        torch_sum += link.comparison
        torch_sum += _with_kept_integers(stored, tensors, start) if codes is None else Comparison()
        ties.extend(link.ties)
        if link.torch_decisions is not None:
            decisions["torch"].append(link.torch_decisions)
            decisions["golden"].append(_decide(stored, tensors[stored.graph.output]))
        for name, form in forms.items():
            compared, found = form.check(tensors, start)
            sums[name] += compared
            if link.torch_decisions is not None:
                decisions[name].append(_decide(stored, _behind_chip(stored, found)))
    links = [
        Link("golden", "torch and NumPy", "", *_counts(torch_sum)),
    ]
    if stored.accelerator is not None:
        words = "every word of the memory files and of the C++ ROMs"
        links.append(Link(ROM_LINK, words, "", *_counts(memories)))
    for name in LINKS[1:]:
        if name in forms:
            links.append(Link(name, forms[name].ran, "", *_counts(sums[name])))
        elif stored.accelerator is None and name != "c":
            links.append(Link(name, "", "the build is for the CPU alone"))
        elif level == "full":
            links.append(Link(name, "", "this form is not in the build folder: build again"))
        else:
            links.append(Link(name, "", "not asked for: xnorhw verify runs it"))
    return Verdict(
        frames=len(chosen.codes),
        real=chosen.real,
        random=len(chosen.codes) - chosen.real,
        links=tuple(links),
        first=_with_layer(stored, _first(torch_sum, *sums.values(), memories)),
        decision_ties=tuple(ties),
        rounding_dependent=len(stored.graph.rounding_dependent),
        accuracy=_accuracies(chosen, decisions),
        edited=build_folder.edited(stored.folder),
        cycles_per_frame=rtl.cycles_per_frame if rtl is not None else None,
        latency_cycles=rtl.latency_cycles if rtl is not None else None,
        bound_cycles=None if stored.accelerator is None else stored.plan.figures.bound_cycles,
        approximation=measure_approximation(file.graph, values_of(stored.graph, chosen.codes)),
    )


def _forms(
    stored: StoredBuild, rtl: RtlLink | None, progress: Progress | None
) -> tuple[CLink | HlsLink | RtlLink, ...]:
    """The forms besides golden; a folder from before there was a CPU engine has none."""
    c = (CLink(stored, progress=progress),) if read_engine(stored.folder) else ()
    return c if rtl is None else (*c, HlsLink(stored, progress=progress), rtl)


def _with_kept_integers(
    stored: StoredBuild, tensors: dict[str, npt.NDArray[np.int64]], start: int
) -> Comparison:
    """Golden now against the golden integers that the build was made with."""
    name = stored.graph.output
    kept = stored.samples.sums[start : start + CHUNK]
    count = min(len(kept), len(tensors[name]))
    if not count:
        return Comparison()
    return compare("golden", [name], {name: kept[:count]}, {name: tensors[name][:count]}, start)


def _with_layer(stored: StoredBuild, first: Difference | None) -> Difference | None:
    """Name the binary layer behind the tensor: what a user looks for in the network."""
    layer = ""
    for node in stored.graph.nodes:
        if isinstance(node.op, Product | FullProduct):
            layer = node.output.name
        if first is not None and node.output.name == first.tensor:
            return dataclasses.replace(first, layer=layer)
    return first


def _first(*comparisons: Comparison) -> Difference | None:
    return next((c.first for c in comparisons if c.first is not None), None)


def _counts(c: Comparison) -> tuple[int, int, int]:
    return c.tensors, c.values, c.mismatches


def _choose(
    stored: StoredBuild, codes: Codes | None, labels: npt.NDArray[np.int64] | None, frames: int | None
) -> _Frames:
    if frames is not None and frames < 1:
        raise ModelError(f"{frames} frames were asked for", module="frames", remedy="Ask for at least one")
    if codes is not None:
        if labels is not None and len(labels) != len(codes):
            raise ModelError(
                f"there are {len(labels)} labels for {len(codes)} frames",
                module="labels",
                remedy="Give one label a frame",
            )
        _check_classes(stored, labels)
        count = len(codes) if frames is None else min(frames, len(codes))
        return _Frames(codes[:count], count, None if labels is None else labels[:count])
    if labels is not None:
        raise ModelError(
            "labels were given without data: the frames kept in the build have their own",
            module="labels",
            remedy="Give the data that the labels belong to",
        )
    kept = stored.samples
    count = len(kept.codes) if frames is None else frames
    real = min(kept.real, count)
    own = kept.codes[:count].astype(np.int64)
    missing = count - len(own)
    if missing > 0:
        own = np.concatenate([own, random_codes(stored.graph, missing, seed=RANDOM_SEED + 1)])
    return _Frames(own, real, None if kept.labels is None else kept.labels[:real])


def _check_classes(stored: StoredBuild, labels: npt.NDArray[np.int64] | None) -> None:
    classes = stored.graph.score_shape
    if labels is None or len(classes) != 1:
        return
    wrong = labels[(labels < 0) | (labels >= classes[0])]
    if wrong.size:
        raise ModelError(
            f"the labels hold {wrong[0]}, and the network decides between the classes 0 to {classes[0] - 1}",
            module="labels",
            remedy="Give the index of each frame's class among the network's scores",
        )


def _decide(stored: StoredBuild, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.asarray(golden.scores(stored.graph, sums).argmax(axis=1), np.int64)


def _behind_chip(stored: StoredBuild, found: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The last integer sums that the host makes of what left the chip."""
    if stored.accelerator is None:
        return found
    back = stored.graph.back(stored.plan.output_tensor)
    return np.asarray(golden.run(back, found)[back.output], np.int64)


def _accuracies(chosen: _Frames, decisions: dict[str, list[npt.NDArray[np.int64]]]) -> tuple[Accuracy, ...]:
    if chosen.labels is None or not decisions["torch"]:
        return ()
    labels = chosen.labels
    reference = np.concatenate(decisions["torch"])[: len(labels)]
    result = []
    for form, parts in decisions.items():
        if not parts:
            continue
        own = np.concatenate(parts)[: len(labels)]
        if len(own) < len(labels):
            continue
        differs = tuple(int(i) for i in np.flatnonzero(own != reference))
        result.append(Accuracy(form, int((own == labels).sum()), len(labels), differs))
    return tuple(result)
