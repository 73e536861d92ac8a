"""Memories: how many turns lie between a write and the next read, in truth and as the tool is told."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, caught, planted, rules

TOLD = "type=inter direction=RAW distance=16 dependent=true"
DEPENDENCE = f"#pragma HLS DEPENDENCE variable=line {TOLD}\n"
ACCUMULATOR = "#pragma HLS ARRAY_PARTITION variable=accumulator type=complete dim=0\n"
ON_ACCUMULATOR = f"#pragma HLS DEPENDENCE variable=accumulator {TOLD}\n"
DECLARED = "  ap_uint<4> slot = 0;"
STEP = "    if (slot == 15) {\n      slot = 0;\n    } else {\n      slot = slot + 1;\n    }\n"
READ = "above = line[0][slot];"
WRITE = "line[0][slot] = here;"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # the tool is told nothing, or not all
        (DEPENDENCE, ""),
        (DEPENDENCE, DEPENDENCE.replace("inter", "intra")),
        (DEPENDENCE, DEPENDENCE.replace("RAW", "WAR")),
        (DEPENDENCE, DEPENDENCE.replace(" direction=RAW", "")),
        (DEPENDENCE, DEPENDENCE.replace(" distance=16", "")),
        (DEPENDENCE, DEPENDENCE * 2),
        # ... or that there is no dependence
        (DEPENDENCE, "#pragma HLS DEPENDENCE variable=line type=inter dependent=false\n"),
        (DEPENDENCE, f"{DEPENDENCE}#pragma HLS DEPENDENCE variable=line type=inter dependent=false\n"),
        (DEPENDENCE, DEPENDENCE.replace("distance=16 dependent=true", "dependent=false")),
        # ... or more turns than there are, or so few that registers are needed
        (DEPENDENCE, DEPENDENCE.replace("16", "17")),
        (DEPENDENCE, DEPENDENCE.replace("16", "8")),
        # the same word each turn, or sooner, or an address that may stand still
        (ACCUMULATOR, ON_ACCUMULATOR),
        (ACCUMULATOR, ACCUMULATOR + ON_ACCUMULATOR),
        ("      slot = slot + 1;", "      slot = slot;"),
        ("    if (slot == 15) {\n      slot = 0;\n    } else {", "    if (above == 3) {"),
        (STEP, STEP.replace("slot == 15", "slot == 14")),
        (STEP, STEP.replace("slot = 0", "slot = 1")),
        (STEP, STEP.replace("slot + 1", "slot + 2")),
        (STEP, STEP.replace("slot == 15", "above == 15")),
        (STEP, "    slot = slot == 14 ? ap_uint<4>(0) : ap_uint<4>(slot + 1);\n"),
        (WRITE, "line[0][3] = here;"),
        # a word written where another was read
        (WRITE, "line[0][slot ^ 1] = here;"),
        (READ, "above = line[0][ap_uint<4>(slot + 1)];"),
    ],
)
def test_memories(old: str, new: str) -> None:
    caught("carried-memory", STAGES, old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DEPENDENCE, DEPENDENCE.replace("16", "12")),
        (
            DEPENDENCE,
            DEPENDENCE.replace("variable=line", "direction=raw variable=line").replace(" direction=RAW", ""),
        ),
        (STEP, "    slot++;\n"),
        (STEP, "    slot = slot == 15 ? ap_uint<4>(0) : ap_uint<4>(slot + 1);\n"),
        (STEP, "    if (slot != 15) {\n      slot = slot + 1;\n    } else {\n      slot = 0;\n    }\n"),
    ],
)
def test_what_is_true(old: str, new: str) -> None:
    found = planted((STAGES, old, new))
    assert not found, found


@pytest.mark.parametrize(("last", "told", "right"), [(12, 13, True), (12, 14, False), (11, 13, False)])
def test_the_last_slot_counts_and_not_the_size_of_the_array(last: int, told: int, right: bool) -> None:
    found = planted(
        (STAGES, DEPENDENCE, DEPENDENCE.replace("16", str(told))),
        (STAGES, "slot == 15", f"slot == {last}"),
    )
    assert rules(found) == (set() if right else {"carried-memory"}), found


def test_a_register_that_wraps_by_itself() -> None:
    wraps = (STAGES, STEP, "    slot = slot + 1;\n")
    assert not planted(wraps)
    assert rules(planted(wraps, (STAGES, DECLARED, DECLARED.replace("<4>", "<3>")))) == {"carried-memory"}


def test_a_line_shorter_than_the_pipeline() -> None:
    found = planted(
        (STAGES, "ap_uint<16> line[1][16]", "ap_uint<16> line[1][8]"),
        (STAGES, DEPENDENCE, DEPENDENCE.replace("16", "8")),
        (STAGES, "ap_uint<4> slot", "ap_uint<3> slot"),
        (STAGES, "slot == 15", "slot == 7"),
    )
    assert "carried-memory" in rules(found)


def test_an_address_that_the_outer_loop_moves() -> None:
    found = planted(
        (STAGES, "  ap_int<8> accumulator[4];", "  ap_int<8> accumulator[4][56];"),
        (STAGES, ACCUMULATOR, ACCUMULATOR.replace("dim=0", "dim=1") + ON_ACCUMULATOR),
        (STAGES, "sum = accumulator[pe];", "sum = accumulator[pe][pixel];"),
        (STAGES, "accumulator[pe] = sum;", "accumulator[pe][pixel] = sum;"),
    )
    assert "carried-memory" in rules(found), found


@pytest.mark.parametrize(
    ("words", "told", "right"), [(16, 16, True), (16, 9, True), (16, 17, False), (8, 8, False), (8, 9, False)]
)
def test_an_address_that_the_innermost_loop_moves(words: int, told: int, right: bool) -> None:
    said = TOLD.replace("16", str(told))
    found = planted(
        (
            STAGES,
            "ap_uint<64> held = 0;",
            f"ap_uint<64> held = 0;\n  ap_uint<16> kept[{words}];\n"
            f"#pragma HLS DEPENDENCE variable=kept {said}",
        ),
        (STAGES, "part < 4", f"part < {words}"),
        (
            STAGES,
            "      held = bits >> 16;",
            "      held = bits >> 16;\n      ap_uint<16> old = kept[part];\n"
            "      kept[part] = bits.range(15, 0);"
            "\n      if (old == 3) held = 0;",
        ),
    )
    assert rules(found) == (set() if right else {"carried-memory"}), found
