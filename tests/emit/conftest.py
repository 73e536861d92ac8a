"""A hand-made plan, small enough to read: one layer of 4 to 3 channels, 1x1, on a 2x2 map."""

from __future__ import annotations

import numpy as np
import pytest

from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, Product, Tensor, Term
from xnorhw.ir.types import BIPOLAR, twos_complement
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    Figures,
    Frame,
    Job,
    LayerPlan,
    MatrixUnit,
    Memory,
    Plan,
    Resources,
    StartRom,
    Stream,
    WeightImage,
    WeightRom,
    Window,
)

NONE = Resources()


@pytest.fixture
def plan() -> Plan:
    """Beats -> pixels of 4 bits -> window -> PE 2 x SIMD 2 -> sums of 32 bits -> beats."""
    half = Stream("input", 2, 1, 4, 4)
    units = (
        Converter("in.converter", 64, 2, 16),
        Window("fc.window", 1, 2, 2, 2, 2, WindowGeometry((1, 1)), 2, 2, 1, 2, False, 8, "0"),
        WeightRom("fc.weights", 4, 4, Memory.LUT, "fc_weights"),
        StartRom("fc.starts", 8, 2, (0,), (0,), 1, 1, "fc_starts.mem"),
        MatrixUnit("fc.matrix", 2, 2, 1, False, True, 2, 2, 4, 4, False, 32),
        Converter("pixel.converter", 64, 96, 96),
        Converter("out.converter", 96, 64, 384),
    )
    sums = Stream("fc", 2, 32, 3, 4)
    edges = (
        Edge("input", "in.converter", "data", Stream("input", 64, 1, 16, 1), Fifo(0)),
        Edge("in.converter", "fc.window", "data", half, Fifo(0)),
        Edge("fc.window", "fc.matrix", "data", Stream("input", 2, 1, 8, 4), Fifo(0)),
        Edge("fc.weights", "fc.matrix", "weights", Stream("fc", 4, 1, 16, 4), Fifo(0)),
        Edge("fc.starts", "fc.matrix", "starts", Stream("fc", 2, 4, 4, 4), Fifo(0)),
        Edge("fc.matrix", "pixel.converter", "data", sums, Fifo(2), "fc"),
        Edge("pixel.converter", "out.converter", "data", Stream("fc", 3, 32, 3, 4), Fifo(0)),
        Edge("out.converter", "output", "data", Stream("fc", 2, 32, 12, 1), Fifo(2)),
    )
    layer = LayerPlan("fc", "fc", "fc.matrix", "fc.window", (), 2, 2, 1, Memory.LUT, 16, 16, 48, 12, NONE)
    return Plan(
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        input_tensor="input",
        output_tensor="fc",
        input_frame=Frame(64, 1, 16, 1),
        output_frame=Frame(64, 6, 12, 32),
        units=units,
        edges=edges,
        jobs=tuple(Job("fc", unit.name, (), "input", "fc") for unit in units),
        layers=(layer,),
        image=WeightImage((), 0),
        frames_in_flight=3,
        unit_resources=(),
        figures=Figures(16, 16, 30, 6.25e6, 4, NONE, NONE, NONE),
    )


@pytest.fixture
def graph() -> IntGraph:
    """The integer graph of ``plan``; row r has weight -1 where the channel is r."""
    weight = (1 - 2 * np.eye(3, 4, dtype=np.int8)).reshape(3, 4, 1, 1)
    product = Product((Term(1, weight),), WindowGeometry((1, 1)), 1, 0)
    output = Tensor("fc", (3, 2, 2), twos_complement(4))
    given = Input((4, 2, 2), encoding="bipolar")
    source = Tensor("input", (4, 2, 2), BIPOLAR)
    return IntGraph(given, source, (IntNode(product, "input", output),), "fc", (), (3, 2, 2))
