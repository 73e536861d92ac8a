"""The memory table: what the report counts, and what the compiler leaves of the constants."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.memory import constants, measure

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("size") is None, reason="needs cc and size: apt install gcc"
)


def test_the_constants_are_those_that_the_program_reads(tmp_path: Path) -> None:
    """Tables count, code and what is set to zero at the start do not."""
    source = tmp_path / "network.c"
    source.write_text(
        "#include <stdint.h>\n"
        "const uint64_t weights[1000] = {1};\nint16_t thresholds[500] = {2};\nint32_t scratch[9000];\n"
        "const uint64_t *const where[2] = {weights, weights};\n"
        "int32_t sum(int32_t a, int32_t b) { return a + b; }\n"
    )
    assert constants(source, tmp_path) == 8000 + 1000 + 2 * 8


def test_lenet_is_what_the_layer_table_says() -> None:
    """LeNet-5 of jiecaoyu: 425,000 bits and 5,500 words of float32 make 22.9x."""
    row = measure("lenet5")
    assert (row.weights, row.binary_bits, row.full_bytes) == (430_500, 425_000, 4 * 5_500)
    assert row.total_bytes == 425_000 / 8 + 22_000
    assert "| 32.0x | 22.9x |" in row.text
    # as the engine reads them they are padded to words, and the thresholds come on top
    assert row.total_bytes < row.constants_bytes < 1.3 * row.total_bytes
