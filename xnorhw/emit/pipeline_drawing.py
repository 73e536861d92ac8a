"""The drawing of a plan's pipeline: a box for each layer, join and pool, an arrow for each stream."""

from __future__ import annotations

from math import prod

import numpy as np
from markupsafe import Markup

from xnorhw.emit.graph_drawing import graph_pipeline, stage_arrows
from xnorhw.emit.svg import Stage
from xnorhw.ir.int_graph import FullProduct, IntGraph, MaxPool, Product
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    LayerPlan,
    LevelUnit,
    MatrixUnit,
    MultiplyUnit,
    Plan,
    PoolUnit,
    RequantUnit,
    SumPoolUnit,
    Unit,
    Window,
)

__all__ = ["pipeline_drawing"]

INPUT, OUTPUT = "input", "output"


def pipeline_drawing(graph: IntGraph, plan: Plan) -> Markup:
    """Boxes in the order in which the data passes them; a stream that forks has several arrows."""
    boxes = _boxes(plan)
    order = list(dict.fromkeys([INPUT, *boxes.values(), OUTPUT]))
    stages = [_stage(graph, plan, box, [u for u in plan.units if boxes.get(u.name) == box]) for box in order]
    places = {box: i for i, box in enumerate(order)}
    owners = {unit: places[box] for unit, box in [*boxes.items(), (INPUT, INPUT), (OUTPUT, OUTPUT)]}
    return graph_pipeline(stages, stage_arrows(plan, owners))


def _boxes(plan: Plan) -> dict[str, str]:
    """The box of each unit that belongs to one; windows, converters and forks lie on the arrows."""
    layers = {layer.name for layer in plan.layers}
    jobs = {job.unit: job for job in plan.jobs}
    boxes: dict[str, str] = {}
    for unit in plan.units:
        job = jobs[unit.name]
        pool, _, behind = unit.name.partition("_pool")
        if behind and isinstance(unit, PoolUnit | SumPoolUnit | LevelUnit | RequantUnit):
            number = behind.partition("_")[0]
            boxes[unit.name] = f"{pool}_pool{number}"
        elif job.layer in layers and not isinstance(unit, Window):
            boxes[unit.name] = job.layer if _works(plan, unit) else ""
        elif isinstance(unit, AddUnit | ConcatUnit | MultiplyUnit | AbsSumUnit | LevelUnit | RequantUnit):
            boxes[unit.name] = job.layer
    return {name: box for name, box in boxes.items() if box}


def _works(plan: Plan, unit: Unit) -> bool:
    """True for a unit of a layer that computes; the rest only moves words."""
    kept = {layer.matrix for layer in plan.layers}
    return unit.name in kept or unit.name.endswith(("_terms", "_levels", "_requant", "_plane"))


def _stage(graph: IntGraph, plan: Plan, box: str, units: list[Unit]) -> Stage:
    if box == INPUT:
        channels, height, width = graph.tensor(plan.input_tensor).shape
        frame = plan.input_frame
        lines = (f"{channels}x{height}x{width}", f"{frame.element_bits} bit", f"{frame.beats} beats")
        return Stage(box, "input", lines)
    if box == OUTPUT:
        channels, height, width = graph.tensor(plan.output_tensor).shape
        out = plan.output_frame
        return Stage(box, "output", (f"{channels}x{height}x{width}", "int32", f"{out.beats} beats"))
    layer = next((layer for layer in plan.layers if layer.name == box), None)
    if layer is not None:
        return _layer_stage(graph, plan, layer)
    pool = next((u for u in units if isinstance(u, PoolUnit | SumPoolUnit) and u.name == box), None)
    return _join_stage(plan, box, units) if pool is None else _pool_stage(graph, plan, pool)


def _layer_stage(graph: IntGraph, plan: Plan, layer: LayerPlan) -> Stage:
    op = graph.node(layer.name).op
    if isinstance(op, FullProduct):
        unit = plan.unit(layer.matrix)
        assert isinstance(unit, MatrixUnit)
        shape = f"{'x'.join(map(str, op.weight.shape))}, {unit.weight_bits} bits"
    else:
        assert isinstance(op, Product)
        shape = "x".join(map(str, op.terms[0].weight.shape))
        if len(op.terms) > 1:
            shape = f"{len(op.terms)} of {shape}"
    folding = f"{layer.pe} PE x {layer.simd} SIMD" + (f", {layer.pixels} pixels" if layer.pixels > 1 else "")
    lines = (shape, folding, f"{layer.cycles:,} cycles")
    return Stage(layer.name, "last" if layer is plan.layers[-1] else "matrix", lines)


def _join_stage(plan: Plan, box: str, units: list[Unit]) -> Stage:
    lines = [what for what in map(_what, units) if what]
    job = next(job for job in plan.jobs if job.unit == units[0].name)
    return Stage(box, "join", (*lines, f"{prod(count for _, count in job.loops):,} cycles"))


def _what(unit: Unit) -> str:
    """What a unit of a join does, in two words."""
    if isinstance(unit, AddUnit):
        return f"sum of {len(unit.in_bits)}"
    if isinstance(unit, ConcatUnit):
        return f"{len(unit.words)} side by side"
    if isinstance(unit, MultiplyUnit):
        return "times the scales"
    if isinstance(unit, AbsSumUnit):
        return "sum of |x|"
    if isinstance(unit, LevelUnit):
        return "sign" if unit.out_bits == 1 else f"{unit.levels} levels"
    return f"to {unit.out_bits} bits" if isinstance(unit, RequantUnit) else ""


def _pool_stage(graph: IntGraph, plan: Plan, unit: PoolUnit | SumPoolUnit) -> Stage:
    source = next((e.source for e in plan.edges if e.target == unit.name and e.port == "data"), "")
    window = plan.unit(source) if source not in ("", INPUT) else None
    tensor = next((e.observed for e in plan.edges if e.source == unit.name and e.observed), unit.name)
    lines: tuple[str, ...] = (f"{unit.lanes} lanes",)
    if isinstance(window, Window):
        ky, kx = window.geometry.kernel
        op = next((n.op for n in graph.nodes if n.output.name == tensor), None)
        falling = op.minimum if isinstance(op, MaxPool) else np.zeros(1, np.bool_)
        most, least = ("OR", "AND") if isinstance(unit, PoolUnit) and unit.bits == 1 else ("max", "min")
        gate = least if falling.all() else f"{most}, {least}" if falling.any() else most
        if isinstance(unit, SumPoolUnit):
            gate = "average"
        lines = (f"{ky}x{kx} {gate}", f"{unit.lanes} lanes")
    return Stage(tensor, "pool", lines)
