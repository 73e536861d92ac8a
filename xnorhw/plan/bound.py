"""The least clocks a frame that any hardware of the given folding could need.

Computed from the network, the folding and the board alone: it shares no code with the
planner's own cycle counts and holds no term for bubbles, fill or overhead.
"""

from __future__ import annotations

from math import ceil, prod

from xnorhw.board import Board
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import FullProduct, IntGraph, Product, Tensor
from xnorhw.ir.types import Encoding
from xnorhw.plan.folding import Folding
from xnorhw.plan.stages import chip_input, chip_output, runs_on_chip

__all__ = ["bound_cycles", "layer_bounds"]

_RESULT_BITS = 32


def bound_cycles(graph: IntGraph, folding: Folding, board: Board, clock_mhz: float | None = None) -> int:
    """Clocks a frame: the maximum of what the edges, the memory and each layer need.

    Input beats, output beats, bytes of a frame over the DDR's bandwidth, and for each layer
    max(ceil(input pixels / M), ceil(output pixels / M) x ceil(C_out / PE) x folds x terms), M
    the pixels a clock, folds = taps x ceil(C / SIMD) for SIMD <= C (of a group), else taps x C / SIMD, terms
    the binary weight tensors of a layer of k-bit weights or of several bases, done in turn.  A
    kernel that covers its whole map is a linear layer: one pixel in, one out.
    """
    beats_in = ceil(_input_bits(chip_input(graph)) / board.stream_bits)
    beats_out = ceil(prod(chip_output(graph).shape) * _RESULT_BITS / board.stream_bits)
    bytes_a_clock = board.ddr_gbytes_per_s * 1000 / (clock_mhz or board.clock_mhz)
    ddr = ceil((beats_in + beats_out) * board.stream_bits / 8 / bytes_a_clock)
    return max(beats_in, beats_out, ddr, *(clocks for _, clocks in layer_bounds(graph, folding)))


def layer_bounds(graph: IntGraph, folding: Folding) -> list[tuple[str, int]]:
    """Each product layer's part of ``bound_cycles``, by name, in order."""
    bounds = []
    for node in graph.nodes:
        if not isinstance(node.op, Product | FullProduct) or not runs_on_chip(node.op):
            continue
        name = node.output.name
        fold = folding.layer(name)
        channels, height, width = graph.tensor(node.input).shape
        channels //= node.op.groups
        outputs, out_height, out_width = node.output.shape
        taps = prod(node.op.geometry.kernel)
        pixels_in, pixels_out = height * width, out_height * out_width
        if node.op.geometry == WindowGeometry(kernel=(height, width)):
            pixels_in = 1
        if fold.simd <= channels:
            folds = taps * ceil(channels / fold.simd)
        else:
            folds = ceil(taps * channels / fold.simd)
        work = ceil(pixels_out / fold.pixels) * ceil(outputs / fold.pe) * folds
        work *= len(node.op.terms) if isinstance(node.op, Product) else 1
        bounds.append((name, max(ceil(pixels_in / fold.pixels), work)))
    return bounds


def _input_bits(tensor: Tensor) -> int:
    assert tensor.type is not None
    bits = tensor.type.bits + (tensor.type.encoding is Encoding.TWOS)
    return prod(tensor.shape) * (1 if bits == 1 else 8 if bits <= 8 else 16)
