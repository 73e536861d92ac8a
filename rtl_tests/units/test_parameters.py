"""Every unit refuses the parameters that it cannot honour, by name, when it is elaborated; and its
defaults are clean under every warning."""

from __future__ import annotations

import subprocess

import pytest

from rtl_tests.runner import PRIMITIVES, require_simulator
from xnorhw import resources
from xnorhw.sim.tools import verilator_environment

UNITS = tuple(
    name
    for name in resources.list_names("templates/rtl", ".sv")
    if name.startswith("xh_") and name != "xh_shell"
)

WRONG = (
    ("xh_abs_sum", "WORDS_PER_PIXEL=0", "every size must be at least 1"),
    ("xh_abs_sum", "LAST_LANES=5", "LAST_LANES must be 1 to LANES"),
    ("xh_abs_sum", "LAST_LANES=0", "LAST_LANES must be 1 to LANES"),
    ("xh_add", "LANES=0", "every size must be at least 1"),
    ("xh_add", "IN_WIDTH=63", "IN_WIDTH is not what the inputs' words have"),
    ("xh_add", "IN_BITS=16'h0800", "an element has at least one bit"),
    ("xh_add", "IN_BIPOLAR=2'b10", "a bipolar one is one unsigned bit"),
    ("xh_add", "IN_BITS=16'h0108 IN_WIDTH=36 IN_BIPOLAR=2'b10", "a bipolar one is one unsigned bit"),
    ("xh_chain_sum", "TERMS=0", "every size must be at least 1"),
    ("xh_chain_sum", "CHAIN=0", "every size must be at least 1"),
    ("xh_code_columns", "PE=0", "PE and SIMD must be at least 1"),
    ("xh_code_columns", "PACKED=6", "PACKED must be 1 to 5, or 7"),
    ("xh_code_columns", "SIMD=17", "do not fit in a lane"),
    ("xh_code_columns", "SIMD=32 ACT_SIGNED=1", "do not fit in a lane"),
    ("xh_code_pairs", "SIMD=0", "at least 1"),
    ("xh_code_pool", "TAP_GROUPS=0", "every size must be at least 1"),
    ("xh_code_sum", "ACT_BITS=0", "at least 1"),
    ("xh_concat", "WIDTH=0", "every size must be at least 1"),
    ("xh_concat", "WORDS=32'h1", "every size must be at least 1"),
    ("xh_count_lanes", "LANES=0", "at least 1"),
    ("xh_counter", "COUNT=0", "COUNT must be at least 1"),
    ("xh_fifo", "WIDTH=0", "WIDTH must be at least 1"),
    ("xh_fork", "COPIES=0", "every size must be at least 1"),
    ("xh_gather", "COUNT=0", "COUNT must be at least 1"),
    ("xh_hold", "WORDS=1", "WORDS at least 2"),
    ("xh_levels", "LEVELS=0", "every size must be at least 1"),
    ("xh_levels", "LEVELS=4", "OUT_BITS cannot hold the number of levels"),
    ("xh_multiply", "FACTOR_BITS=0", "every size must be at least 1"),
    ("xh_mvu", "SIMD=0", "every size must be at least 1"),
    ("xh_mvu", "ACT_BITS=9 ACT_BIPOLAR=0 ACC_BITS=20", "ACT_BITS must be 1 to 8"),
    ("xh_mvu", "WEIGHT_BITS=9", "WEIGHT_BITS must be 1 to 8"),
    ("xh_mvu", "ACT_BITS=2", "a bipolar activation is one unsigned bit"),
    ("xh_mvu", "ACT_SIGNED=1", "a bipolar activation is one unsigned bit"),
    ("xh_mvu", "START_BITS=9 ACC_BITS=8", "cannot hold the start value"),
    ("xh_mvu", "THRESHOLDED=0 OUT_BITS=8", "OUT_BITS must be 1 with a threshold"),
    ("xh_mvu", "OUT_BITS=2", "OUT_BITS must be 1 with a threshold"),
    ("xh_mvu", "COUNT_STAGES=1 ACT_BIPOLAR=0 ACC_BITS=20", "only a count of signs has COUNT_STAGES"),
    ("xh_mvu", "COUNT_STAGES=1 LEAF=1", "only a count of signs has COUNT_STAGES"),
    ("xh_mvu", "LEAF=1 WEIGHT_BITS=2 ACC_BITS=20", "only signs meet weights in leaves"),
    ("xh_mvu", "DSP_PES=3 PACKED=3", "columns of DSPs add codes with binary weights"),
    ("xh_mvu", "DSP_PES=1 PE=1 ACT_BIPOLAR=0 ACC_BITS=20", "columns of DSPs add codes with binary weights"),
    (
        "xh_mvu",
        "DSP_PES=5 PACKED=3 ACT_BIPOLAR=0 ACC_BITS=20",
        "columns of DSPs add codes with binary weights",
    ),
    ("xh_mvu", "PIXELS=0", "PIXELS must be 1 where"),
    ("xh_mvu", "PIXELS=2 LEAF=1", "PIXELS must be 1 where"),
    ("xh_mvu", "PIXELS=2 DSP_PES=2 PACKED=2 ACT_BIPOLAR=0 ACC_BITS=20", "PIXELS must be 1 where"),
    ("xh_pipeline", "STAGES=0", "STAGES must be at least 1"),
    ("xh_on_map", "STRIDE=0", "every size must be at least 1"),
    ("xh_pair_sum", "ACT_BITS=0", "at least 1"),
    ("xh_plane", "FOLDS=0", "every size must be at least 1"),
    ("xh_pool", "TAP_GROUPS=0", "every size must be at least 1"),
    ("xh_pool", "BITS=0", "every size must be at least 1"),
    ("xh_pool", "SIGNED=1", "an element of one bit has no sign"),
    ("xh_popcount", "SIMD=0", "at least 1"),
    ("xh_popcount", "STAGES=3", "STAGES must be 0 to 2"),
    ("xh_ram", "DEPTH=0", "at least 1"),
    ("xh_requant", "ADDEND_BITS=0", "every size must be at least 1"),
    ("xh_requant", "OUT_BITS=33", "OUT_BITS must be 1 to 32"),
    ("xh_requant", "LOW=-1 HIGH=2147483647 OUT_BITS=31", "OUT_BITS cannot hold LOW to HIGH"),
    ("xh_requant", "LOW=9 HIGH=8", "LOW must not exceed HIGH"),
    ("xh_requant", "HIGH=256", "OUT_BITS cannot hold LOW to HIGH"),
    ("xh_requant", "LOW=-1 HIGH=128", "OUT_BITS cannot hold LOW to HIGH"),
    ("xh_requant", "LOW=-129 HIGH=0", "OUT_BITS cannot hold LOW to HIGH"),
    ("xh_requant", "EVEN=1 SHIFT=0", "EVEN needs a SHIFT of at least 1"),
    ("xh_leaf", "DEPTH=5", "DEPTH must be 1 to 4"),
    ("xh_leaf", "DEPTH=0", "DEPTH must be 1 to 4"),
    ("xh_rom_column", "DEPTH=257", "DEPTH must be 1 to 256"),
    ("xh_rom_pair", "DEPTH=33", "DEPTH must be 1 to 32"),
    ("xh_spread", "TAPS=0", "every size must be at least 1"),
    ("xh_spread", "FIRST=3", "a tap of the last pixel lies beyond the row"),
    ("xh_start_address", "ROW_CLASSES=3", "CLASS_BITS cannot hold every class"),
    ("xh_start_address", "GROUPS=0", "every size must be at least 1"),
    ("xh_start_rom", "WIDTH=0", "WIDTH must be at least 1"),
    ("xh_sum_pool", "TAPS_PER_WORD=0", "every size must be at least 1"),
    ("xh_sum_pool", "IN_BIPOLAR=1", "a bipolar tap is one unsigned bit"),
    ("xh_sum_pool", "IN_BITS=1 IN_BIPOLAR=1 IN_SIGNED=1", "a bipolar tap is one unsigned bit"),
    ("xh_sum_pool", "OUT_BITS=2", "OUT_BITS cannot hold a tap"),
    ("xh_terms", "TERMS=0", "every size must be at least 1"),
    ("xh_weight_rom", "DEPTH=0", "WIDTH and DEPTH must be at least 1"),
    ("xh_width_converter", "PACKET_BITS=0", "must be at least 1"),
    ("xh_window", "REPEATS=0", "every size must be at least 1"),
    ("xh_window", "WORDS_PER_PIXEL=3 SLICES=2", "SLICES must divide WORDS_PER_PIXEL"),
    ("xh_window", "SLICES=0", "every size must be at least 1"),
    ("xh_window", "WORDS_PER_PIXEL=2 SLICES=2 CHANNELS_OUTER=1", "be 1 with CHANNELS_OUTER"),
    ("xh_window", "TAPS_PER_WORD=2", "TAPS_PER_WORD must divide"),
    ("xh_window", "TAPS_PER_WORD=9 TAPS_PER_READ=2", "only a whole window in one word is collected"),
    ("xh_window", "TAPS_PER_WORD=3 TAPS_PER_READ=1", "only a whole window in one word is collected"),
    ("xh_window", "TAPS_PER_READ=0", "only a whole window in one word is collected"),
    ("xh_window", "CHANNELS_OUTER=1 REPEATS=2", "CHANNELS_OUTER leaves no place for REPEATS"),
    ("xh_window", "OUT_HEIGHT=9", "no window may start below the map"),
    ("xh_window", "OUT_WIDTH=10", "no window may start below the map"),
    ("xh_window", "PAD_TOP=3", "the first window must reach the map"),
    ("xh_window", "DEPTH=18", "DEPTH cannot hold the words of one window"),
)


def _lint(unit: str, parameters: str) -> subprocess.CompletedProcess[str]:
    require_simulator()
    folder = resources.path("templates/rtl")
    return subprocess.run(
        [
            *("verilator", "--lint-only", "-Wall", "--assert", "--top-module", unit),
            *("-y", str(folder), "-y", str(PRIMITIVES)),
            *(f"-G{parameter}" for parameter in parameters.split()),
            str(folder / f"{unit}.sv"),
        ],
        env=verilator_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unit", UNITS)
def test_defaults_are_clean(unit: str) -> None:
    done = _lint(unit, "")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("unit", "parameters", "message"), WRONG)
def test_wrong_parameters_are_refused(unit: str, parameters: str, message: str) -> None:
    done = _lint(unit, parameters)
    assert done.returncode != 0
    assert f"{unit}: " in done.stdout and message in done.stdout, done.stdout


def test_smallest_depth_is_accepted() -> None:
    done = _lint("xh_window", "DEPTH=19")
    assert done.returncode == 0, done.stdout
