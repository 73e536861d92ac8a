"""Weights in LUTs, read back from a build's SystemVerilog: each planted fault is found and named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.check.stored import Stored
from tests.plan.networks import Conv, Linear
from xnorhw.ir.errors import VerifyError
from xnorhw.plan import LayerFolding

LEAF, ADDERS, PAIRS, COLUMNS = (
    "rtl/accel_l0_mvu_leaf.sv",
    "rtl/accel_leaves_9_2_0.sv",
    "rtl/accel_l1_weights.sv",
    "rtl/accel_l2_weights.sv",
)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Three layers, of weights in adders, in pairs of columns and in columns."""
    layers = (
        LayerFolding("layer0", 3, 9, memory="leaf"),
        LayerFolding("layer1", 3, 6, memory="lut"),
        LayerFolding("layer2", 3, 3, memory="lut"),
    )
    return Stored(tmp_path, (9, 4, 4), [Conv(12, (1, 1)), Conv(8, (1, 1)), Linear(6)], layers)


def test_what_was_emitted_holds_the_weights(stored: Stored) -> None:
    found = stored.check()
    assert found.mismatches == 0
    # the weights of each layer twice, and the starts once
    assert found.values == 2 * (4 * 27 + 6 * 18 + 96 * 9) + 12 + 9 + 6


def test_an_init_of_other_weights(stored: Stored) -> None:
    """The first adder in the text of PE 0 is the last of its leaves: an INIT taken from another PE."""
    tables = re.findall(r"\.LEAVES\(\{(.*?)\}\)", (stored.folder / LEAF).read_text(), re.DOTALL)
    first, second = (re.findall(r"64'h[0-9A-F]+", table)[0] for table in tables[:2])
    assert first != second
    stored.edit(LEAF, re.escape(first), second)
    found = stored.check()
    assert found.first is not None and found.first.tensor == "layer0"
    # PE 0 is the channel of each group that PE makes first
    assert found.first.channel % 3 == 0 and found.mismatches > 0


@pytest.mark.parametrize("digit", range(16))
def test_a_flipped_bit_of_an_init_is_that_of_no_weights(stored: Stored, digit: int) -> None:
    text = (stored.folder / LEAF).read_text()
    init = re.findall(r"64'h([0-9A-F]{16})", text)[4]
    changed = init[:digit] + f"{int(init[digit], 16) ^ 4:X}" + init[digit + 1 :]
    stored.edit(LEAF, f"64'h{init}", f"64'h{changed}")
    with pytest.raises(VerifyError, match="of no weights") as caught:
        stored.check()
    assert caught.value.module == "layer0" and "PE 1" in caught.value.reason


def test_swapped_pe(stored: Stored) -> None:
    stored.edit(LEAF, r"\.LEAVES\(\{(.*?)\}\)(.*?)\.LEAVES\(\{(.*?)\}\)", r".LEAVES({\3})\2.LEAVES({\1})")
    found = stored.check()
    assert found.first is not None and found.first.tensor == "layer0"


def test_one_bit_of_the_words_that_a_simulation_reads(stored: Stored) -> None:
    text = (stored.folder / LEAF).read_text()
    words = re.findall(r"27'h([0-9A-F]+)", text)
    assert len(words) == 4
    stored.edit(LEAF, f"27'h{words[2]}", f"27'h{int(words[2], 16) ^ 1 << 10:07X}")
    found = stored.check()
    assert found.first is not None
    # word 2 is group 2's; bit 10 is lane 1 of PE 1
    assert (found.first.tensor, found.first.channel, found.first.x) == ("layer0", 7, 1)
    assert found.mismatches == 1


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"64'h00000096000000E8", "64'h00000096000000E9"),
        (r"\.I0\(n(\d+)\), \.I1", r".I0(1'b0), .I1"),
        (r"  LUT6_2 #\(\.INIT\(64'h[^\n]*\n", ""),
        (r"LEAVES\[0\+:64\]", "LEAVES[64+:64]"),
        (r"activation_i\[0\]", "activation_i[1]"),
    ],
)
def test_adders_that_do_not_count(stored: Stored, pattern: str, new: str) -> None:
    stored.edit(ADDERS, pattern, new)
    with pytest.raises(VerifyError, match="do not count|not those of the plan") as caught:
        stored.check()
    assert caught.value.module == "layer0"


def test_a_missing_table(stored: Stored) -> None:
    stored.edit(LEAF, r"      64'h[0-9A-F]{16},\n", "")
    with pytest.raises(VerifyError, match="does not have the weights of 3 PE in 4 words"):
        stored.check()


@pytest.mark.parametrize(
    ("name", "pattern", "layer"),
    [
        (PAIRS, r"LOW\((\d+)'h([0-9A-F]*)([0-9A-F])\)", "layer1"),
        (PAIRS, r"HIGH\((\d+)'h([0-9A-F]*)([0-9A-F])\)", "layer1"),
        (COLUMNS, r"BITS\((\d+)'h([0-9A-F]*)([0-9A-F])\)", "layer2"),
    ],
)
def test_a_flipped_bit_of_a_column(stored: Stored, name: str, pattern: str, layer: str) -> None:
    text = (stored.folder / name).read_text()
    match = re.search(pattern, text)
    assert match is not None
    word = match[0][: -len(match[3]) - 1] + f"{int(match[3], 16) ^ 1:X})"
    stored.edit(name, re.escape(match[0]), word)
    found = stored.check()
    assert found.first is not None and found.first.tensor == layer and found.mismatches == 1


@pytest.mark.parametrize("name", [PAIRS, COLUMNS])
def test_swapped_and_lost_columns(stored: Stored, name: str) -> None:
    out = r"(low_o|bit_o)\(m_data_o\[0\]\)"
    stored.edit(name, out, r"\1(m_data_o[1])")
    with pytest.raises(VerifyError, match="does not have"):
        stored.check()
    stored.edit(name, r"(high_o|bit_o)\(m_data_o\[1\]\)", r"\1(m_data_o[0])", number=int(name == COLUMNS))
    found = stored.check()
    assert found.first is not None and found.mismatches > 0


def test_a_missing_module(stored: Stored) -> None:
    (stored.folder / PAIRS).unlink()
    with pytest.raises(VerifyError, match="accel_l1_weights.sv cannot be read"):
        stored.check()


def test_leaves_have_no_memory_file(stored: Stored) -> None:
    assert sorted(p.name for p in (stored.folder / "rom").iterdir()) == [
        "accel_l0_starts.mem",
        "accel_l1_starts.mem",
        "accel_l1_weights.mem",
        "accel_l2_starts.mem",
        "accel_l2_weights.mem",
    ]
    listed = (stored.folder / "rtl/files.f").read_text().split()
    assert np.array_equal(
        sorted(listed), sorted(p.name for p in (stored.folder / "rtl").iterdir() if p.suffix != ".f")
    )
