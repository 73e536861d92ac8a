"""Memories: as many words a turn as they have ports."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, planted, rules

WEIGHTS = "#pragma HLS ARRAY_PARTITION variable=matrix_weights type=complete dim=1\n"
STARTS = "#pragma HLS ARRAY_PARTITION variable=matrix_starts type=complete dim=1\n"
COLUMN = "#pragma HLS ARRAY_PARTITION variable=column type=complete dim=0\n"


def with_partition(text: str) -> set[str]:
    """What is said with the weights cut as ``text`` says."""
    return rules(planted((STAGES, WEIGHTS, f"#pragma HLS ARRAY_PARTITION variable=matrix_weights {text}\n")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WEIGHTS, ""),
        (WEIGHTS, WEIGHTS.replace("dim=1", "dim=2")),
        (WEIGHTS, WEIGHTS.replace("dim=1", "dim=1 off=true")),
        (STARTS, ""),
        (COLUMN, ""),
    ],
)
def test_an_array_cut_less_than_the_loop_is_unrolled(old: str, new: str) -> None:
    assert "ports" in rules(planted((STAGES, old, new)))


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("type=complete dim=0", True),
        ("dim=1", True),
        ("type=cyclic factor=4 dim=1", True),
        ("type=block factor=4 dim=1", True),
        ("type=block factor=3 dim=1", False),
        ("type=cyclic factor=3 dim=1", False),
        ("type=cyclic factor=2 dim=1", False),
        ("type=complete dim=2", False),
    ],
)
def test_parts_of_a_one_port_memory(text: str, enough: bool) -> None:
    assert ("ports" not in with_partition(text)) is enough


@pytest.mark.parametrize(
    ("kind", "factor", "enough"),
    [("rom_1p", 2, False), ("rom_2p", 2, True), ("rom_2p", 1, False), ("rom_np", 1, True)],
)
def test_ports_of_a_type(kind: str, factor: int, enough: bool) -> None:
    found = planted(
        (STAGES, WEIGHTS, WEIGHTS.replace("complete", f"cyclic factor={factor}")),
        (STAGES, "type=rom_1p", f"type={kind}"),
    )
    assert ("ports" not in rules(found)) is enough


def test_a_third_access_of_a_memory() -> None:
    third = "    const ap_uint<16> above = line[0][slot];"
    found = planted((STAGES, third, f"{third}\n    const ap_uint<16> more = line[0][slot + 1];"))
    assert "ports" in rules(found)
    # the same word once more is the same access, and so is the other branch's word
    assert not planted((STAGES, third, f"{third}\n    const ap_uint<16> more = line[0][slot];"))


def test_accesses_that_exclude_one_another() -> None:
    old = "const ap_uint<32> weights = matrix_weights[pe][address];"
    one = "ap_uint<32> weights = 0;\nif (fold == 0) weights = matrix_weights[pe][address];"
    assert not planted((STAGES, old, f"{one}\nelse weights = matrix_weights[pe][1];"))
    assert not planted((STAGES, old, f"{one}\nif (!(fold == 0)) weights = matrix_weights[pe][1];"))
    found = planted((STAGES, old, f"{one}\nif (pixel == 0) weights = matrix_weights[pe][1];"))
    assert "ports" in rules(found)


def test_a_helper_reads_the_array() -> None:
    helper = (
        "static ap_uint<16> sum(const ap_uint<16> (&a)[3]) {\n  ap_uint<16> s = 0;\n"
        "  for (int i = 0; i < 3; i++) s = s + a[i];\n  return s;\n}\n// Two words"
    )
    changes = ((STAGES, "// Two words", helper), (STAGES, "column[2];", "sum(column);"))
    assert not planted(*changes)
    assert "ports" in rules(planted(*changes, (STAGES, COLUMN, "")))
