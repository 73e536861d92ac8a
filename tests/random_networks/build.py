"""A network's description -> the torch network and frames on which it is not vacuous.

Statistics are drawn from the layer's own sums: the network is run layer by layer on its
frames, and each batch norm's zero is put between (or, for ties, exactly on) values that
the channel takes, so that the signs behind it are mixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tests.random_networks.spec import (
    BatchNorm,
    Conv,
    Flatten,
    Front,
    Hardtanh,
    Linear,
    NetworkSpec,
    Pool,
    Relu,
    Sign,
    Step,
)
from xnorhw import nn as xnn
from xnorhw.ir.float_graph import Input

__all__ = ["LEAST_MIXED", "RandomNetwork", "build"]

ATTEMPTS = 8
LEAST_MIXED = 0.8
TIE_EPS, TIE_VAR = 0.25, 0.75
"""var + eps is exactly 1, so that a batch norm with such statistics rounds nowhere."""


@dataclass
class RandomNetwork:
    """A torch network with its frames and what is known about it.

    ``planned``: sign module -> the channels of the layer in front that are planned constant,
    as they were before a flatten.  ``relu_constants`` counts those
    that a ReLU makes.  ``gammas``: every batch norm in front of a sign.
    """

    spec: NetworkSpec
    net: nn.Sequential
    input: Input
    x: npt.NDArray[np.float32]
    planned: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    relu_constants: int = 0
    gammas: list[npt.NDArray[np.float32]] = field(default_factory=list)


def build(spec: NetworkSpec) -> RandomNetwork | None:
    """The network of ``spec``, in eval, and ``spec.frames`` input frames.

    None where no draw of weights keeps the network alive (a pool over a whole small map,
    outputs that repeat each other).
    """
    with torch.no_grad():
        for attempt in range(ATTEMPTS):
            made = _Builder(spec, attempt).build()
            if _alive(made):
                return made
    return None


def _alive(made: RandomNetwork) -> bool:
    """True where each sign has mixed bits in enough of the channels not planned constant."""
    value = torch.from_numpy(made.x)
    for name, module in made.net.named_children():
        value = module(value)
        if name in made.planned:
            rows = value.transpose(0, 1).reshape(value.shape[1], -1)
            planned = np.repeat(made.planned[name], len(rows) // len(made.planned[name]))
            mixed = (rows != rows[:, :1]).any(dim=1).numpy()[~planned]
            if mixed.sum() < LEAST_MIXED * mixed.size:
                return False
    return True


def _frames(front: Front, count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    shape = (count, *front.shape)
    if front.kind in ("table", "normalised", "bipolar table"):
        return rng.integers(0, 256, shape).astype(np.float32)
    if front.kind == "bipolar":
        return (2 * rng.integers(0, 2, shape) - 1).astype(np.float32)
    return (rng.integers(*_code_range(front), shape) * 2.0**-front.point).astype(np.float32)


def _code_range(front: Front) -> tuple[int, int]:
    """The codes of a front that has any, the end excluded."""
    half = 1 << (front.bits - 1)
    return (-half, half) if front.signed else (0, 2 * half)


def _declared(front: Front) -> Input:
    if front.kind == "codes":
        return Input(front.shape, front.bits, front.signed, 2.0**-front.point)
    if front.kind == "bipolar":
        return Input(front.shape, encoding="bipolar")
    return Input(front.shape)


class _Builder:
    def __init__(self, spec: NetworkSpec, attempt: int) -> None:
        self.spec = spec
        self.rng = np.random.default_rng([spec.seed, attempt])
        self.x = _frames(spec.front, spec.frames, self.rng)
        self.made = RandomNetwork(spec, nn.Sequential(), _declared(spec.front), self.x)
        self.value = torch.from_numpy(self.x)
        self.unpooled = self.value
        self.constant = np.zeros(spec.front.shape[0], np.bool_)
        self.unit = 2.0**-spec.front.point if spec.front.kind == "codes" else 1.0
        """What a code that the next product reads is worth."""
        self.scale = 1.0

    def build(self) -> RandomNetwork:
        quant = self._input_quant()
        if quant is not None:
            self._append(quant)
            self.scale = quant.scale
        last = max(i for i, s in enumerate(self.spec.steps) if isinstance(s, Conv | Linear))
        for i, step in enumerate(self.spec.steps):
            module = self._module(i, step, tail=i > last)
            if isinstance(step, Sign):
                name = str(len(self.made.net))
                self.made.planned[name] = self.constant
                self.unit = self.scale = 1.0
            self._append(module)
            if isinstance(step, Conv | Linear):
                self.unpooled = self.value
                self.constant = np.zeros(self.value.shape[1], np.bool_)
        self.made.net.eval()
        return self.made

    def _append(self, module: nn.Module) -> None:
        self.made.net.append(module)
        module.eval()
        self.value = module(self.value)
        if not isinstance(module, nn.MaxPool2d | xnn.BinaryConv2d | xnn.BinaryLinear):
            self.unpooled = module(self.unpooled)

    def _input_quant(self) -> xnn.InputQuant | None:
        front, rng = self.spec.front, self.rng
        channels = front.shape[0] if front.table_per_channel else 1
        if front.kind == "table":
            table = rng.integers(*_code_range(front), (channels, 256))
            return xnn.InputQuant(table, bits=front.bits, signed=front.signed)
        if front.kind == "bipolar table":
            table = 2 * rng.integers(0, 2, (channels, 256)) - 1
            table[:, :2] = [-1, 1]
            return xnn.InputQuant(table)
        if front.kind == "normalised":
            mean, std = rng.uniform(0.3, 0.6, channels), rng.uniform(0.1, 0.4, channels)
            return xnn.InputQuant(mean=mean.tolist(), std=std.tolist(), bits=front.bits, signed=True)
        return None

    def _module(self, i: int, step: Step, tail: bool) -> nn.Module:
        if isinstance(step, Conv | Linear):
            return self._product(i, step)
        if isinstance(step, BatchNorm):
            return self._batch_norm(i, step, tail)
        if isinstance(step, Hardtanh):
            return self._hardtanh()
        if isinstance(step, Pool):
            return _pool(step)
        if isinstance(step, Relu):
            return nn.ReLU()
        return nn.Flatten() if isinstance(step, Flatten) else xnn.Sign()

    # --- products --------------------------------------------------------------------------

    def _product(self, i: int, step: Conv | Linear) -> nn.Module:
        rng = self.rng
        in_scale = self.scale * step.in_scale
        inputs = self.value.shape[1]
        follower = next((s for s in self.spec.steps[i + 1 :] if not isinstance(s, Pool | Flatten)), None)
        # without a batch norm in between the bias alone can put the sign's zero among the sums
        fitted = isinstance(follower, Sign | Relu)
        layer: xnn.BinaryConv2d | xnn.BinaryLinear
        if isinstance(step, Conv):
            g = step.geometry
            pads = (g.pads.left, g.pads.right, g.pads.top, g.pads.bottom)
            layer = xnn.BinaryConv2d(
                inputs, step.out, g.kernel, g.stride, pads, g.dilation, step.groups,
                step.bias or fitted, step.scale, step.pad_code * self.unit, in_scale,
            )  # fmt: skip
        else:
            layer = xnn.BinaryLinear(inputs, step.out, step.bias or fitted, step.scale, in_scale)
        layer.eval()
        latent = rng.normal(0, 0.5, tuple(layer.weight.shape)) * 10.0 ** rng.uniform(-1, 1)
        latent[rng.random(latent.shape) < 0.02] = 0.0
        layer.weight.copy_(torch.from_numpy(latent))
        self._revive(layer)
        if layer.bias is not None:
            bias = rng.normal(0, 1.0, step.out)
            if rng.random() < 0.5:
                bias = np.round(bias * 4) / 4
            layer.bias.copy_(torch.from_numpy(bias))
            if fitted:
                self._fit_bias(i, layer)
        return layer

    def _revive(self, layer: xnn.BinaryConv2d | xnn.BinaryLinear) -> None:
        """Draw the weights of outputs that the frames never move again."""
        for _ in range(20):
            sums = layer.sum(self.value)
            rows = sums.transpose(0, 1).reshape(sums.shape[1], -1)
            dead = (rows == rows[:, :1]).all(dim=1)
            if not bool(dead.any()):
                return
            fresh = self.rng.normal(0, 0.5, (int(dead.sum()), *layer.weight.shape[1:]))
            layer.weight[dead] = torch.from_numpy(fresh).to(layer.weight.dtype)

    def _fit_bias(self, i: int, layer: xnn.BinaryConv2d | xnn.BinaryLinear) -> None:
        assert layer.bias is not None
        layer.bias.zero_()
        sums = layer(self.value)
        ahead = self._pools_ahead(i)
        exact = self.rng.random() < 0.5
        for c in range(sums.shape[1]):
            zero, _ = self._zero(sums[:, c : c + 1], sums[:, c : c + 1], ahead, True, exact)
            layer.bias[c] = -float(zero)

    # --- batch norms -------------------------------------------------------------------------

    def _pools_ahead(self, i: int) -> list[Pool]:
        """The pools between step i and the next batch norm or product: what they leave must be mixed."""
        pools = []
        for step in self.spec.steps[i + 1 :]:
            if isinstance(step, BatchNorm | Conv | Linear):
                break
            if isinstance(step, Pool):
                pools.append(step)
        return pools

    def _batch_norm(self, i: int, step: BatchNorm, tail: bool) -> nn.Module:
        rng, value = self.rng, self.value
        channels = value.shape[1]
        eps = TIE_EPS if step.ties else float(rng.choice([1e-5, 1e-3, 1e-7]))
        kind = nn.BatchNorm2d if value.dim() == 4 else nn.BatchNorm1d
        module = kind(channels, eps=eps, affine=step.affine)
        gamma, beta = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        mean, var = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        spread = value.transpose(0, 1).reshape(channels, -1).double().std(dim=1).numpy() + 0.1
        ahead = self._pools_ahead(i)
        last = not tail and not any(isinstance(s, BatchNorm) for s in self._until_sign(i))
        allowed = max(1, channels // 8) if channels > 2 else 0
        for c in range(channels):
            tie = step.ties and rng.random() < 0.6
            negative = step.affine and rng.random() < 0.5
            if tie:
                var[c] = TIE_VAR
                gamma[c] = 2.0 ** rng.integers(-3, 4) if step.affine else 1.0
            else:
                var[c] = np.float32(spread[c] ** 2 * 10 ** rng.uniform(-0.5, 0.5))
                if step.affine:
                    tiny = rng.random() < 0.08
                    gamma[c] = 10 ** (rng.uniform(-20, -6) if tiny else rng.uniform(-0.7, 0.7))
            if negative:
                gamma[c] = -gamma[c]
            pooled, plain = value[:, c : c + 1], self.unpooled[:, c : c + 1]
            zero, exact = self._zero(pooled, plain, ahead, not negative, tie)
            mean[c] = zero
            if step.affine and abs(gamma[c]) > 1e-3:
                if exact:
                    mean[c], beta[c] = _exact_offset(zero, gamma[c], float(rng.choice([0, 1, -2, 0.5])))
                elif not tie:
                    beta[c] = np.float32(rng.normal(0, 0.5) * abs(gamma[c]))
                    deviation = math.sqrt(float(var[c]) + eps)
                    mean[c] = np.float32(float(zero) + float(beta[c]) * deviation / float(gamma[c]))
            if last and allowed and rng.random() < 0.3:
                if step.zeros and step.affine:
                    gamma[c], beta[c] = 0.0, rng.choice([-0.5, 0.0, 0.25])
                elif step.relu_constant and float(self.value[:, c].min()) >= 0:
                    mean[c] = np.float32(-rng.uniform(0.5, 2) + _shift(beta[c], gamma[c], var[c], eps))
                    self.made.relu_constants += 1
                else:
                    continue
                allowed -= 1
                self.constant[c] = True
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(torch.from_numpy(mean))
        module.running_var.copy_(torch.from_numpy(var))
        if step.affine:
            module.weight.copy_(torch.from_numpy(gamma))
            module.bias.copy_(torch.from_numpy(beta))
        if not tail:
            self.made.gammas.append(gamma)
        return module

    def _until_sign(self, i: int) -> list[Step]:
        steps: list[Step] = []
        for step in self.spec.steps[i + 1 :]:
            if isinstance(step, Sign):
                break
            steps.append(step)
        return steps

    def _zero(
        self, pooled: Tensor, plain: Tensor, ahead: list[Pool], rising: bool, tie: bool
    ) -> tuple[np.float32, bool]:
        """Where one channel's zero goes, and whether it lies exactly on a value that it takes."""
        seen = pooled
        for pool in ahead:
            seen = _pool(pool)(seen) if rising else -_pool(pool)(-seen)
        for values in (seen, pooled, plain):
            flat = np.sort(values.numpy().ravel())
            distinct = np.unique(flat)
            if len(distinct) < 2:
                continue
            middle = flat[int(len(flat) * self.rng.uniform(0.35, 0.65))]
            j = int(np.searchsorted(distinct, middle))
            if not tie:
                j = max(j, 1)
                step = float(distinct[j]) - float(distinct[j - 1])
                return np.float32(float(distinct[j - 1]) + step * self.rng.uniform(0.2, 0.8)), False
            # both sides of the step must be taken: >= needs one below, <= one above
            j = max(j, 1) if rising else min(j, len(distinct) - 2)
            return np.float32(distinct[j]), True
        return np.float32(float(plain.min()) - 0.5), False

    def _hardtanh(self) -> nn.Module:
        """Limits that leave every channel's median inside."""
        rows = self.value.transpose(0, 1).reshape(self.value.shape[1], -1)
        medians = rows.median(dim=1).values.numpy().astype(np.float64)
        low = float(np.float32(medians.min() - self.rng.uniform(0.1, 3)))
        high = float(np.float32(medians.max() + self.rng.uniform(0.1, 3)))
        # zero stays inside: a sign may follow at once
        return nn.Hardtanh(min(low, -0.5), max(high, 0.5))


def _exact_offset(zero: np.float32, gamma: np.float32, offset: float) -> tuple[np.float32, np.float32]:
    """(mean, beta) with a zero still exactly at ``zero``: beta = gamma * offset, mean = zero + offset."""
    moved = np.float32(zero + np.float32(offset))
    if float(moved) - offset != float(zero):
        return zero, np.float32(0)
    return moved, np.float32(gamma * np.float32(offset))


def _shift(beta: np.float32, gamma: np.float32, var: np.float32, eps: float) -> float:
    """How far beta moves the zero away from the mean."""
    return float(beta) * math.sqrt(float(var) + eps) / float(gamma)


def _pool(step: Pool) -> nn.MaxPool2d:
    g = step.geometry
    return nn.MaxPool2d(g.kernel, g.stride, (g.pads.top, g.pads.left), g.dilation, ceil_mode=g.ceil_mode)
