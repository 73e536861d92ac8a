"""The first link: the trained PyTorch model against the golden model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.check.compare import Comparison, Difference, compare
from xnorhw.golden.codes import front_in_codes, values_of
from xnorhw.ir.evaluator import Evaluator
from xnorhw.ir.int_graph import HostAffine, HostBatchNorm, IntGraph, Product

__all__ = ["TorchLink", "check_torch", "score_tolerance"]

SCORES = ":scores"
ULPS = 4


@dataclass(frozen=True)
class TorchLink:
    """The comparison with torch, and the frames whose two best scores lie within rounding."""

    comparison: Comparison
    torch_decisions: npt.NDArray[np.int64] | None
    ties: tuple[int, ...]


def check_torch(
    graph: IntGraph,
    evaluator: Evaluator,
    values: npt.NDArray[np.int64],
    tensors: dict[str, npt.NDArray[Any]],
    first_frame: int = 0,
) -> TorchLink:
    """Compare torch with the golden tensors of the same frames.

    Integer tensors must be equal; scores may differ by 4 ulp of the largest term, and the
    decision only where the two best scores lie within that (those frames are listed).
    """
    traced = front_in_codes(graph, evaluator.trace(values_of(graph, values)))
    # a threshold in front of its pool has no tensor of its own in torch
    names = [n.output.name for n in graph.nodes if n.output.name in traced or isinstance(n.op, Product)]
    result = compare("golden", names, traced, tensors, first_frame)
    sums = tensors[graph.output]
    found = golden.scores(graph, sums)
    wanted = traced[SCORES].reshape(found.shape)
    tolerance = score_tolerance(graph, sums).reshape(found.shape)
    equal = wanted == found
    off = ~(equal | (np.abs(wanted.astype(np.float64) - found) <= tolerance))  # NaN is neither
    result += _scores(off, wanted, found, first_frame)
    if found.ndim != 2:
        return TorchLink(result, None, ())
    mine, theirs = found.argmax(axis=1), wanted.argmax(axis=1)
    rows = np.arange(len(found))
    close = (found[rows, mine] - found[rows, theirs]) <= np.maximum(
        tolerance[rows, mine], tolerance[rows, theirs]
    )
    differs = mine != theirs
    bad = differs & ~close
    if bad.any():
        frame = int(np.argmax(bad))
        first = Difference(
            "golden", "decision", first_frame + frame, 0, 0, 0, float(theirs[frame]), float(mine[frame])
        )
        result += Comparison(0, 0, int(bad.sum()), first)
    ties = tuple(int(first_frame + i) for i in np.flatnonzero(differs & close))
    return TorchLink(result, theirs.astype(np.int64), ties)


def _scores(
    off: npt.NDArray[np.bool_], wanted: npt.NDArray[Any], found: npt.NDArray[Any], first_frame: int
) -> Comparison:
    first = None
    if off.any():
        place = tuple(int(v) for v in np.argwhere(off)[0])
        channel, y, x = (*place[1:], 0, 0)[:3]
        first = Difference(
            "golden",
            "scores",
            first_frame + place[0],
            channel,
            y,
            x,
            expected=float(wanted[place]),
            found=float(found[place]),
        )
    return Comparison(0, int(off.size), int(off.sum()), first)


def score_tolerance(graph: IntGraph, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """4 ulp (float32) of the largest term that each score is made of; shape of the scores."""
    x = sums.astype(np.float32)
    largest = np.abs(x)
    for op in graph.host:
        if isinstance(op, HostAffine):
            scale = np.float32(1) if op.scale is None else op.scale.reshape(1, -1, 1, 1)
            bias = term = np.float32(0) if op.bias is None else op.bias.reshape(1, -1, 1, 1)
        elif isinstance(op, HostBatchNorm):
            scale, bias = op.a.reshape(1, -1, 1, 1), op.b.reshape(1, -1, 1, 1)
            term = (
                bias if op.shift is None else np.maximum(np.abs(bias), np.abs(op.shift.reshape(bias.shape)))
            )
        else:
            x = np.clip(x, np.float32(op.low), np.float32(op.high))
            continue
        largest = np.maximum(np.maximum(largest * np.abs(scale), np.abs(x * scale)), np.abs(term))
        x = x * scale + bias
    return np.asarray(ULPS * np.spacing(largest.astype(np.float32)), np.float64)
