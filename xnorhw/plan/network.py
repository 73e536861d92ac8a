"""What is planned: the stages of a network and the widths that its weights ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from xnorhw.ir.int_graph import IntGraph, Tensor
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipStage
from xnorhw.plan.stages import chip_input, chip_output, chip_stages
from xnorhw.plan.starts import AccumulatorWidths, accumulator_widths

__all__ = ["Network", "network_of"]


@dataclass(frozen=True)
class Network:
    """The chip's part: ``source`` enters, ``result`` leaves; ``widths`` are the layers', in order."""

    stages: tuple[ChipStage, ...]
    widths: tuple[AccumulatorWidths, ...]
    source: Tensor
    result: Tensor

    @cached_property
    def layers(self) -> tuple[ChipLayer, ...]:
        """The layers, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipLayer))

    @cached_property
    def joins(self) -> tuple[ChipJoin, ...]:
        """What stands between them."""
        return tuple(stage for stage in self.stages if isinstance(stage, ChipJoin))


def network_of(graph: IntGraph) -> Network:
    """The chip's part of ``graph``; raises ModelError as ``chip_stages`` does."""
    stages = chip_stages(graph)
    widths = tuple(accumulator_widths(stage) for stage in stages if isinstance(stage, ChipLayer))
    return Network(stages, widths, chip_input(graph), chip_output(graph))
