"""The cost formulas against yosys's counts of the real units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plan.yosys_formula import excused, formula, within
from tests.plan.yosys_units import ALL, case_digest
from xnorhw.plan.model import Fifo
from xnorhw.plan.resources import block_ram, fifo_resources, lut_ram, lut_rom

TABLE = json.loads(Path(__file__).with_name("yosys_units.json").read_text())


ENTRIES = TABLE["units"]


def test_the_counts_are_of_the_rtl_as_it_is() -> None:
    """After a change of a unit: python -m tests.plan.yosys_units."""
    counted = {entry["key"]: entry["sources_sha256"] for entry in ENTRIES}
    assert list(counted) == [entry.key for entry in ALL]
    stale = {entry.module for entry in ALL if counted[entry.key] != case_digest(entry)}
    assert not stale


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["key"])
def test_formula_lies_in_the_band(entry: dict[str, Any]) -> None:
    said = formula(entry)
    assert (said.bram36, said.dsp) == (entry["bram36"], entry["dsp"])
    assert within(entry), f"{said.lut:.1f} LUT for {entry['lut']:.0f}"
    # how many nets a register inside of a count cuts is known of the netlist alone
    less, more = (0.15, 0.5) if "COUNT_STAGES" in entry["parameters"] else (0.1, 0.2)
    assert said.ff >= entry["ff"] - max(12, less * entry["ff"])
    assert said.ff <= entry["ff"] + max(16, more * entry["ff"])


def test_a_formula_that_is_off_is_noticed() -> None:
    """The bands are narrow: each unit has a case that 15 % more or less would throw out."""
    sized = [e for e in ENTRIES if e["lut"] > 60 and not excused(e)]
    for factor in (0.85, 1.15):
        caught = {e["module"] for e in sized if not within({**e, "lut": e["lut"] * factor})}
        assert caught >= {e["module"] for e in sized}


def test_the_table_covers_every_unit() -> None:
    modules = {e["module"] for e in ENTRIES}
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
    assert lut_rom(64, 32) == 32  # two columns a LUT
    assert lut_rom(7, 5) == 4
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
