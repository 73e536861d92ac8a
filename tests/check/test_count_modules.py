"""The text of a count, read back and proved: nothing that was changed in it passes."""

from __future__ import annotations

import re

import pytest

from xnorhw.check.count_modules import prove_count, read_module
from xnorhw.emit.popcount import module_name, module_text, texts
from xnorhw.plan.compressor import count_netlist, leaf_netlist
from xnorhw.plan.lut_netlist import NetlistError

LANES, STAGES = 27, 1


def text_of(lanes: int, stages: int, carry8: bool = False) -> str:
    return texts([(lanes, stages)], carry8)[f"{module_name(lanes, stages)}.sv"]


@pytest.mark.parametrize("carry8", [False, True], ids=["CARRY4", "CARRY8"])
@pytest.mark.parametrize("stages", [0, 2])
@pytest.mark.parametrize("lanes", [1, 2, 3, 7, 36, 64, 100])
def test_text_is_the_netlist(lanes: int, stages: int, carry8: bool) -> None:
    text = text_of(lanes, stages, carry8)
    net, read = count_netlist(lanes, stages=stages), read_module(text)
    assert read == net
    assert prove_count(text, lanes, stages) == ()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_leaves_are_told_their_tables(depth: int) -> None:
    leaf = tuple(tuple((lane * 7 + word * 3) % 5 % 2 for lane in range(20)) for word in range(depth))
    shape, filled = leaf_netlist(20, depth, 1), count_netlist(20, stages=1, leaf=leaf)
    text = module_text(shape, "leaves")
    tables = [lut.table for lut in filled.leaves]
    assert read_module(text, tables) == filled
    assert prove_count(text, 20, 1, tables)[:depth] == leaf
    with pytest.raises(NetlistError, match="LEAVES has no table"):
        read_module(text, tables[:-1])
    with pytest.raises(NetlistError, match="and there are"):
        read_module(text, [*tables, 0])


def _swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "@").replace(other, one).replace("@", other)


def _dropped(text: str, line: int) -> str:
    luts = [part for part in text.splitlines(keepends=True) if part.startswith("  LUT6_2")]
    return text.replace(luts[line], "")


FAULTS = {
    "a flipped bit": lambda t: re.sub(
        r"64'h([0-9A-F]{15})([0-9A-F])", lambda m: f"64'h{m[1]}{int(m[2], 16) ^ 1:X}", t, count=1
    ),
    "two activations change places": lambda t: _swapped(t, "activation_i[3]", "activation_i[9]"),
    "a weight twice": lambda t: t.replace("weight_i[5]", "weight_i[4]"),
    "an activation left out": lambda t: t.replace("activation_i[5]", "1'b0"),
    "a dropped LUT": lambda t: _dropped(t, 2),
    "sum and carry change places": lambda t: re.sub(
        r"\.O6\((n\d+)\), \.O5\((n\d+)\)", r".O6(\2), .O5(\1)", t, count=1
    ),
    "the sixth input": lambda t: t.replace(".I5(1'b1)", ".I5(1'b0)", 1),
    "a chain's carry": lambda t: re.sub(r"\.CYINIT\(n\d+\)", ".CYINIT(1'b1)", t, count=1),
    "a chain's data": lambda t: re.sub(r"(\.DI\({[^}]*)n\d+", r"\g<1>1'b0", t, count=1),
    "no register": lambda t: re.sub(r"      n\d+ <= [^;]+;\n", "", t, count=1),
    "a register's source": lambda t: re.sub(r"<= [^;]+;", "<= 1'b0;", t, count=1),
    "the outputs' order": lambda t: re.sub(r"count_o = {(\w+), (\w+), ", r"count_o = {\2, \1, ", t),
    "an output less": lambda t: re.sub(r"count_o = {\w+, ", "count_o = {", t),
    "one more lane": lambda t: t.replace("[26:0]", "[27:0]"),
    "a statement more": lambda t: t.replace("  assign count_o", "  assign n1 = 1'b0;\n  assign count_o"),
    "another clock": lambda t: t.replace("posedge clk_i", "negedge clk_i"),
    "another macro": lambda t: t.replace("XH_COUNTONES", "SYNTHESIS"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    text = text_of(LANES, STAGES)
    changed = FAULTS[fault](text)
    assert changed != text, "nothing was planted"
    with pytest.raises(NetlistError):
        prove_count(changed, LANES, STAGES)


def test_comments_do_not_count() -> None:
    text = text_of(LANES, STAGES)
    prove_count(text.replace("\n  LUT6_2", "\n  // a note\n  LUT6_2", 1), LANES, STAGES)


def test_other_sizes_are_no_answer() -> None:
    text = text_of(LANES, STAGES)
    for lanes, stages in ((LANES + 1, STAGES), (LANES, STAGES + 1)):
        with pytest.raises(NetlistError, match="it counts 27 lanes with 1 registers"):
            prove_count(text, lanes, stages)
