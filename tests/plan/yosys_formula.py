"""What the plan's formulas say of a unit with the parameters of a recorded count."""

from __future__ import annotations

from typing import Any

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
from xnorhw.plan.resources import fifo_resources, unit_resources
from xnorhw.plan.rom_parts import rom_parts

__all__ = ["SHARE", "SLACK", "excused", "formula", "matrix_of", "weight_rom_of", "within"]

SHARE = 0.1
"""A formula's LUTs lie within this share of the count,"""
SLACK = 6
"""or within so many LUTs of it."""


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
        if form := entry.get("form"):
            return unit_resources(weight_rom_of({k.upper(): v for k, v in n.items()}, form))
        memory = Memory.BLOCK if n["block_rom"] else Memory.LUT
        return unit_resources(WeightRom("u", n["width"], n["depth"], memory, "f"))
    if module == "xh_start_rom":
        upper = {k.upper(): v for k, v in n.items()}
        return unit_resources(start_rom_of(upper, entry["parameters"], entry.get("form") == "luts"))
    if module == "xh_pool":
        literal = entry["parameters"]["INVERT"].split("'")[1]
        base, invert = literal[0], literal[1:]
        return unit_resources(
            PoolUnit(
                "u",
                n["lanes"],
                n["taps_per_word"],
                n["tap_groups"],
                n["words_per_pixel"],
                f"{int(invert, 16 if base == 'h' else 10):x}",
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
    form = entry.get("form", "")
    return unit_resources(matrix_of({k.upper(): v for k, v in n.items()}, form != "", form == "leaf"))


def weight_rom_of(n: dict[str, int], form: str) -> WeightRom:
    """A weight ROM that is a module of its own: in "luts" by name, or cut as ``form`` says."""
    if form == "luts":
        return WeightRom("rom", n["WIDTH"], n["DEPTH"], Memory.LUT, "rom.mem", luts=True)
    memory = Memory(form)
    parts = rom_parts(n["WIDTH"], n["DEPTH"], memory)
    assert parts, f"{n} has no {form} cut"
    return WeightRom("rom", n["WIDTH"], n["DEPTH"], memory, "rom.mem", parts=parts)


def start_rom_of(n: dict[str, int], text: dict[str, str], luts: bool) -> StartRom:
    """The plan's start ROM with the module's parameters."""
    rows, columns = n.get("OUT_HEIGHT", 1), n.get("OUT_WIDTH", 1)
    kinds = n.get("ROW_CLASSES", 1), n.get("COLUMN_CLASSES", 1)
    of_rows, of_columns = (0,) * rows, (0,) * columns
    if "ROW_CLASS" in text:
        every = (1 << n["CLASS_BITS"]) - 1
        of_rows = tuple(i & every for i in numbers(text["ROW_CLASS"], rows, n["CLASS_BITS"]))
        of_columns = tuple(i & every for i in numbers(text["COLUMN_CLASS"], columns, n["CLASS_BITS"]))
    return StartRom("u", n["WIDTH"], n["GROUPS"], of_rows, of_columns, *kinds, "f.mem", luts)


def matrix_of(n: dict[str, int], lut6_2: bool, leaf: bool) -> MatrixUnit:
    """The plan's matrix unit with the module's parameters."""
    return MatrixUnit(
        "u",
        n["PE"],
        n["SIMD"],
        n["ACT_BITS"],
        bool(n["ACT_SIGNED"]),
        bool(n["ACT_BIPOLAR"]),
        n["FOLDS"],
        1,
        n["START_BITS"],
        n["ACC_BITS"],
        bool(n["THRESHOLDED"]),
        n["OUT_BITS"],
        n.get("WEIGHT_BITS", 1),
        leaf=leaf,
        lut6_2=lut6_2,
        count_stages=n.get("COUNT_STAGES", 0),
        dsp_pes=n.get("DSP_PES", 0),
        packed=n.get("PACKED", 0),
        pixels=n.get("PIXELS", 1),
    )


FARTHER = {
    "xh_width_converter(IN_BITS=9, OUT_BITS=64, PACKET_BITS=576)": 0.17,
    "xh_add(INPUTS=4, LANES=4, OUT_BITS=20, IN_BITS=32'h1090c0c, SHIFTS=32'h9000300, IN_SIGNED=4'h3, "
    "IN_BIPOLAR=4'h8, IN_WIDTH=136)": 0.16,
}
"""Cases that no rule was found for, and how far the formula is off: a choice of nine that yosys
shares, and a sum of four that is cheaper than its adders one by one."""


CONSTANTS_SHARE = 0.15
"""The same of multipliers in LUTs, of which more or less is left as the constants are."""


def _of_constants(entry: dict[str, Any]) -> bool:
    """Whether the unit multiplies by several constants in LUTs."""
    if entry["module"] != "xh_terms" or entry["dsp"]:
        return False
    n = {k: int(v) for k, v in entry["parameters"].items() if v.isdigit()}
    return min(n["IN_BITS"] + n["COEF_BITS"], n["OUT_BITS"]) < 9


def excused(entry: dict[str, Any]) -> bool:
    """Whether the count depends on the contents: a table of more than 32 words that yosys finds logic for.

    Of equal size one takes a LUT a column and another three.
    """
    if entry.get("form") or entry["bram36"]:
        return False
    n = {k: int(v) for k, v in entry["parameters"].items() if v.isdigit()}
    if entry["module"] == "xh_start_rom":
        return n["GROUPS"] * n.get("ROW_CLASSES", 1) * n.get("COLUMN_CLASSES", 1) > 32
    return entry["module"] == "xh_weight_rom" and n["DEPTH"] > 32


def within(entry: dict[str, Any]) -> bool:
    """Whether the formula's LUTs are as near to the count as is promised."""
    off = formula(entry).lut - entry["lut"]
    share = next((far for key, far in FARTHER.items() if entry["key"].startswith(key)), SHARE)
    if _of_constants(entry):
        share = CONSTANTS_SHARE
    slack = max(SLACK, share * entry["lut"])
    return off >= -slack if excused(entry) else abs(off) <= slack
