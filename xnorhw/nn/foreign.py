"""Modules that networks of other projects need, in eval alone: nothing here is trained.

A sign that is not ours at 0, a count of thresholds as QONNX and FINN have it, a multiplication or
addition of constants, and a network that is a list of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["ABOVE_ZERO", "Affine", "MultiThreshold", "Step", "StepNet", "sign_at_zero"]

ABOVE_ZERO = float(np.nextafter(np.float32(0), np.float32(1)))
"""The smallest float32 above 0: x >= ABOVE_ZERO where x > 0."""
_ONE_BY_ONE = 15


class MultiThreshold(nn.Module):
    """out_scale * #{j: x >= thresholds[c][j]} + out_bias (QONNX MultiThreshold); -0.0 counts as 0.

    ``thresholds`` float32 [1 or C, levels], kept in rising order.  A build takes whole
    ``out_scale`` and ``out_bias``: the module makes integers, and what a step of them is worth
    belongs to the next layer's ``in_scale``.  NaN passes no threshold.

    ValueError: thresholds of another rank, empty or not finite, an ``out_scale`` that is not
    positive and finite.
    """

    thresholds: Tensor

    def __init__(
        self, thresholds: npt.ArrayLike | Tensor, out_scale: float = 1.0, out_bias: float = 0.0
    ) -> None:
        super().__init__()
        table = np.array(thresholds, np.float32)
        if table.ndim != 2 or not table.size or not np.isfinite(table).all():
            raise ValueError(f"thresholds are finite numbers [1 or C, levels], not of shape {table.shape}")
        if not (np.isfinite(out_scale) and out_scale > 0 and np.isfinite(out_bias)):
            raise ValueError(
                f"out_scale is positive and finite, out_bias finite, not {out_scale}, {out_bias}"
            )
        self.out_scale, self.out_bias = float(out_scale), float(out_bias)
        self.register_buffer("thresholds", torch.from_numpy(np.sort(table, axis=1)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] float32 -> same shape."""
        return self.count(x) * self.out_scale + self.out_bias

    def count(self, x: Tensor) -> Tensor:
        """How many thresholds each element reaches, in x's dtype."""
        if self.thresholds.size(1) > _ONE_BY_ONE:
            return self._searched(x)
        reached = torch.zeros_like(x)
        for level in self.thresholds.unbind(1):
            reached += x >= level.view(-1, *[1] * (x.dim() - 2))
        return reached

    def _searched(self, x: Tensor) -> Tensor:
        rows = x.transpose(0, 1).contiguous()
        flat = rows.view(rows.size(0), -1)
        table = self.thresholds.expand(rows.size(0), -1).contiguous()
        reached = torch.searchsorted(table, flat, right=True).to(x.dtype)
        reached = torch.where(torch.isnan(flat), 0.0, reached)
        return reached.view(rows.shape).transpose(0, 1).contiguous()

    def extra_repr(self) -> str:
        channels, levels = self.thresholds.shape
        return f"[{channels}, {levels}], out_scale={self.out_scale:g}, out_bias={self.out_bias:g}"


class Affine(nn.Module):
    """x * scale, or x / scale with ``divide``, then + bias; each operation rounds once in float32.

    ``scale`` and ``bias`` float32 [1] or [C], or None.  ValueError where either is not finite, or
    a divisor is 0.
    """

    scale: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        scale: npt.ArrayLike | Tensor | None,
        bias: npt.ArrayLike | Tensor | None = None,
        divide: bool = False,
    ) -> None:
        super().__init__()
        self.divide = bool(divide)
        for name, given in (("scale", scale), ("bias", bias)):
            values = None if given is None else np.array(given, np.float32)
            if values is not None and (values.ndim != 1 or not values.size or not np.isfinite(values).all()):
                raise ValueError(f"the {name} is finite numbers [1] or [C], not of shape {values.shape}")
            if name == "scale" and self.divide and (values is None or not values.all()):
                raise ValueError("a divisor is there and not 0")
            self.register_buffer(name, None if values is None else torch.from_numpy(values))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> same shape."""
        shape = (-1, *[1] * (x.dim() - 2))
        if self.scale is not None:
            scale = self.scale.view(shape)
            x = x / scale if self.divide else x * scale
        return x if self.bias is None else x + self.bias.view(shape)

    def extra_repr(self) -> str:
        what = "divide" if self.divide else "multiply"
        return f"{what}={self.scale is not None}, bias={self.bias is not None}"


def sign_at_zero(zero: int) -> MultiThreshold:
    """A sign with sign(0) = -1, or with sign(0) = 0 (three values); for +1 use ``Sign``.

    ValueError for another number.
    """
    if zero == -1:
        return MultiThreshold([[ABOVE_ZERO]], 2.0, -1.0)
    if zero == 0:
        return MultiThreshold([[0.0, ABOVE_ZERO]], 1.0, -1.0)
    raise ValueError(f"sign(0) is -1, 0 or (with xnorhw.nn.Sign) +1, not {zero}")


@dataclass(frozen=True)
class Step:
    """One value of a ``StepNet``: ``name`` is a module's path, or any name where ``function`` is given.

    ``inputs`` are names of steps before it, or "input".
    """

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Any] | None = None


class StepNet(nn.Module):
    """A network that is a list of steps, for graphs read from files.

    ``modules`` maps a path (as ``features.3``) to the module that stands there; ``output`` is
    the step whose value is the result.  ValueError: a path that another one goes through.
    """

    def __init__(self, modules: Mapping[str, nn.Module], steps: Sequence[Step], output: str) -> None:
        super().__init__()
        self.steps, self.output = tuple(steps), output
        for path, module in modules.items():
            *holders, last = path.split(".")
            place: nn.Module = self
            for holder in holders:
                if holder not in place._modules:
                    place.add_module(holder, nn.Module())
                place = place.get_submodule(holder)
            if last in place._modules:
                raise ValueError(f"the path {path} is taken")
            place.add_module(last, module)

    def forward(self, x: Any) -> Any:
        """What the last step makes of the input."""
        values = {"input": x}
        for step in self.steps:
            call = step.function or self.get_submodule(step.name)
            values[step.name] = call(*(values[name] for name in step.inputs))
        return values[self.output]
