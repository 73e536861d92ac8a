"""The RTL and the memory files of networks of codes, terms, planes and average pools."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.emit.test_rtl import write
from tests.plan.code_cases import CASES
from tests.plan.networks import Conv, Linear, Pool, network
from xnorhw import pack
from xnorhw.board import load_board
from xnorhw.check.hls_memories import check_hls_memories
from xnorhw.check.memories import check_memories
from xnorhw.emit import hls, rom, rtl, store
from xnorhw.emit.report import make_report
from xnorhw.emit.wiring import netlist
from xnorhw.ir import serial
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import make_plan
from xnorhw.plan.model import LevelUnit, Plan, StartRom, TermsUnit, WeightRom

HASH = 1


def made(name: str) -> tuple[Plan, IntGraph]:
    graph, _ = CASES[name]()
    return make_plan(graph, load_board("pynq-z2")), graph


def core(plan: Plan) -> str:
    return rtl.files(plan, HASH)["rtl/accel_core.sv"]


def instance(text: str, module: str, name: str) -> dict[str, str]:
    """The parameters and ports of an instance."""
    (body,) = re.findall(rf"^  {module} #\(\n(.*?)\n  \) u_{name} \(\n(.*?)\n  \);", text, re.M | re.S)
    return dict(re.findall(r"\.(\w+)\s*\(([^\n]*?)\)[,\n]", "\n".join(body) + "\n"))


def test_terms_and_planes_stand_around_the_matrix_unit() -> None:
    text = core(made("bases")[0])
    plane = instance(text, "xh_plane", "l1_plane")
    assert (plane["BITS"], plane["TERMS"], plane["PLANES"]) == ("2", "6", "12'hA50")
    terms = instance(text, "xh_terms", "l1_terms")
    # 13, -5, 7, 9, 20, -31 in six bits each, the first lowest
    word = sum((c & 63) << (6 * i) for i, c in enumerate((13, -5, 7, 9, 20, -31)))
    assert (terms["COEF_BITS"], terms["COEFFICIENTS"]) == ("6", f"36'h{word:09X}")
    matrix = instance(text, "xh_mvu", "l1_mvu")
    assert (matrix["ACT_BIPOLAR"], matrix["ACT_BITS"], matrix["THRESHOLDED"]) == ("1'b1", "1", "1'b0")
    assert plane["m_data_o"] == matrix["s_data_i"] == "l1_mvu_in_data"
    assert terms["s_data_i"] == matrix["m_data_o"] == "l1_terms_in_data"


def test_tables_feed_what_makes_codes() -> None:
    plan, _ = made("multiplications")
    text = core(plan)
    requant = instance(text, "xh_requant", "l0_requant")
    assert requant["f_data_i"] == "l0_requant_factors_data"
    assert (requant["SHIFT"], requant["LOW"], requant["HIGH"], requant["OUT_BITS"]) == ("12", "0", "255", "8")
    # of so few words, no column is a LUT by name
    rom_ports = instance(text, "xh_weight_rom", "l0_requant_table")
    assert rom_ports["m_data_o"] == "l0_requant_factors_data"
    assert rom_ports["FILE"] == '"accel_l0_requant_table.mem"'
    levels = instance(core(made("codes of 2 bits")[0]), "xh_levels", "l0_levels")
    assert (levels["LEVELS"], levels["OUT_BITS"]) == ("3", "2")
    assert levels["l_data_i"] == "l0_levels_levels_data"


def test_pools_of_codes_and_sums() -> None:
    text = core(made("codes of 2 bits")[0])
    assert instance(text, "xh_pool", "l0_pool0")["BITS"] == "2"
    text = core(made("averages")[0])
    pool = instance(text, "xh_sum_pool", "l1_pool0")
    assert (pool["IN_BIPOLAR"], pool["IN_SIGNED"], pool["IN_BITS"]) == ("1'b1", "1'b0", "1")
    # a pool of signs is the one that it was before there were codes
    signs = network((2, 4, 4), [Conv(3), Pool(), Linear(2)])
    assert "BITS" not in instance(core(make_plan(signs, load_board("pynq-z2"))), "xh_pool", "l0_pool0")


def test_every_unit_says_what_it_does() -> None:
    comments = [i.comment for name in CASES for i in netlist(made(name)[0], "accel").instances]
    for part in (
        "code > 0, 1, 2 in turn",
        "terms weighed by 1, 2 and summed",
        "15 levels to codes of 4 bits",
        "to codes of 8 bits",
        "level words of",
        "factor words of",
        "terms of channel groups",
    ):
        assert any(part in comment for comment in comments), part


def test_the_files_of_tables_hold_the_packed_words() -> None:
    for name in ("multiplications", "15 levels, pools that overlap", "levels by position", "averages"):
        plan, graph = made(name)
        files = rom.files(plan, graph)
        tables = [e.source for e in plan.edges if e.port in ("levels", "factors")]
        assert tables
        for table in tables:
            unit = plan.unit(table)
            assert isinstance(unit, WeightRom)
            header, *lines = files[f"rom/accel_{table}.mem"].splitlines()
            assert [int(line, 16) for line in lines] == pack.table_words(plan, graph, unit)
            assert header.startswith(("// levels of", "// multipliers and addends of"))
            assert "positions x" in header


def test_a_table_by_hand() -> None:
    """Levels rise, a falling channel has the flip and one more; what no sum reaches is at the end."""
    plan, graph = made("codes of 2 bits")
    rom_unit = plan.unit("l0_levels_table")
    unit = plan.unit("l0_levels")
    assert isinstance(rom_unit, WeightRom) and isinstance(unit, LevelUnit)
    op = graph.node("codes0").op
    words = pack.table_words(plan, graph, rom_unit)
    size = unit.levels * unit.in_bits + 1
    weight = graph.node("layer0").op.terms[0].weight  # type: ignore[union-attr]
    minus, plus = (int((weight == sign).sum(axis=(1, 2, 3)).max()) for sign in (-1, 1))
    for channel in range(graph.tensor("codes0").shape[0]):
        word = words[channel // unit.lanes] >> (channel % unit.lanes * size) & (1 << size) - 1
        flip = word >> (size - 1)
        assert flip == (op.direction[channel] < 0)  # type: ignore[union-attr]
        wanted = sorted(int(t) + flip for t in op.table[0, channel])  # type: ignore[union-attr]
        for i, t in enumerate(wanted):
            level = word >> (i * unit.in_bits) & (1 << unit.in_bits) - 1
            level -= (level >> unit.in_bits - 1) << unit.in_bits
            if abs(t) < 1 << 40:
                assert level == t
            else:
                # 27 inputs of -128..127: a weight of +1 reaches one lower, one of -1 one higher
                assert level == (-127 * 27 - plus if t < 0 else 127 * 27 + minus + 1)


@pytest.mark.parametrize("name", ["multiplications", "bases", "averages"])
def test_a_flipped_bit_of_a_memory_is_found(name: str, tmp_path: Path) -> None:
    plan, graph = made(name)
    write({**rtl.files(plan, HASH), **rom.files(plan, graph)}, tmp_path)
    stored = cast(Any, SimpleNamespace(plan=plan, graph=graph, folder=tmp_path))
    clean = check_memories(stored)
    assert clean.mismatches == 0 and clean.values > 0
    feeds = {e.source: e.port for e in plan.edges}
    reads = {e.source: e.target for e in plan.edges}
    writes = {job.unit: job.writes for job in plan.jobs}
    for path in sorted((tmp_path / "rom").glob("*.mem")):
        text = path.read_text()
        first, *lines = text.splitlines()
        # the last digit holds bit 0 of lane 0, which is a channel's
        lines[0] = lines[0][:-1] + f"{int(lines[0][-1], 16) ^ 1:x}"
        path.write_text("\n".join([first, *lines]) + "\n")
        found = check_memories(stored)
        assert found.first is not None, path.name
        unit = path.stem.removeprefix("accel_")
        layer = {x.matrix: x.name for x in plan.layers}.get(reads[unit], writes[reads[unit]])
        assert (found.first.tensor, found.first.channel) == (layer, 0), path.name
        path.write_text("\n".join([first, *lines[:-1]]) + "\n")
        with pytest.raises(VerifyError, match="words, the plan has"):
            check_memories(stored)
        path.write_text(text)
        assert feeds[unit] in ("weights", "starts", "levels", "factors")


@pytest.mark.parametrize(
    ("name", "array", "tensor"),
    [
        ("multiplications", "l0_requant_table", "codes0"),
        ("codes of 2 bits", "l0_levels_table", "codes0"),
        ("averages", "l1_pool0_levels_table", "pool3_codes"),
        ("bases", "l1_mvu_weights", "layer1"),
        ("bases", "l1_mvu_starts", "layer1"),
    ],
)
def test_a_changed_number_of_the_cpp_is_found(name: str, array: str, tensor: str, tmp_path: Path) -> None:
    plan, graph = made(name)
    write(hls.files(plan, graph), tmp_path)
    stored = cast(Any, SimpleNamespace(plan=plan, graph=graph, folder=tmp_path))
    assert check_hls_memories(stored, "hls").mismatches == 0
    path = tmp_path / "hls" / "accel_weights.h"
    text = path.read_text()
    start = re.search(rf"\b{array}\[.*?= {{\s*{{", text, re.S)
    assert start is not None
    rest = text[start.end() :]
    number = re.match(r"\s*(0x[0-9A-F]+|-?\d+)", rest) or re.match(r'\s*ap_uint<\d+>\("(0x[0-9A-F]+)"', rest)
    assert number is not None
    old = int(number[1], 0)
    new = hex(old ^ 1).upper().replace("X", "x") if "0x" in number[1] else str(old - 1)
    path.write_text(text[: start.end()] + rest[: number.start(1)] + new + rest[number.end(1) :])
    found = check_hls_memories(stored, "hls").first
    assert found is not None and (found.tensor, found.channel, found.y) == (tensor, 0, 0)


def test_terms_that_meet_another_width_are_no_plan() -> None:
    plan, _ = made("bases")
    units = tuple(replace(u, in_bits=u.in_bits + 1) if isinstance(u, TermsUnit) else u for u in plan.units)
    with pytest.raises(ValueError, match="meets a port"):
        netlist(replace(plan, units=units), "accel")


def test_the_report_counts_terms_and_tables() -> None:
    plan, graph = made("weights of 2 bits on codes")
    report = make_report(graph, plan, HASH)
    first, second = report.layers
    weights = 6 * 3 * 9 + 5 * 6 * 9
    assert [first.weight_bits, second.weight_bits] == [2 * 6 * 3 * 9, 2 * 5 * 6 * 9]
    assert (report.weights.float32_bytes, report.weights.ratio) == (4 * weights, 2 / 32)
    assert first.macs == 2 * 6 * 3 * 9 * 36 and 0 < first.efficiency <= 1
    assert (first.input_bits, second.input_bits) == (4, 2)
    table = plan.unit("l0_levels_table")
    weight_rom, start_rom = plan.unit("l0_weights"), plan.unit("l0_starts")
    assert isinstance(table, WeightRom) and isinstance(weight_rom, WeightRom)
    assert isinstance(start_rom, StartRom)
    known = table.width * table.depth + weight_rom.width * weight_rom.depth
    assert first.rom_bits == known + start_rom.width * start_rom.groups


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_written_and_read_back(name: str) -> None:
    """plan.json has the new units, and the files made of what was read are the same."""
    plan, graph = made(name)
    arrays: dict[str, Any] = {}
    text = json.dumps(serial.encode(plan, arrays), sort_keys=True)
    assert not arrays
    again = serial.decode(json.loads(text), {}, store._PLAN_CLASSES)
    assert again == plan
    assert rtl.files(again, HASH) == rtl.files(plan, HASH) and rom.files(again, graph) == rom.files(
        plan, graph
    )
