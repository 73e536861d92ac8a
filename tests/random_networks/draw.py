"""Draws network structures: every option of every layer, valid by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st

from tests.random_networks.spec import (
    BatchNorm,
    Conv,
    Flatten,
    Front,
    FrontKind,
    Hardtanh,
    Linear,
    NetworkSpec,
    Pool,
    Relu,
    ScaleKind,
    Sign,
    Step,
)
from xnorhw.ir.geometry import Pads, WindowGeometry

__all__ = ["ANY", "SMALL_CHIP", "Choices", "Profile", "SeededChoices", "draw_spec", "specs"]

T = TypeVar("T")


class Choices(Protocol):
    """Where choices come from: hypothesis (shrinks) or a seeded generator (stable)."""

    def integer(self, low: int, high: int) -> int:
        """An integer in low..high."""
        ...

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        ...

    def chance(self, percent: int) -> bool:
        """True in ``percent`` of 100 draws."""
        ...


class HypothesisChoices:
    """Choices drawn by hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        return self._draw(st.sampled_from(list(options)))

    def chance(self, percent: int) -> bool:
        # False is the simpler answer: it lies at 0
        return self._draw(st.sampled_from(range(100))) >= 100 - percent


class SeededChoices:
    """Choices drawn by NumPy: the same on every machine and version of hypothesis."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._rng.integers(len(options)))]

    def chance(self, percent: int) -> bool:
        return bool(self._rng.integers(100) >= 100 - percent)


@dataclass(frozen=True)
class Profile:
    """How large and how free the networks are."""

    layers: tuple[int, ...] = (1, 1, 2, 2, 2, 3, 3, 4, 5)
    channels: tuple[int, ...] = (1, 3, 5, 7, 12, 17, 33, 2, 4, 8, 16)
    size: tuple[int, int] = (3, 11)
    features: tuple[int, int] = (1, 70)
    frames: int = 6
    macs: int = 300_000
    chip: bool = False
    """Only what the RTL takes: no groups, no pools on codes, no windows wholly on padding."""


ANY = Profile()
SMALL_CHIP = Profile(
    layers=(1, 2, 2, 3),
    channels=(1, 3, 5, 7, 2, 4, 8, 12),
    size=(3, 8),
    features=(1, 24),
    macs=15_000,
    chip=True,
)
"""Networks that are cheap to simulate."""

MAP_CHAINS: tuple[str, ...] = (
    "b s", "b s", "b s", "b s p", "b p s", "p b s", "p b p b s", "b p b s p", "p b s p", "b s p p",
    "r b s", "b r b s", "p r b s", "r p b s", "h b s", "b h s", "s", "s p", "p s", "b r p b s p",
    "b F s", "s F", "b s p F", "p b s F",
)  # fmt: skip
"""b batch norm, r ReLU, h hardtanh, p max-pool, s sign, F flatten."""
VECTOR_CHAINS: tuple[str, ...] = ("b s", "b s", "b s", "r b s", "b r b s", "h b s", "b h s", "s")
TAILS: tuple[str, ...] = ("", "", "", "b", "b r", "r", "h")


def draw_spec(choose: Choices, profile: Profile = ANY) -> NetworkSpec:
    """A network of 1 to 5 product layers."""
    return _Drawer(choose, profile).spec()


def specs(profile: Profile = ANY) -> st.SearchStrategy[NetworkSpec]:
    """The hypothesis strategy of ``draw_spec``."""

    @st.composite
    def strategy(draw: st.DrawFn) -> NetworkSpec:
        return draw_spec(HypothesisChoices(draw), profile)

    return strategy()


class _Drawer:
    def __init__(self, choose: Choices, profile: Profile) -> None:
        self.choose = choose
        self.profile = profile
        self.steps: list[Step] = []
        self.shape: tuple[int, ...] = ()
        self.codes: tuple[int, int] | None = None
        """The range of the codes that the next product reads; None where they are -1 and +1."""

    def spec(self) -> NetworkSpec:
        front = self.front()
        layers = self.choose.pick(self.profile.layers)
        for i in range(layers):
            self.layer(first=i == 0, last=i == layers - 1)
        seed = self.choose.integer(0, 2**31 - 1)
        return NetworkSpec(front, tuple(self.steps), seed, self.profile.frames)

    # --- the input ---------------------------------------------------------------------

    def front(self) -> Front:
        choose = self.choose
        kind: FrontKind = choose.pick(
            ["codes", "codes", "codes", "bipolar", "bipolar", "table", "normalised", "bipolar table"]
        )
        if choose.chance(15):
            self.shape = (choose.integer(*self.profile.features),)
        else:
            low, high = self.profile.size
            channels = choose.pick((1, 3, 2, 5, 4))
            self.shape = (channels, choose.integer(low, high), choose.integer(low, high))
        bits, signed, point = 8, choose.chance(50), 0
        if kind == "codes":
            bits, point = choose.integer(1, 8), choose.pick((0, 0, 7, 3, -2))
        elif kind in ("table", "normalised"):
            bits = choose.integer(2, 8)
        if kind == "normalised":
            signed = True
        front = Front(kind, self.shape, bits, signed, point, choose.chance(50))
        if kind in ("bipolar", "bipolar table"):
            self.codes = None
        else:
            self.codes = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        if self.codes is not None and choose.chance(20):
            if choose.chance(30):
                self.steps.append(Relu())
            self.steps += [BatchNorm(affine=choose.chance(80)), Sign()]
            self.codes = None
        elif not self.profile.chip and len(self.shape) == 3 and choose.chance(8):
            self.pool()
        return front

    # --- layers --------------------------------------------------------------------------

    def layer(self, first: bool, last: bool) -> None:
        choose = self.choose
        if len(self.shape) == 3 and (choose.chance(35) if last else choose.chance(85)):
            self.conv(last)
        else:
            if len(self.shape) == 3:
                self.flatten()
            self.linear(last)
        self.codes = None
        if last:
            self.tail()
            return
        chain = choose.pick(MAP_CHAINS if len(self.shape) == 3 else VECTOR_CHAINS)
        self.chain(chain.split())

    def chain(self, kinds: list[str]) -> None:
        for i, kind in enumerate(kinds):
            if kind == "b":
                # planned constants stand in the last batch norm in front of the sign
                last = "b" not in kinds[i + 1 :]
                self.batch_norm(last, "r" in kinds[max(i - 2, 0) : i])
            elif kind == "r":
                self.steps.append(Relu())
            elif kind == "h":
                self.steps.append(Hardtanh())
            elif kind == "p":
                self.pool()
            elif kind == "F":
                self.flatten()
            else:
                self.steps.append(Sign())

    def tail(self) -> None:
        kinds = self.choose.pick(TAILS).split()
        if len(self.shape) == 3 and self.choose.chance(40):
            kinds.append("F")
        for kind in kinds:
            if kind == "b":
                self.steps.append(BatchNorm(affine=self.choose.chance(80)))
            elif kind == "F":
                self.flatten()
            else:
                self.steps.append(Relu() if kind == "r" else Hardtanh())

    def batch_norm(self, last: bool, behind_relu: bool) -> None:
        choose = self.choose
        self.steps.append(
            BatchNorm(
                affine=choose.chance(92),
                ties=choose.chance(45),
                zeros=last and choose.chance(35),
                relu_constant=last and behind_relu and choose.chance(60),
            )
        )

    def flatten(self) -> None:
        self.steps.append(Flatten())
        count = 1
        for size in self.shape:
            count *= size
        self.shape = (count,)

    def out_channels(self, macs_each: int) -> int:
        fitting = [c for c in self.profile.channels if c * macs_each <= self.profile.macs]
        return self.choose.pick(fitting or [min(self.profile.channels)])

    def conv(self, last: bool) -> None:
        choose = self.choose
        channels, height, width = self.shape
        geometry = self.conv_geometry(height, width)
        groups = 1
        if not self.profile.chip and channels > 1 and choose.chance(8):
            groups = choose.pick([g for g in range(2, channels + 1) if channels % g == 0])
        out_h, out_w = geometry.output_size(height, width)
        out = self.out_channels(out_h * out_w * geometry.taps * channels // groups)
        out = -(-out // groups) * groups
        low, high = self.codes or (-1, 1)
        pad_code = 0
        if geometry.pads.any() and choose.chance(45):
            pad_code = choose.pick([-1, 1]) if self.codes is None else choose.integer(low, high)
        self.steps.append(
            Conv(out, geometry, groups, pad_code, self.bias(last), self.scale(), self.in_scale())
        )
        self.shape = (out, out_h, out_w)

    def conv_geometry(self, height: int, width: int) -> WindowGeometry:
        choose = self.choose
        style = choose.pick(("none", "none", "all", "all", "sides"))
        if style == "sides":
            pads = Pads(*(choose.pick((0, 1, 0, 2)) for _ in range(4)))
        else:
            pads = Pads(1, 1, 1, 1) if style == "all" else Pads()
        if choose.chance(50):
            side = choose.pick((3, 3, 3, 2, 1, 4))
            kernel = (side, side)
        else:
            kernel = (choose.integer(1, 4), choose.integer(1, 4))
        stride = choose.pick(((1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (2, 1)))
        dilation = choose.pick(((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (2, 1)))
        room = (height + pads.top + pads.bottom, width + pads.left + pads.right)
        kernel = (min(kernel[0], room[0]), min(kernel[1], room[1]))
        dilation = (
            dilation[0] if (kernel[0] - 1) * dilation[0] < room[0] else 1,
            dilation[1] if (kernel[1] - 1) * dilation[1] < room[1] else 1,
        )
        geometry = WindowGeometry(kernel, stride, pads, dilation)
        return _within(geometry, height, width) if self.profile.chip else geometry

    def linear(self, last: bool) -> None:
        out = self.out_channels(self.shape[0])
        self.steps.append(Linear(out, self.bias(last), self.scale(), self.in_scale()))
        self.shape = (out,)

    def bias(self, last: bool) -> bool:
        return self.choose.chance(50 if last else 30)

    def scale(self) -> ScaleKind | None:
        return self.choose.pick((None, "channel", "layer"))

    def in_scale(self) -> float:
        return self.choose.pick((0.375, 0.0123)) if self.choose.chance(12) else 1.0

    def pool(self) -> None:
        choose = self.choose
        channels, height, width = self.shape
        kernel = choose.pick(((2, 2), (2, 2), (3, 3), (3, 3), (1, 2), (2, 1), (3, 2), (2, 3)))
        kernel = (min(kernel[0], height), min(kernel[1], width))
        stride = kernel if choose.chance(40) else choose.pick(((1, 1), (2, 2), (2, 1), (1, 2)))
        pad = (choose.integer(0, kernel[0] // 2), choose.integer(0, kernel[1] // 2))
        dilation = (1, 1)
        if choose.chance(10) and 2 * kernel[0] - 1 <= height and 2 * kernel[1] - 1 <= width:
            dilation = (2, 2)
        pads = Pads(pad[1], pad[1], pad[0], pad[0])
        geometry = WindowGeometry(kernel, stride, pads, dilation, choose.chance(30))
        out = geometry.output_size(height, width)
        self.steps.append(Pool(geometry))
        self.shape = (channels, *out)


def _within(geometry: WindowGeometry, height: int, width: int) -> WindowGeometry:
    """The geometry with so little padding that each window touches the map."""
    reach = [(k - 1) * d for k, d in zip(geometry.kernel, geometry.dilation, strict=True)]
    pads = geometry.pads
    pads = replace(pads, top=min(pads.top, reach[0]), left=min(pads.left, reach[1]))
    while True:
        made = replace(geometry, pads=pads)
        rows, columns = made.output_size(height, width)
        if (rows - 1) * made.stride[0] >= height + pads.top:
            pads = replace(pads, bottom=pads.bottom - 1)
        elif (columns - 1) * made.stride[1] >= width + pads.left:
            pads = replace(pads, right=pads.right - 1)
        else:
            return made
