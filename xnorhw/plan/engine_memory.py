"""Which memory of the CPU engine each tensor lies in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.engine_model import EngineLayer, EngineTensor, Format

__all__ = ["buffers_of"]

_BYTES = {Format.U8: 1, Format.I8: 1, Format.U16: 2, Format.I16: 2, Format.I32: 4, Format.I64: 8}


def buffers_of(tensors: Sequence[EngineTensor], layers: Sequence[EngineLayer]) -> tuple[int, ...]:
    """The number of each tensor's buffer, -1 where no layer makes it.

    A buffer is used again as soon as every layer that reads it has run: of the free ones the
    smallest that is large enough, else the largest.  The last layer's tensor stays.
    """
    last_use = {layers[-1].output: len(layers)} if layers else {}
    for number, layer in enumerate(layers):
        for tensor in layer.inputs:
            last_use[tensor] = max(number, last_use.get(tensor, 0))
    result = [-1] * len(tensors)
    sizes: list[int] = []
    busy_until: list[int] = []

    def place(tensor: int, now: int) -> None:
        size = _bytes(tensors[tensor])
        free = [b for b, until in enumerate(busy_until) if until < now]
        if not free:
            sizes.append(0)
            busy_until.append(0)
            free = [len(sizes) - 1]
        large = [b for b in free if sizes[b] >= size]
        chosen = min(large, key=lambda b: (sizes[b], b)) if large else max(free, key=lambda b: (sizes[b], -b))
        sizes[chosen] = max(sizes[chosen], size)
        busy_until[chosen] = last_use.get(tensor, now)
        result[tensor] = chosen

    place(0, -1)
    for number, layer in enumerate(layers):
        place(layer.output, number)
    return tuple(result)


def _bytes(tensor: EngineTensor) -> int:
    channels, height, width = tensor.shape
    if tensor.format is Format.BITS:
        return height * width * ceil_div(channels, 32) * 4
    return math.prod(tensor.shape) * _BYTES[tensor.format]
