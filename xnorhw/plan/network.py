"""What is planned: the stages of a network and the widths that its weights ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from xnorhw.ir.int_graph import IntGraph, Tensor
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipStage
from xnorhw.plan.stages import chip_input, chip_output, chip_stages
from xnorhw.plan.starts import AccumulatorWidths, accumulator_widths

__all__ = ["Network", "network_of"]


@dataclass(frozen=True)
class Network:
    """The chip's part: ``source`` enters, ``result`` leaves; ``widths`` are the layers', in order.

    ``fabric``: the device's logic, and the clock wanted.
    """

    stages: tuple[ChipStage, ...]
    widths: tuple[AccumulatorWidths, ...]
    source: Tensor
    result: Tensor
    fabric: Fabric = Fabric()

    @property
    def lut6_2(self) -> bool:
        """Whether it is planned for a device whose LUTs have six inputs and two outputs."""
        return self.fabric.lut6_2

    @cached_property
    def layers(self) -> tuple[ChipLayer, ...]:
        """The layers, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipLayer))

    @cached_property
    def joins(self) -> tuple[ChipJoin, ...]:
        """What stands between them."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipJoin))


def network_of(graph: IntGraph, fabric: Fabric | None = None) -> Network:
    """The chip's part of ``graph``, for logic of which nothing is known unless told.

    Raises ModelError as ``chip_stages`` does.
    """
    fabric = fabric or Fabric()
    stages = chip_stages(graph)
    layers = (stage for stage in stages if isinstance(stage, ChipLayer))
    widths = tuple(replace(accumulator_widths(layer), fabric=fabric) for layer in layers)
    return Network(stages, widths, chip_input(graph), chip_output(graph), fabric)
