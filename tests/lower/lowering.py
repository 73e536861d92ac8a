"""What the tests of lowering share: a torch network -> its integer graph, proven equal on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import IntGraph
from xnorhw.lower import lower

__all__ = ["BIPOLAR_MAP", "Lowered", "batch_norm", "conv", "equal", "lowered"]

BIPOLAR_MAP = Input((4, 5, 5), encoding="bipolar")


@dataclass(frozen=True)
class Lowered:
    """A network's integer graph and its tensors on random frames, equal to torch's."""

    graph: IntGraph
    x: npt.NDArray[np.float32]
    tensors: dict[str, npt.NDArray[Any]]
    scores: npt.NDArray[np.float32]


def lowered(net: nn.Module, declared: Input = BIPOLAR_MAP) -> IntGraph:
    """Trace and lower ``net``."""
    graph = trace(net.eval(), declared)
    return lower(graph, TorchEvaluator(graph))


def equal(net: nn.Module, declared: Input = BIPOLAR_MAP, frames: int = 16) -> Lowered:
    """Lower ``net`` and assert torch = golden on every tensor and on the scores."""
    graph = trace(net.eval(), declared)
    evaluator = TorchEvaluator(graph)
    integers = lower(graph, evaluator)
    x = random_inputs(declared, frames, seed=9)
    codes = codes_of(integers, x)
    tensors = golden.run(integers, codes)
    link = check_torch(integers, evaluator, codes, tensors)
    assert link.comparison.mismatches == 0, link.comparison.first
    assert link.comparison.tensors >= 1
    scores = golden.scores(integers, tensors[integers.output])
    with torch.inference_mode():
        wanted = net(torch.from_numpy(x)).numpy()
    assert np.allclose(scores, wanted, rtol=1e-5, atol=1e-5)
    return Lowered(integers, x, tensors, scores)


def conv(inputs: int, outputs: int, kernel: int = 3, *, seed: int = 0, **options: Any) -> xnn.BinaryConv2d:
    """A binary convolution with seeded weights (and bias, where it has one)."""
    layer = xnn.BinaryConv2d(inputs, outputs, kernel, **options)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.normal(0, 0.5, tuple(layer.weight.shape))))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(rng.normal(0, 2, outputs)))
    return layer


def batch_norm(
    gamma: Sequence[float],
    *,
    mean: Sequence[float] | float = 0.0,
    beta: Sequence[float] | float = 0.0,
    var: float = 0.75,
    eps: float = 0.25,
    rank: int = 4,
) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """A batch norm; by default var + eps is exactly 1, so that powers of two round nowhere."""
    size = len(gamma)
    module: nn.BatchNorm1d | nn.BatchNorm2d
    module = nn.BatchNorm2d(size, eps=eps) if rank == 4 else nn.BatchNorm1d(size, eps=eps)
    assert module.running_mean is not None and module.running_var is not None
    with torch.no_grad():
        module.weight.copy_(torch.tensor(gamma))
        module.bias.copy_(torch.as_tensor(beta, dtype=torch.float32).expand(size))
        module.running_mean.copy_(torch.as_tensor(mean, dtype=torch.float32).expand(size))
        module.running_var.fill_(var)
    return module
