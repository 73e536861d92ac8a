"""Decisions before and after a network was changed: how many differ, how many are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.evaluator import TorchEvaluator
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatGraph

__all__ = ["CHUNK", "Decisions", "Measured", "compared", "graph_decisions", "labels_of", "net_decisions"]

CHUNK = 256
"""Frames in one call of a network."""

Decisions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """``differing`` of ``frames`` decisions, and how many were right (None where there were no labels)."""

    frames: int = 0
    differing: int = 0
    right_before: int | None = None
    right_after: int | None = None

    def lines(self) -> list[str]:
        """For people."""
        if not self.frames:
            return ["accuracy: not measured, for no samples were given"]
        lines = [f"decisions that differ: {self.differing} of {self.frames}"]
        if self.right_before is not None and self.right_after is not None:
            shares = [f"{100 * right / self.frames:.2f} %" for right in (self.right_before, self.right_after)]
            lines.insert(0, f"accuracy: {shares[0]} before, {shares[1]} after, on {self.frames} frames")
        return lines


def net_decisions(net: nn.Module, values: Tensor) -> Decisions:
    """The class of the largest score of each frame; ModelError where ``net`` does not take them."""
    try:
        with torch.inference_mode():
            parts = [net(part.to(torch.float32)).argmax(dim=1) for part in torch.split(values, CHUNK)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise ModelError(
            f"the network fails on them: {str(error).splitlines()[0]}",
            module="samples",
            remedy="Give a batch of inputs as the network's forward takes them",
        ) from None
    return np.asarray(torch.cat(parts).cpu().numpy(), np.int64)


def graph_decisions(graph: FloatGraph, values: npt.NDArray[np.float32]) -> Decisions:
    """The same of a saved network."""
    scores = TorchEvaluator(graph).run(torch.from_numpy(values))
    return np.asarray(scores.argmax(dim=1).numpy(), np.int64)


def labels_of(labels: npt.ArrayLike | Tensor | None, count: int) -> Decisions | None:
    """``labels`` as int64 [count]; ModelError where they are none."""
    if labels is None:
        return None
    marks = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if marks.shape != (count,) or marks.dtype.kind not in "iu":
        raise ModelError(
            f"the labels are {marks.dtype} of the shape {marks.shape} for {count} samples",
            module="labels",
            remedy="Give one integer class per sample",
        )
    return marks.astype(np.int64)


def compared(before: Decisions, after: Decisions, labels: Decisions | None) -> Measured:
    """Both decisions on the same frames, with their labels where there are any."""
    right = [None if labels is None else int((made == labels).sum()) for made in (before, after)]
    return Measured(len(before), int((before != after).sum()), right[0], right[1])
