"""Random networks of the whole family: codes, bases, k-bit weights, branches, averages, K.

A network is a list of calls, drawn and built together: each batch norm is fitted to the
values that reach it, so that the codes behind it spread over their range.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tests.random_networks.draw import Choices
from xnorhw import nn as xnn
from xnorhw.frontends.prove import random_inputs
from xnorhw.ir.float_graph import Input

__all__ = ["FamilyNetwork", "draw_family"]

FRAMES = 6


class Calls(nn.Module):
    """Runs its calls in order: (result, what, operands), what a module's name, "add" or "cat"."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, tuple[str, ...]]] = []
        self.result = "input"

    def forward(self, x: Tensor) -> Tensor:
        values = {"input": x}
        for name, what, operands in self.calls:
            read = [values[o] for o in operands]
            if what == "add":
                values[name] = read[0] + read[1]
            elif what == "cat":
                values[name] = torch.cat(read, dim=1)
            elif what == "mean":
                values[name] = read[0].mean((2, 3))
            else:
                values[name] = getattr(self, what)(*read)
        return values[self.result]


@dataclass
class FamilyNetwork:
    """A network in eval, its declared input and frames, and what was drawn."""

    net: Calls
    input: Input
    x: npt.NDArray[np.float32]
    drawn: list[str] = field(default_factory=list)


def draw_family(choose: Choices, seed: int) -> FamilyNetwork:
    """A network of three to six blocks, each of its kind; ``seed`` draws weights and frames."""
    with torch.no_grad():
        return _Drawer(choose, seed).network()


@dataclass(frozen=True)
class _Value:
    """A drawn value: its name, what kind of numbers it holds, what one is worth to the next layer."""

    name: str
    kind: str
    scale: float = 1.0


class _Drawer:
    def __init__(self, choose: Choices, seed: int) -> None:
        self.choose = choose
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.net = Calls().eval()
        self.drawn: list[str] = []
        self.values: dict[str, Tensor] = {}
        self.count = 0

    def network(self) -> FamilyNetwork:
        choose = self.choose
        channels, size = choose.pick((2, 3, 4, 6)), choose.integer(5, 8)
        if choose.chance(30):
            declared = Input((channels, size, size), encoding="bipolar")
        else:
            scale = choose.pick((1.0, 0.25, 2.0))
            declared = Input((channels, size, size), choose.integer(1, 5), choose.chance(50), scale)
        x = random_inputs(declared, FRAMES, int(self.rng.integers(1 << 30)))
        self.values["input"] = torch.from_numpy(x)
        value = _Value("input", "sign" if declared.encoding == "bipolar" else "code")
        for _ in range(choose.integer(1, 4)):
            value = self.block(value)
        self.tail(value)
        return FamilyNetwork(self.net, declared, x, self.drawn)

    # --- calls ---------------------------------------------------------------------------

    def call(
        self, what: str | nn.Module, *operands: _Value, kind: str = "real", scale: float = 1.0
    ) -> _Value:
        self.count += 1
        name = f"v{self.count}"
        read = [self.values[o.name] for o in operands]
        if isinstance(what, nn.Module):
            module = what.eval()
            self.net.add_module(name, module)
            self.values[name] = module(*read)
            what = name
        else:
            joined = {"add": lambda: read[0] + read[1], "cat": lambda: torch.cat(read, 1)}
            self.values[name] = joined[what]() if what in joined else read[0].mean((2, 3))
            self.drawn.append(what)
        self.net.calls.append((name, what, tuple(o.name for o in operands)))
        self.net.result = name
        return _Value(name, kind, scale)

    def shape(self, value: _Value) -> tuple[int, ...]:
        return tuple(self.values[value.name].shape[1:])

    # --- blocks --------------------------------------------------------------------------

    def block(self, value: _Value) -> _Value:
        options = ["plain", "plain", "residual", "fire", "average", "project"]
        if value.kind == "bases":
            options = ["plain"]
        kind = self.choose.pick(options)
        if min(self.shape(value)[1:]) < 3:
            kind = "fire"
        self.drawn.append(kind)
        if kind == "residual":
            return self.residual(value)
        if kind == "fire":
            return self.fire(value)
        if kind == "average":
            return self.average(value)
        if kind == "project":
            grid = self.grid(self.norm(self.layer(self.small(value), 4), "grid"))
            return self.quantiser(self.norm(self.scaled(grid), "sign")) if self.choose.chance(60) else grid
        chain = self.layer(value, self.choose.pick((4, 6, 8)))
        return self.quantiser(chain)

    def small(self, value: _Value) -> _Value:
        """A value of few levels, so that the sums of a layer on it stay few."""
        if value.kind == "sign" or (value.kind == "code" and self.levels(value) < 8):
            return value
        return self.call(xnn.Sign(), self.norm(value, "sign"), kind="sign")

    def levels(self, value: _Value) -> float:
        return float(self.values[value.name].abs().max())

    def layer(self, value: _Value, outputs: int, kernel: int = 3) -> _Value:
        """A layer with weights of one bit, several, or bases."""
        choose, inputs = self.choose, self.shape(value)[0]
        groups = 2 if inputs % 2 == 0 and outputs % 2 == 0 and choose.chance(30) else 1
        kernel = kernel if min(self.shape(value)[1:]) >= kernel else 1
        padding = kernel // 2
        if groups > 1:
            self.drawn.append("groups")
        if choose.chance(40):
            scale = choose.pick((None, "channel", "layer"))
            layer: nn.Module = xnn.BinaryConv2d(
                inputs, outputs, kernel, padding=padding, groups=groups, bias=choose.chance(40),
                scale=scale, in_scale=value.scale,
            )  # fmt: skip
        else:
            weight = choose.pick(
                (xnn.DoReFaWeight(1), xnn.DoReFaWeight(2), xnn.DoReFaWeight(3), xnn.BasesWeight(2, 3))
            )
            self.drawn.append(f"{type(weight).__name__}")
            layer = xnn.QuantConv2d(
                inputs, outputs, kernel, padding=padding, groups=groups, bias=choose.chance(40),
                weight=weight, in_scale=value.scale,
            )  # fmt: skip
        layer.weight.normal_()
        if layer.bias is not None:
            layer.bias.normal_()
        return self.call(layer, value)

    def scaled(self, value: _Value) -> _Value:
        self.drawn.append("K")
        inputs = self.shape(value)[0]
        return self.call(xnn.ScaledBinaryConv2d(inputs, 4, 3, padding=1, bias=self.choose.chance(50)), value)

    def residual(self, value: _Value) -> _Value:
        value = value if value.kind == "grid" or self.choose.chance(40) else self.small(value)
        channels = self.shape(value)[0]
        body = self.grid(self.norm(self.layer(self.small(value), channels), "grid"))
        added = self.call("add", body, value, kind="grid")
        return added if self.choose.chance(30) else self.quantiser(added)

    def fire(self, value: _Value) -> _Value:
        bits = self.choose.integer(1, 3)
        branches = []
        for kernel in (1, 3):
            chain = self.norm(self.layer(value, self.choose.pick((2, 4)), kernel), "code", bits)
            branches.append(self.call(xnn.QuantReLU(bits), chain, kind="code", scale=1 / (2**bits - 1)))
        return self.call("cat", *branches, kind="code", scale=branches[0].scale)

    def average(self, value: _Value) -> _Value:
        pool = nn.AvgPool2d(3, self.choose.pick((1, 2)), self.choose.pick((0, 1)))
        return self.quantiser(self.call(pool, value))

    # --- chains --------------------------------------------------------------------------

    def quantiser(self, value: _Value) -> _Value:
        """Pools, batch norms, clamps, then a sign, codes or bases."""
        choose = self.choose
        kind = choose.pick(("sign", "code", "code", "code", "bases"))
        bits = choose.integer(1, 8)
        if kind == "code":
            self.drawn.append(f"QuantReLU {bits}")
        order = choose.pick(("n", "n", "pn", "np", "npn", "nr", "rn"))
        norms = order.count("n")
        for step in order:
            norms -= step == "n"
            if step == "n":
                value = self.norm(value, "plain" if norms else kind, bits)
            elif step == "r":
                value = self.call(nn.ReLU() if kind == "code" else nn.Hardtanh(-2.0, 2.0), value)
            elif min(self.shape(value)[1:]) >= 4:
                value = self.call(nn.MaxPool2d(2, choose.pick((1, 2)), choose.pick((0, 1))), value)
                self.drawn.append("pool")
        if kind == "sign":
            return self.call(xnn.Sign(), value, kind="sign")
        if kind == "code":
            scale = 1 / (2**bits - 1)
            return self.call(xnn.QuantReLU(bits, scale), value, kind="code", scale=scale)
        bases = xnn.BasesActivation(choose.integer(2, 4), frac=4)
        bases.betas.copy_(torch.from_numpy(self.rng.uniform(0.2, 1, bases.bases)))
        bases.shifts.copy_(torch.from_numpy(0.5 + self.rng.normal(0, 0.7, bases.bases)))
        self.drawn.append("BasesActivation")
        return self.call(bases, value, kind="bases")

    def grid(self, value: _Value) -> _Value:
        bits, frac = self.choose.pick(((6, 3), (8, 4), (10, 6)))
        return self.call(xnn.Grid(bits, frac), value, kind="grid")

    def norm(self, value: _Value, target: str, bits: int = 1) -> _Value:
        """A batch norm whose results spread over what the quantiser behind it takes."""
        rows = self.values[value.name].transpose(0, 1).reshape(self.shape(value)[0], -1).double()
        spread = rows.std(dim=1) + 0.05
        rank2 = self.values[value.name].dim() == 2
        norm: Any = (nn.BatchNorm1d if rank2 else nn.BatchNorm2d)(len(rows), eps=1e-5)
        norm.running_mean.copy_(rows.mean(dim=1) + spread * torch.randn(len(rows)) * 0.2)
        norm.running_var.copy_(spread**2)
        wide = {"plain": 1.0, "sign": 1.0, "code": 0.35, "grid": 1.0, "bases": 1.0}[target]
        sign = torch.where(torch.rand(len(rows)) < 0.4, -1.0, 1.0)
        norm.weight.copy_(sign * wide * (0.5 + torch.rand(len(rows))))
        norm.bias.copy_((0.5 if target == "code" else 0.0) + 0.1 * torch.randn(len(rows)))
        return self.call(norm, value)

    # --- the end -------------------------------------------------------------------------

    def tail(self, value: _Value) -> None:
        choose = self.choose
        kind = choose.pick(("linear", "features", "average", "conv"))
        self.drawn.append(f"tail {kind}")
        if kind == "average" and value.kind in ("code", "sign", "grid"):
            pooled = self.call("mean", value)
            if choose.chance(50):
                self.call(nn.BatchNorm1d(self.shape(pooled)[0]), pooled)
            return
        if kind == "features":
            flat = self.call(nn.Flatten(), self.layer(value, 2))
            normed = self.norm(flat, "code", 2)
            bits = choose.integer(1, 6)
            scale = 1 / (2**bits - 1)
            value = self.call(xnn.QuantReLU(bits), normed, kind="code", scale=scale)
            self.call(xnn.BinaryLinear(self.shape(value)[0], 4, in_scale=scale), value)
            return
        if kind == "conv" or value.kind == "input":
            self.norm(self.layer(value, 3, 1), "plain")
            return
        flat = self.call(nn.Flatten(), value, kind=value.kind, scale=value.scale)
        weight = choose.pick((xnn.DoReFaWeight(2), xnn.BasesWeight(3, 4)))
        inputs = self.shape(flat)[0]
        self.call(xnn.QuantLinear(inputs, 4, choose.chance(50), weight=weight, in_scale=flat.scale), flat)
