"""The DATAFLOW region."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, TOP, caught, planted, rules

LINES = "accel_stages::lines(lines_in, matrix_in);"
MATRIX = "accel_stages::matrix(matrix_in, out_in);"
OUT = "accel_stages::out_converter(out_in, m_axis);"
IN = "accel_stages::in_converter(s_axis, lines_in);"


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("dataflow", "#pragma HLS DATAFLOW\n", ""),
        ("interface", "#pragma HLS INTERFACE mode=axis port=s_axis\n", ""),
        ("interface", "#pragma HLS INTERFACE mode=ap_ctrl_none port=return\n", ""),
        ("interface", "mode=ap_ctrl_none", "mode=ap_ctrl_hs"),
        ("interface", "mode=axis port=m_axis", "mode=ap_fifo port=m_axis"),
        ("interface", "mode=axis port=m_axis", "mode=axis port=s_axis"),
        # conditional and repeated calls, other statements
        ("dataflow-conditional", LINES, f"if (lines_in.empty()) {LINES}"),
        ("dataflow-conditional", LINES, f"if (true) {{ {LINES} }}"),
        ("dataflow-repeated", LINES, f"for (int i = 0; i < 2; i++) {LINES}"),
        ("dataflow-repeated", LINES, f"while (true) {{ {LINES} }}"),
        ("dataflow-repeated", LINES, f"{LINES}\n  {LINES}"),
        ("dataflow-statement", LINES, f"{LINES}\n  m_axis.write(0);"),
        ("dataflow-statement", LINES, f"{LINES}\n  lines_in.read();"),
        ("dataflow-statement", LINES, f"{LINES}\n  {{ {MATRIX} }}"),
        ("dataflow-channel", LINES, f"int n = 3;\n  {LINES}"),
        ("dataflow-channel", LINES, f"ap_uint<16> shared[4];\n  {LINES}"),
        # depths
        ("stream-depth", "hls::stream<ap_uint<16>, 2> lines_in", "hls::stream<ap_uint<16> > lines_in"),
        ("stream-depth", "hls::stream<ap_uint<16>, 2> lines_in", "hls::stream<ap_uint<16>, 0> lines_in"),
        ("stream-depth", "hls::stream<ap_uint<16>, 2> lines_in", "hls::stream<ap_uint<16>, 3> lines_in"),
        ("stream-depth", "variable=matrix_in depth=20", "variable=matrix_in depth=2"),
        ("stream-depth", "variable=matrix_in depth=20 type=fifo", "variable=matrix_in type=fifo"),
        ("stream-depth", "variable=matrix_in depth=20 type=fifo", "variable=matrix_in depth=20 type=pipo"),
        ("stream-depth", "#pragma HLS STREAM variable=matrix_in depth=20 type=fifo\n", ""),
        # writers and readers
        (
            "stream-consumer",
            MATRIX,
            "accel_stages::matrix(matrix_in, out_in);\n  accel_stages::again(matrix_in, out_in);",
        ),
        ("stream-producer", OUT, ""),
        ("stream-consumer", OUT, ""),
        ("stream-producer", IN, ""),
        ("stream-producer", OUT, "accel_stages::out_converter(out_in, s_axis);"),
        # feedback
        ("feedback", f"{LINES}\n  {MATRIX}", f"{MATRIX}\n  {LINES}"),
        ("feedback", OUT, "accel_stages::out_converter(out_in, s_axis);"),
    ],
)
def test_the_top(rule: str, old: str, new: str) -> None:
    extra = "void matrix(hls::stream<ap_uint<32> > &source, hls::stream<ap_uint<4> > &target)"
    changes = [(TOP, old, new)]
    if "again" in new:
        changes.append(("accel_stages.h", f"{extra};", f"{extra};\n{extra.replace('matrix', 'again')};"))
        again = f"{extra.replace('matrix', 'again')} {{\nloop:\n  for (int i = 0; i < 3; i++) {{\n"
        again += "#pragma HLS PIPELINE II=1 rewind style=flp\n"
        again += "    target.write(source.read().range(3, 0));\n  }\n}\n"
        changes.append((STAGES, "// 56 words", f"{again}\n// 56 words"))
    found = planted(*changes)
    expected = {rule, "stream-producer", "stream-consumer"} if rule == "stream-producer" else {rule}
    assert expected & rules(found), found
    if "again" in new:
        assert {"stream-producer", "stream-consumer"} <= rules(found)


def test_a_stage_that_reads_what_it_writes() -> None:
    caught_in_stage = planted(
        (STAGES, "    target.write(bits.range(15, 0));", "    target.write(bits.range(15, 0));\n"),
        (STAGES, "held = bits >> 16;", "held = bits >> 16;\n      if (part == 3) held = target.read();"),
    )
    assert "feedback" in rules(caught_in_stage)


def test_a_stage_that_returns_a_value() -> None:
    signature = "void lines(hls::stream<ap_uint<16> > &source, hls::stream<ap_uint<32> > &target)"
    found = planted(
        ("accel_stages.h", signature, signature.replace("void", "int")),
        (STAGES, signature, signature.replace("void", "int")),
    )
    assert "dataflow-argument" in rules(found)


@pytest.mark.parametrize(("parameter", "argument"), [("int count", "3"), ("ap_uint<4> (&table)[3]", "table")])
def test_arrays_and_scalars_between_stages(parameter: str, argument: str) -> None:
    signature = "void matrix(hls::stream<ap_uint<32> > &source, hls::stream<ap_uint<4> > &target"
    found = planted(
        ("accel_stages.h", signature, f"{signature}, {parameter}"),
        (STAGES, signature, f"{signature}, {parameter}"),
        (TOP, MATRIX, f"ap_uint<4> table[3];\n  {MATRIX[:-2]}, {argument});"),
    )
    assert {"dataflow-argument", "dataflow-channel"} <= rules(found)


@pytest.mark.parametrize("word", ["", "static "])
def test_state_that_stages_share(word: str) -> None:
    found = planted(
        (STAGES, "// 32 beats", f"{word}ap_uint<8> count;\n// 32 beats"),
        (STAGES, "held = bits >> 16;", "held = bits >> 16;\n      count = count + 1;"),
    )
    assert "shared" in rules(found)


def test_static_locals() -> None:
    caught("static", STAGES, "  ap_uint<4> slot = 0;", "  static ap_uint<4> slot = 0;")


def test_a_core_without_its_top() -> None:
    caught("parse", TOP, "void accel_hls(", "void accel_his(")
