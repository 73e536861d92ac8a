"""The cost formulas against yosys's counts of the real units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plan.yosys_units import sources_digest
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    Fifo,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
    Memory,
    MultiplyUnit,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    Resources,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)
from xnorhw.plan.resources import block_ram, fifo_resources, lut_ram, lut_rom, unit_resources

TABLE = json.loads(Path(__file__).with_name("yosys_units.json").read_text())


def test_the_counts_are_of_the_rtl_as_it_is() -> None:
    """After a change of a unit: python -m tests.plan.yosys_units."""
    assert TABLE["sources_sha256"] == sources_digest()


# A formula lies within this share of the count, or within so many LUTs or flip-flops of it.
SHARE = 0.25
SLACK = 32


def numbers(text: str, count: int, bits: int) -> tuple[int, ...]:
    """The numbers of a packed vector, in two's complement."""
    word, half = int(text.split("'h")[1], 16), 1 << (bits - 1)
    fields = [(word >> (i * bits)) & (2 * half - 1) for i in range(count)]
    return tuple((field ^ half) - half for field in fields)


def code_unit(module: str, n: dict[str, int], text: dict[str, str]) -> Resources | None:
    """What the plan says of a unit for terms or codes; None where it is no such unit."""
    if module == "xh_plane":
        word, bits = int(text["PLANES"].split("'h")[1], 16), n["bits"]
        planes = tuple((word >> (i * bits)) & ((1 << bits) - 1) for i in range(n["terms"]))
        return unit_resources(PlaneUnit("u", n["lanes"], bits, n["folds"], planes))
    if module == "xh_terms":
        coefficients = numbers(text["COEFFICIENTS"], n["terms"], n["coef_bits"])
        return unit_resources(TermsUnit("u", n["lanes"], n["in_bits"], coefficients, n["out_bits"]))
    if module == "xh_levels":
        return unit_resources(LevelUnit("u", n["lanes"], n["in_bits"], n["levels"], n["out_bits"]))
    if module == "xh_requant":
        fields = ("lanes", "in_bits", "multiplier_bits", "addend_bits", "shift")
        low, high = int(text["LOW"]), int(text["HIGH"])
        values = (*(n[f] for f in fields), low, high, n["out_bits"], bool(n.get("even", 0)))
        return unit_resources(RequantUnit("u", *values))
    if module == "xh_sum_pool":
        signed, bipolar = bool(n["in_signed"]), bool(n["in_bipolar"])
        window = (n["taps_per_word"], n["tap_groups"], n["words_per_pixel"], n["out_bits"])
        return unit_resources(SumPoolUnit("u", n["lanes"], n["in_bits"], signed, bipolar, *window))
    return None


def flags(text: str, count: int) -> tuple[bool, ...]:
    """The bits of a packed vector."""
    return tuple(bool(int(text.split("'h")[1], 16) >> i & 1) for i in range(count))


def branch_unit(module: str, n: dict[str, int], text: dict[str, str]) -> Resources | None:
    """What the plan says of a unit that takes a network apart or joins it; None where it is no such unit."""
    if module == "xh_fork":
        return unit_resources(ForkUnit("u", n["width"], n["copies"]))
    if module == "xh_add":
        bits, shifts = (numbers(text[name], n["inputs"], 8) for name in ("IN_BITS", "SHIFTS"))
        signed, bipolar = (flags(text[name], n["inputs"]) for name in ("IN_SIGNED", "IN_BIPOLAR"))
        return unit_resources(AddUnit("u", n["lanes"], bits, signed, bipolar, shifts, n["out_bits"]))
    if module == "xh_concat":
        return unit_resources(ConcatUnit("u", n["width"], 1, numbers(text["WORDS"], n["inputs"], 16)))
    if module == "xh_abs_sum":
        fields = ("lanes", "in_bits", "words_per_pixel", "last_lanes", "out_bits")
        return unit_resources(AbsSumUnit("u", *(n[f] for f in fields)))
    if module == "xh_multiply":
        fields = ("lanes", "in_bits", "factor_bits", "words_per_pixel", "out_bits")
        return unit_resources(MultiplyUnit("u", *(n[f] for f in fields)))
    return None


def formula(entry: dict[str, Any]) -> Resources:
    """What the plan says of a recorded unit."""
    n = {k.lower(): int(v) for k, v in entry["parameters"].items() if v.isdigit()}
    module = entry["module"]
    for known in (code_unit, branch_unit):
        found = known(module, n, entry["parameters"])
        if found is not None:
            return found
    if module == "xh_fifo":
        return fifo_resources(n["width"], Fifo(n["depth"]))
    if module == "xh_width_converter":
        return unit_resources(Converter("u", n["in_bits"], n["out_bits"], n["packet_bits"]))
    if module == "xh_weight_rom":
        memory = Memory.BLOCK if n["block_rom"] else Memory.LUT
        return unit_resources(WeightRom("u", n["width"], n["depth"], memory, "f"))
    if module == "xh_start_rom":
        rows, columns = n.get("out_height", 1), n.get("out_width", 1)
        return unit_resources(
            StartRom(
                "u",
                n["width"],
                n["groups"],
                (0,) * rows,
                (0,) * columns,
                n.get("row_classes", 1),
                n.get("column_classes", 1),
                "f",
            )
        )
    if module == "xh_pool":
        return unit_resources(
            PoolUnit(
                "u",
                n["lanes"],
                n["taps_per_word"],
                n["tap_groups"],
                n["words_per_pixel"],
                "0",
                n.get("bits", 1),
                bool(n.get("signed", 0)),
            )
        )
    if module == "xh_window":
        pad = n["pad_top"]
        geometry = WindowGeometry(
            (n["kernel_y"], n["kernel_x"]), (n["stride_y"], n["stride_x"]), Pads(pad, pad, pad, pad)
        )
        return unit_resources(
            Window(
                "u",
                n["bits"],
                n["lanes"],
                n["words_per_pixel"],
                n["height"],
                n["width"],
                geometry,
                n["out_height"],
                n["out_width"],
                n["taps_per_word"],
                n["repeats"],
                bool(n["channels_outer"]),
                n["depth"],
                "0",
                Memory.BLOCK if n["block_ram"] else Memory.LUT,
                n.get("slices", 1),
            )
        )
    assert module == "xh_mvu"
    return unit_resources(
        MatrixUnit(
            "u",
            n["pe"],
            n["simd"],
            n["act_bits"],
            bool(n["act_signed"]),
            bool(n["act_bipolar"]),
            n["folds"],
            1,
            n["start_bits"],
            n["acc_bits"],
            bool(n["thresholded"]),
            n["out_bits"],
            n.get("weight_bits", 1),
        )
    )


@pytest.mark.parametrize("entry", TABLE["units"], ids=lambda e: e["key"])
def test_formula_lies_in_the_band(entry: dict[str, Any]) -> None:
    said = formula(entry)
    assert (said.bram36, said.dsp) == (entry["bram36"], entry["dsp"])
    deep_rom = entry["module"] == "xh_weight_rom" and int(entry["parameters"]["DEPTH"]) > 64
    if deep_rom and not entry["bram36"]:
        # a formula of the device: abc's factoring of random contents takes more
        assert said.lut <= entry["lut"]
    else:
        assert abs(said.lut - entry["lut"]) <= max(SLACK, SHARE * entry["lut"])
    if "_rom" not in entry["module"]:
        # yosys turns a LUT ROM's address register into one behind its data
        assert abs(said.ff - entry["ff"]) <= max(12, 0.1 * entry["ff"])


def test_the_table_covers_every_unit() -> None:
    modules = {e["module"] for e in TABLE["units"]}
    expected = {"fifo", "mvu", "pool", "start_rom", "weight_rom", "width_converter", "window"}
    expected |= {"levels", "plane", "requant", "sum_pool", "terms"}
    expected |= {"abs_sum", "add", "concat", "fork", "multiply"}
    assert modules == {f"xh_{name}" for name in expected}


@pytest.mark.parametrize(
    ("width", "depth", "bram36"),
    [
        (1, 16384, 0.5),
        (1, 16385, 1.0),
        (36, 512, 0.5),
        (37, 512, 1.0),
        (9, 2048, 0.5),
        (64, 576, 2.0),
        (18, 1024, 0.5),
    ],
)
def test_block_ram_by_the_device_table(width: int, depth: int, bram36: float) -> None:
    assert block_ram(width, depth) == bram36


def test_lut_memories_by_the_device() -> None:
    assert lut_rom(64, 64) == 64
    assert lut_rom(64, 65) == 128
    assert lut_rom(64, 2) == 4  # only four different columns of two bits exist
    assert lut_ram(6, 32) == 4
    assert lut_ram(3, 64) == 4


def test_long_fifos_are_block_ram() -> None:
    """A shortcut of a residual block waits in one: the LUTs of its control do not grow with its words."""
    assert fifo_resources(32, Fifo(256)).bram36 == 0.5
    assert fifo_resources(64, Fifo(2000)).bram36 == block_ram(64, 2000)
    assert fifo_resources(64, Fifo(2000)).lut < 80
    for width, depth in ((64, 128), (12, 640)):  # few words, few bits
        said = fifo_resources(width, Fifo(depth))
        assert said.bram36 == 0 and said.lut > lut_ram(width, depth)
