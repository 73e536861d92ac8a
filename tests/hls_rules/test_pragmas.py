"""Pragmas: directive, options, values, names and places."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, TOP, caught, planted, rules

PIPELINE = "#pragma HLS PIPELINE II=1 rewind style=flp\n    const ap_uint<16> here"
WEIGHTS = "#pragma HLS ARRAY_PARTITION variable=matrix_weights type=complete dim=1"
ROM = "#pragma HLS BIND_STORAGE variable=matrix_weights type=rom_1p impl=lutram"
DEPENDENCE = "type=inter direction=RAW distance=16 dependent=true"
STREAM = "#pragma HLS STREAM variable=lines_in depth=2 type=fifo"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WEIGHTS, WEIGHTS.replace("ARRAY_PARTITION", "ARRAY_PARTITON")),
        (WEIGHTS, WEIGHTS.replace("HLS", "HSL")),
        (WEIGHTS, WEIGHTS.replace("dim=1", "dims=1")),
        (WEIGHTS, WEIGHTS.replace("type=complete", "type=completely")),
        (WEIGHTS, WEIGHTS.replace("type=complete", "type=cyclic")),
        (WEIGHTS, WEIGHTS.replace("type=complete", "type=complete factor=4")),
        (WEIGHTS, WEIGHTS.replace("dim=1", "dim=first")),
        (WEIGHTS, WEIGHTS.replace("dim=1", "dim=1 dim=1")),
        (WEIGHTS, WEIGHTS.replace("variable=matrix_weights ", "")),
        (WEIGHTS, WEIGHTS.replace("type=complete", "type")),
        (ROM, ROM.replace("impl=lutram", "impl=flipflop")),
        (ROM, ROM.replace("impl=lutram", "impl=uram")),
        (ROM, ROM.replace("type=rom_1p", "type=rom_9p")),
        (ROM, ROM.replace("type=rom_1p ", "")),
        (PIPELINE, PIPELINE.replace("rewind", "rewind=maybe")),
        (PIPELINE, PIPELINE.replace("style=flp", "style=frp")),
        (PIPELINE, PIPELINE.replace("II=1", "II=one")),
        (PIPELINE, PIPELINE.replace("II=1", "II")),
        (DEPENDENCE, DEPENDENCE.replace("dependent=true", "true")),
        (DEPENDENCE, DEPENDENCE.replace("dependent=true", "dependent=no")),
        (DEPENDENCE, DEPENDENCE.replace("dependent=true", "dependent=false")),
        (DEPENDENCE, DEPENDENCE.replace("distance=16", "distance=far")),
        (DEPENDENCE, DEPENDENCE.replace("RAW", "RWA")),
        (DEPENDENCE, DEPENDENCE.replace("inter", "intra")),
        ("#pragma HLS UNROLL\n        const", "#pragma HLS UNROLL fast\n        const"),
        ("#pragma HLS UNROLL\n        const", '_Pragma("HLS UNROLL")\n        const'),
    ],
)
def test_unknown_words_are_refused(old: str, new: str) -> None:
    caught("pragma", STAGES, old, new)


@pytest.mark.parametrize("mode", ["axi", "axis register_mode=always", "axis side_channel=tlast"])
def test_interface_words(mode: str) -> None:
    caught("pragma", TOP, "mode=axis port=s_axis", f"mode={mode} port=s_axis")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (STAGES, "variable=matrix_weights type=complete", "variable=matrix_weight type=complete"),
        (STAGES, WEIGHTS, f"{WEIGHTS}\n{WEIGHTS.replace('matrix_weights', 'line')}"),
        (STAGES, WEIGHTS, WEIGHTS.replace("dim=1", "dim=3")),
        (STAGES, WEIGHTS, WEIGHTS.replace("complete dim=1", "cyclic factor=5 dim=1")),
        (STAGES, WEIGHTS, WEIGHTS.replace("complete dim=1", "cyclic factor=0 dim=1")),
        (STAGES, "variable=column type", "variable=slot type"),
        (STAGES, "variable=line type=ram_2p", "variable=line type=rom_1p"),
        (STAGES, "type=rom_1p", "type=ram_1p"),
        (TOP, STREAM, STREAM.replace("lines_in", "line_in")),
    ],
)
def test_variables_must_be_in_scope_and_of_the_kind(file: str, old: str, new: str) -> None:
    caught("pragma-variable", file, old, new)


def test_a_variable_declared_later_is_not_in_scope() -> None:
    late = "  ap_uint<16> column[3];\n#pragma HLS ARRAY_PARTITION variable=column type=complete dim=0\n"
    pragma, declaration = late.splitlines()[1], late.splitlines()[0]
    caught("pragma-variable", STAGES, late, f"{pragma}\n{declaration}\n")


def test_a_variable_of_an_inner_block_is_not_in_scope() -> None:
    old = "#pragma HLS ARRAY_PARTITION variable=column type=complete dim=0"
    caught("pragma-variable", STAGES, old, old.replace("column", "window"))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        # PIPELINE in a function's body, LOOP_FLATTEN and UNROLL likewise
        (STAGES, "ap_uint<64> held = 0;\nwords", "ap_uint<64> held = 0;\n#pragma HLS PIPELINE II=1\nwords"),
        (STAGES, "ap_uint<64> held = 0;\nwords", "ap_uint<64> held = 0;\n#pragma HLS LOOP_FLATTEN\nwords"),
        (STAGES, "ap_uint<64> held = 0;\nwords", "ap_uint<64> held = 0;\n#pragma HLS UNROLL\nwords"),
        (STAGES, "ap_uint<64> held = 0;\nwords", "ap_uint<64> held = 0;\n#pragma HLS DATAFLOW\nwords"),
        (STAGES, "ap_uint<64> held = 0;\nwords", "#pragma HLS INTERFACE mode=axis port=source\nwords"),
        # in a branch of a loop's body
        (STAGES, "      target.write(window);", "#pragma HLS UNROLL\n      target.write(window);"),
        # in the loop around the innermost
        (STAGES, "  parts:\n", "#pragma HLS LOOP_FLATTEN\n  parts:\n"),
        # outside of functions
        (STAGES, "// PE 4 x", "#pragma HLS INLINE\n// PE 4 x"),
        (TOP, "void accel_hls", "#pragma HLS DATAFLOW\nvoid accel_hls"),
        (TOP, "port=s_axis", "port=t_axis"),
    ],
)
def test_places(file: str, old: str, new: str) -> None:
    caught("pragma-place", file, old, new)


def test_a_commented_pragma_is_none() -> None:
    found = planted((TOP, "#pragma HLS DATAFLOW", "// #pragma HLS DATAFLOW"))
    assert "dataflow" in rules(found)
    found = planted((TOP, "#pragma HLS DATAFLOW", "/*\n#pragma HLS DATAFLOW\n*/"))
    assert "dataflow" in rules(found)


def test_case_and_continued_lines_do_not_matter() -> None:
    assert not planted((TOP, "#pragma HLS DATAFLOW", "#pragma hls dataflow"))
    assert not planted((TOP, "#pragma HLS STREAM variable", "#pragma HLS STREAM \\\n  variable"))
    assert not planted(
        (STAGES, "#pragma HLS BIND_STORAGE variable=line", "  #pragma HLS bind_storage variable = line")
    )


def test_legal_directives_beside_those_used() -> None:
    old = "#pragma HLS ARRAY_PARTITION variable=matrix_starts type=complete dim=1"
    assert not planted((STAGES, old, f"{old}\n#pragma HLS EXPRESSION_BALANCE off"))
    loop = "#pragma HLS PIPELINE II=1 rewind style=flp\n    const bool last"
    count = "#pragma HLS LOOP_TRIPCOUNT min=56 max=56"
    assert not planted((STAGES, loop, f"{count}\n{loop}"))
