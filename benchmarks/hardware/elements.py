"""A matrix unit by itself, as a build has it: LUTs a lane with its weight memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.hardware.designs import Design, built
from benchmarks.hardware.networks import one_layer
from xnorhw.plan import Folding, LayerFolding
from xnorhw.plan.resources import unit_resources

__all__ = ["ELEMENTS", "Element", "Lanes", "design", "measure"]


@dataclass(frozen=True)
class Element:
    """A linear layer of ``inputs`` and ``outputs`` folded to PE x SIMD; its weights in ``memory``."""

    inputs: int
    outputs: int
    pe: int
    simd: int
    memory: str

    @property
    def lanes(self) -> int:
        """Products a clock."""
        return self.pe * self.simd

    @property
    def depth(self) -> int:
        """Words of the weight memory."""
        return -(-self.inputs // self.simd) * -(-self.outputs // self.pe)


@dataclass(frozen=True)
class Lanes:
    """LUTs a lane: of the unit with its weights' memory, of it alone, with the thresholds' memory too."""

    whole: float
    alone: float
    with_starts: float
    bram36: float
    formula: float
    source: str


ELEMENTS = {
    "16x64": Element(576, 576, 16, 64, "block"),
    "32x64": Element(576, 576, 32, 64, "block"),
    "4x32": Element(576, 576, 4, 32, "tall"),
    "16x576": Element(576, 64, 16, 576, "auto"),
}
"""The layer of 576 by 576 is that of a 3x3 convolution of 64 channels.  2,592 words of few
columns are what the planner cuts into tall ones where LUTs are what is scarce."""


def design(element: Element, folder: Path) -> Design:
    """The layer with one of two outputs behind it, which is as small as can be."""
    model = one_layer(element.inputs, element.outputs, folder)
    first, last = (layer.name for layer in model.plan("pynq-z2", target_fps=1).layers)
    folding = Folding(
        (LayerFolding(first, element.pe, element.simd, memory=element.memory), LayerFolding(last, 1, 1)),
    )
    name = f"{element.pe}x{element.simd}-{element.memory}"
    return built(model, folder / name, folding=folding)


def measure(element: Element, folder: Path) -> Lanes:
    """By yosys, from a whole build, without the FIFO behind the unit; the formula beside it."""
    made = design(element, folder)
    units = {unit.name: unit for unit in made.area.units}

    def lane(*names: str) -> float:
        found = (units[n] for n in names if n in units)
        return sum(unit.resources.lut - unit.fifos.lut for unit in found) / element.lanes

    return Lanes(
        whole=lane("l0_mvu", "l0_weights"),
        alone=lane("l0_mvu"),
        with_starts=lane("l0_mvu", "l0_weights", "l0_starts"),
        bram36=units["l0_weights"].resources.bram36 if "l0_weights" in units else 0.0,
        source=f"synthesised (yosys {made.area.version})",
        formula=sum(unit_resources(made.plan.unit(n)).lut for n in ("l0_mvu", "l0_weights") if n in units)
        / element.lanes,
    )
