"""The wires of networks with branches: forks, units that join streams, deep FIFOs, the drawing."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.plan.graph_networks import CASES
from xnorhw.board import load_board
from xnorhw.emit import rtl, store
from xnorhw.emit.graph_drawing import graph_pipeline, stage_arrows
from xnorhw.emit.pipeline_drawing import pipeline_drawing
from xnorhw.emit.svg import Stage, pipeline
from xnorhw.emit.unit_parameters import comment_of, summands_of, vector_of
from xnorhw.emit.wiring import netlist
from xnorhw.ir import serial
from xnorhw.ir.int_graph import IntGraph, Requant
from xnorhw.plan import make_plan
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Fifo,
    ForkUnit,
    MatrixUnit,
    MultiplyUnit,
    Plan,
    PoolUnit,
    RequantUnit,
    Window,
)

HASH = 1


@functools.cache
def made(name: str) -> Plan:
    return make_plan(CASES[name]()[0], load_board("pynq-z2"))


@functools.cache
def core(plan: Plan) -> str:
    return rtl.files(plan, HASH)["rtl/accel_core.sv"]


def instance(text: str, module: str, name: str) -> dict[str, str]:
    """The parameters and ports of an instance."""
    before, _, behind = text.partition(f"\n  ) u_{name} (\n")
    parameters = before[before.rindex(f"  {module} #(\n") :]
    ports = behind[: behind.index("\n  );")]
    return dict(re.findall(r"\.(\w+)\s*\(([^\n]*?)\)[,\n]", parameters + "\n" + ports + "\n"))


def names(plan: Plan, kind: type) -> list[str]:
    return [unit.name for unit in plan.units if isinstance(unit, kind)]


def test_ties_to_even_are_a_parameter_of_the_units_that_need_it() -> None:
    """The others' instances have the text that they had before there was one."""
    plan = made("ties to even")
    units = [unit for unit in plan.units if isinstance(unit, RequantUnit)]
    found = {u.name: instance(core(plan), "xh_requant", u.name).get("EVEN") for u in units}
    assert found == {u.name: "1'b1" if u.even else None for u in units}
    assert {u.even for u in units} == {True, False}
    assert all(("ties to even" in comment_of(u, "", "")) == u.even for u in units)


@pytest.mark.parametrize("name", ["ties to even", "numbers"])
def test_ties_to_even_are_stored_where_there_are_any(name: str) -> None:
    """What has none is stored as it was before there were any, and so reads what was stored then."""
    graph, plan = CASES[name]()[0], made(name)
    for value, classes in ((graph, store._GRAPH_CLASSES), (plan, store._PLAN_CLASSES)):
        arrays: dict[str, Any] = {}
        text = json.dumps(serial.encode(value, arrays))
        again = serial.decode(json.loads(text), arrays, classes)
        assert _evens(again) == _evens(value)
        assert text.count('"even"') == text.count('"even": true') == sum(_evens(value))
    assert sum(_evens(plan)) == sum(_evens(graph)) == (6 if name == "ties to even" else 0)


def _evens(value: Plan | IntGraph) -> list[bool]:
    if isinstance(value, Plan):
        return [unit.even for unit in value.units if isinstance(unit, RequantUnit)]
    return [node.op.even for node in value.nodes if isinstance(node.op, Requant)]


def parts(text: str) -> list[str]:
    """What stands between braces, the lowest last."""
    return re.sub(r"[{} ]", "", text).split(",")


def test_a_forks_copies_are_its_edges() -> None:
    plan = made("residual")
    text = core(plan)
    for name in names(plan, ForkUnit):
        unit = plan.unit(name)
        assert isinstance(unit, ForkUnit)
        ports = instance(text, "xh_fork", name)
        assert (ports["COPIES"], ports["WIDTH"]) == (str(unit.copies), str(unit.width))
        edges = [e for e in plan.edges if e.source == name]
        for port, wire in (("m_valid_o", "valid"), ("m_ready_i", "ready"), ("m_data_o", "data")):
            wired = [part.removesuffix(f"_{wire}") for part in parts(ports[port])]
            put = [
                f"{name}_out{i}"
                if isinstance(e.storage, Fifo) and e.storage.depth
                else f"{e.target}_{e.port.replace('data', 'in')}"
                for i, e in enumerate(edges)
            ]
            assert wired == put[::-1]
    assert "as a graph of units" in text and "<unit>_in0" in text


def test_every_input_of_a_join_is_wired_lowest_last() -> None:
    plan = made("numbers")
    text = core(plan)
    (name,) = [n for n in names(plan, AddUnit) if len(plan.unit(n).in_bits) == 4]  # type: ignore[union-attr]
    unit = plan.unit(name)
    assert isinstance(unit, AddUnit)
    ports = instance(text, "xh_add", name)
    assert parts(ports["s_valid_i"]) == [f"{name}_in{i}_valid" for i in (3, 2, 1, 0)]
    assert parts(ports["s_ready_o"]) == [f"{name}_in{i}_ready" for i in (3, 2, 1, 0)]
    assert [part.rsplit("_", 1)[0] for part in parts(ports["s_data_i"])] == [
        f"{name}_in{i}" for i in (3, 2, 1, 0)
    ]
    widths = sum(bits << 8 * i for i, bits in enumerate(unit.in_bits))
    assert int(ports["IN_BITS"].split("'h")[1], 16) == widths
    assert int(ports["IN_WIDTH"]) == unit.lanes * sum(unit.in_bits)
    for field, values in (("IN_SIGNED", unit.in_signed), ("IN_BIPOLAR", unit.in_bipolar)):
        assert ports[field] == f"4'h{sum(bool(v) << i for i, v in enumerate(values)):X}"


def test_the_same_tensor_twice_side_by_side() -> None:
    plan = made("channels doubled")
    (name,) = names(plan, ConcatUnit)
    unit = plan.unit(name)
    assert isinstance(unit, ConcatUnit)
    ports = instance(core(plan), "xh_concat", name)
    assert ports["INPUTS"] == "2" and ports["WIDTH"] == str(unit.lanes * unit.bits)
    assert ports["WORDS"] == f"32'h{unit.words[1] << 16 | unit.words[0]:08X}"
    sources = {e.source for e in plan.edges if e.target == name}
    assert len(sources) == 1 and isinstance(plan.unit(sources.pop()), ForkUnit)


def test_scales_and_groups() -> None:
    plan = made("input scales")
    text = core(plan)
    for name in names(plan, MultiplyUnit):
        ports = instance(text, "xh_multiply", name)
        assert ports["s_valid_i"] == f"{name}_in0_valid" and ports["f_valid_i"] == f"{name}_in1_valid"
        assert ports["f_ready_o"] == f"{name}_in1_ready"
    for name in names(plan, AbsSumUnit):
        unit = plan.unit(name)
        assert isinstance(unit, AbsSumUnit)
        assert instance(text, "xh_abs_sum", name)["LAST_LANES"] == str(unit.last_lanes)
    plan = made("groups")
    sliced = [u for u in plan.units if isinstance(u, Window)]
    shown = [instance(core(plan), "xh_window", u.name).get("SLICES", "1") for u in sliced]
    assert shown == [str(u.slices) for u in sliced] and len(set(shown)) > 1
    plan = made("channels doubled")
    assert instance(core(plan), "xh_pool", names(plan, PoolUnit)[0])["SIGNED"] == "1'b1"


def test_wide_lanes_are_cut_in_front_of_every_input() -> None:
    """An element may travel in more bits than the unit takes, each input by itself."""
    plan = made("residual")
    name = names(plan, AddUnit)[0]
    edges = [i for i, e in enumerate(plan.edges) if e.target == name]
    unit = plan.unit(name)
    assert isinstance(unit, AddUnit)
    narrow = replace(unit, in_bits=(unit.in_bits[0], unit.in_bits[1] - 2))
    changed = replace(plan, units=tuple(narrow if u.name == name else u for u in plan.units))
    net = netlist(changed, "accel")
    links = {link.get: link for link in net.links}
    assert [bool(links[f"{name}_in{i}"].narrow) for i in range(2)] == [False, True]
    text = core(changed)
    assert parts(instance(text, "xh_add", name)["s_data_i"]) == [f"{name}_in1_codes", f"{name}_in0_data"]
    bits = plan.edges[edges[1]].stream.bits
    assert f"{name}_in1_codes[l*{bits - 2}+:{bits - 2}] = {name}_in1_data[l*{bits}+:{bits - 2}];" in text


def test_a_graph_that_does_not_hang_together_is_no_plan() -> None:
    plan = made("residual")
    joined, forked = names(plan, AddUnit)[0], names(plan, ForkUnit)[0]
    adder = plan.unit(joined)
    assert isinstance(adder, AddUnit)
    third = replace(adder, in_bits=(*adder.in_bits, 1))
    with pytest.raises(ValueError, match="nothing feeds its port 'data2'"):
        netlist(replace(plan, units=tuple(third if u.name == joined else u for u in plan.units)), "accel")
    more = tuple(replace(u, copies=3) if u.name == forked else u for u in plan.units)
    with pytest.raises(ValueError, match="nothing takes all of its 3 outputs"):
        netlist(replace(plan, units=more), "accel")
    fewer = tuple(replace(u, copies=1) if u.name == forked else u for u in plan.units)
    with pytest.raises(ValueError, match="one source and one target"):
        netlist(replace(plan, units=fewer), "accel")
    edges = tuple(
        replace(e, port="data2") if e.target == joined and e.port == "data1" else e for e in plan.edges
    )
    with pytest.raises(ValueError, match="no input port 'data2'"):
        netlist(replace(plan, edges=edges), "accel")
    edges = tuple(
        replace(e, port="data0") if e.target == joined and e.port == "data1" else e for e in plan.edges
    )
    with pytest.raises(ValueError, match="one source and one target"):
        netlist(replace(plan, edges=edges), "accel")


def test_numbers_without_a_place_are_refused() -> None:
    adder = AddUnit("a", 1, (8, 8), (True, True), (False, False), (0, 256), 32)
    with pytest.raises(ValueError, match="does not fit in 8 bits"):
        summands_of(adder)
    with pytest.raises(ValueError, match="not as many"):
        summands_of(replace(adder, shifts=(0,)))
    with pytest.raises(ValueError, match="does not fit in 16 bits"):
        vector_of(ConcatUnit("c", 1, 1, (1, 1 << 16)))


def test_every_unit_says_what_it_does() -> None:
    said = {type(u): comment_of(u, "", "") for name in CASES for u in made(name).units}
    assert re.fullmatch(r"words of \d+ bits to \d targets", said[ForkUnit])
    assert re.fullmatch(r"sums of \d+ bits << \d, \d+ bits << \d, \d+ lanes", said[AddUnit])
    assert "one behind the other" in said[ConcatUnit]
    assert "magnitudes summed" in said[AbsSumUnit] and "lanes a factor" in said[MultiplyUnit]


def drawing(plan: Plan) -> tuple[list[Stage], tuple[tuple[int, int], ...]]:
    stages, owners = [Stage("input", "input", ("",))], {"input": 0}
    for unit in plan.units:
        if isinstance(unit, MatrixUnit | AddUnit | ConcatUnit | MultiplyUnit):
            owners[unit.name] = len(stages)
            tensor = next(edge.stream.tensor for edge in plan.edges if edge.source == unit.name)
            stages.append(Stage(tensor, "matrix" if isinstance(unit, MatrixUnit) else "join", ("",)))
    owners["output"] = len(stages)
    stages.append(Stage("output", "output", ("",)))
    return stages, stage_arrows(plan, owners)


def test_the_drawing_has_an_arrow_for_each_branch() -> None:
    stages, arrows = drawing(made("residual"))
    assert [s.title for s in stages if s.kind == "join"] == ["add4", "add8"]
    # input, layer, sum, layer, sum, layer, output; both sums read past a layer
    assert arrows == ((0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4), (4, 5), (5, 6))
    text = str(graph_pipeline(stages, arrows))
    assert text.count("<rect") == len(stages) and text.count('class="arrow"') == len(arrows)
    assert text == str(graph_pipeline(stages, arrows))


def test_the_report_draws_every_layer_join_and_pool() -> None:
    text = str(pipeline_drawing(CASES["halved"]()[0], made("halved")))
    titles = re.findall(r"<title>([^<]*)</title>", text)
    assert titles.count("input") == titles.count("output") == 1 and len(set(titles)) == len(titles)
    plan = made("halved")
    assert {layer.name for layer in plan.layers} < set(titles)
    for what in ("sum of 2", "2 side by side", "sign", "average", "max"):
        assert what in text, what
    scales = str(pipeline_drawing(CASES["input scales"]()[0], made("input scales")))
    assert "times the scales" in scales and "sum of |x|" in scales


def test_no_two_boxes_of_a_drawing_lie_on_each_other() -> None:
    for name in CASES:
        stages, arrows = drawing(made(name))
        text = str(graph_pipeline(stages, arrows))
        places = re.findall(r'<rect x="(\d+)" y="(\d+)"', text)
        assert len(set(places)) == len(stages) == len(places)
        size = re.search(r'viewBox="0 0 (\d+) (\d+)"', text)
        assert size is not None
        assert all(int(x) + 150 <= int(size[1]) and int(y) + 84 <= int(size[2]) for x, y in places)
        for path in re.findall(r' d="([^"]*)"', text)[1:]:
            ends = [[int(n) for n in re.findall(rf"{axis}(\d+)", path)] for axis in "HV"]
            assert max(ends[0]) <= int(size[1]) and max(ends[1], default=0) <= int(size[2])


def test_a_chain_is_drawn_as_before() -> None:
    stages = [Stage(str(i), "matrix", ("",)) for i in range(7)]
    chain = tuple((i, i + 1) for i in range(6))
    assert graph_pipeline(stages, chain) == pipeline(stages)
    for wrong in ((2, 1), (0, 7), (3, 3)):
        with pytest.raises(ValueError, match="to a later one"):
            graph_pipeline(stages, (*chain, wrong))


def test_deep_fifos_stand_in_the_core() -> None:
    plan = made("residual")
    name = names(plan, AddUnit)[0]
    number = next(i for i, e in enumerate(plan.edges) if e.target == name and e.port == "data1")
    edges = list(plan.edges)
    edges[number] = replace(edges[number], storage=Fifo(777))
    text = core(replace(plan, edges=tuple(edges)))
    fifo = re.search(rf"xh_fifo #\(\n    \.WIDTH\(\d+\),\n    \.DEPTH\(777\)\n  \) fifo_{name}_in1 \(", text)
    assert fifo is not None
