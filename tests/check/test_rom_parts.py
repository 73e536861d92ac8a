"""Block ROMs in parts, read back from a build: each planted fault is found and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.check.stored import Stored
from tests.plan.networks import Conv, Linear
from xnorhw.ir.errors import VerifyError
from xnorhw.plan import LayerFolding

STACK = "rtl/accel_l1_weights.sv"


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Half of the columns in LUTs; a block and LUTs behind it; two columns of blocks."""
    layers = (
        LayerFolding("layer0", 3, 48, memory="mixed"),
        LayerFolding("layer1", 6, 6, memory="mixed"),
        LayerFolding("layer2", 12, 3, memory="tall"),
    )
    return Stored(tmp_path, (48, 4, 4), [Conv(96, (1, 1)), Conv(204, (1, 1)), Linear(12)], layers)


def test_what_was_emitted_holds_the_weights(stored: Stored) -> None:
    found = stored.check()
    assert found.mismatches == 0
    # the weights of each layer twice, and the starts once; those of few words are in LUTs by name, so twice
    weights = 2 * (96 * 48 + 204 * 96 + 12 * 3264)
    assert weights < found.values <= weights + 2 * (96 + 204 + 12)


def test_each_part_in_block_ram_has_a_file(stored: Stored) -> None:
    parts = sorted(name for name in stored.files if re.search(r"weights_\d\.mem$", name))
    assert parts == [f"rom/accel_{name}.mem" for name in ("l0_weights_0", "l1_weights_0", "l2_weights_0",
                                                          "l2_weights_1")]  # fmt: skip
    first, second = (stored.files[name].splitlines()[1:] for name in parts[2:])
    whole = stored.files["rom/accel_l2_weights.mem"].splitlines()[1:]
    assert [int(b, 16) << 18 | int(a, 16) for a, b in zip(first, second, strict=True)] == [
        int(word, 16) for word in whole
    ]
    assert "bits 18 to 35, words from 0 on" in stored.files[parts[3]].splitlines()[0]


@pytest.mark.parametrize(
    ("name", "layer"),
    [("rom/accel_l0_weights_0.mem", "layer0"), ("rom/accel_l1_weights_0.mem", "layer1"),
     ("rom/accel_l2_weights_1.mem", "layer2")],
)  # fmt: skip
def test_one_bit_of_a_part(stored: Stored, name: str, layer: str) -> None:
    word = stored.files[name].splitlines()[9]
    stored.edit(name, f"\n{word}\n", f"\n{int(word, 16) ^ 4:0{len(word)}x}\n")
    found = stored.check()
    assert found.first is not None and found.first.tensor == layer and found.mismatches == 1


@pytest.mark.parametrize("name", ["rtl/accel_l0_weights.sv", STACK])
def test_one_bit_of_the_columns_in_luts(stored: Stored, name: str) -> None:
    digit = re.search(r"(?:BITS|LOW)\(\d+'h([0-9A-F])", stored.files[name])
    assert digit is not None
    at = digit.start(1)
    text = stored.files[name]
    changed = f"{text[:at]}{int(digit[1], 16) ^ 1:X}{text[at + 1 :]}"
    (stored.folder / name).write_text(changed, encoding="utf-8", newline="\n")
    assert stored.check().mismatches == 1


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"address\[9:9\] == 1'd0", "address[9:9] == 1'd1"),
        (r"word_0_q \| word_1", "word_0_q & word_1"),
        (r"word_0_q <= '0", "word_0_q <= '1"),
        (r"l1_weights_0\.mem", "l2_weights_0.mem"),
        (r"COUNT\(544\)", "COUNT(543)"),
    ],
)
def test_parts_that_are_not_joined(stored: Stored, pattern: str, new: str) -> None:
    stored.edit(STACK, pattern, new)
    with pytest.raises(VerifyError, match="does not join its parts") as caught:
        stored.check()
    assert caught.value.module == "layer1"


def test_a_part_of_another_depth(stored: Stored) -> None:
    stored.edit("rom/accel_l1_weights_0.mem", r"\n[0-9a-f]+\n", "\n")
    with pytest.raises(VerifyError, match="has 511 words, the plan has 512"):
        stored.check()
