"""Loops: bounds, nests, pipelines."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, caught, planted, rules

WORDS = "for (int word = 0; word < 56; word++) {"
SHIFT = "for (int k = 0; k < 2; k++) {"
PARTS = "  parts:\n    for (int part = 0; part < 4; part++) {\n"
PIPELINE = "#pragma HLS PIPELINE II=1 rewind style=flp\n    const ap_uint<16> here"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (WORDS, "for (int word = 0; word < level + 3; word++) {"),
        (WORDS, "for (int word = level; word < 56; word++) {"),
        (WORDS, "for (int word = 0; word < 56; word += level) {"),
        (WORDS, "for (int word = 0;; word++) {"),
        (WORDS, "for (int word = 0; word < 56; ) {"),
        (WORDS, "for (int word = 0; word < 56; level++) {"),
        (WORDS, "for (int word = 0; word != 55; word += 2) {"),
        (WORDS, "for (int word = 0; word < 56; word--) {"),
        (WORDS, "for (int word = 0; word < 56 && level < 3; word++) {"),
        # the counter cannot hold its bound
        (WORDS, "for (ap_uint<5> word = 0; word < 32; word++) {"),
        (WORDS, "for (ap_int<6> word = 0; word < 56; word++) {"),
        (SHIFT, "for (int k = 0; k < slot; k++) {"),
        # the counter is changed in the body
        ("    const bool last = word == 55;", "    const bool last = word == 55;\n    if (last) word = 0;"),
    ],
)
def test_bounds(old: str, new: str) -> None:
    caught("loop-bound", STAGES, old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    column[2] = here;", "    column[2] = here;\n    while (slot < 3) slot++;"),
        ("    column[2] = here;", "    column[2] = here;\n    do slot++; while (slot < 3);"),
        ("    column[2] = here;", "    column[2] = here;\n    if (slot == 3) break;"),
        ("    column[2] = here;", "    column[2] = here;\n    if (slot == 3) continue;"),
        ("    column[2] = here;", "    column[2] = here;\n    if (slot == 3) return;"),
        ("    column[2] = here;", "    column[2] = here;\n    if (slot == 3) goto out;\n  out:;"),
        ("      column[k] = column[k + 1];", "      column[k] = column[k + 1];\n      if (k == 1) break;"),
    ],
)
def test_exits(old: str, new: str) -> None:
    caught("loop-exit", STAGES, old, new)


@pytest.mark.parametrize("step", ["word++", "++word", "word += 1", "word = word + 1"])
def test_steps(step: str) -> None:
    found = planted((STAGES, WORDS, f"for (int word = 0; word < 56; {step}) {{"))
    assert bool(found) is (step == "word = word + 1")


def test_constant_bounds_that_have_names() -> None:
    found = planted(
        (STAGES, "// Two words", "const int WORDS = 57;\n// Two words"),
        (STAGES, WORDS, "for (int word = 0; word < WORDS - 1; word++) {"),
    )
    assert not found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  parts:\n", "    held = 0;\n  parts:\n"),
        ("  folds:\n", "    ap_uint<3> n = pixel;\n  folds:\n"),
        ("      held = bits >> 16;\n    }\n", "      held = bits >> 16;\n    }\n    held = 0;\n"),
        (
            "#pragma HLS LOOP_FLATTEN\n      ap_uint<64> bits",
            "#pragma HLS LOOP_FLATTEN off\n      ap_uint<64> bits",
        ),
        # two nests in one stage
        (
            "words:\n  for (int word = 0; word < 56",
            "first:\n  for (int i = 0; i < 3; i++) level = i;\nwords:\n  for (int word = 0; word < 56",
        ),
        (
            "  for (int word = 0; word < 32; word++) {",
            "  for (int word = 0; word < 32; word++) {\n#pragma HLS UNROLL",
        ),
    ],
)
def test_nests(old: str, new: str) -> None:
    caught("nest", STAGES, old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PIPELINE, "const ap_uint<16> here"),
        (PIPELINE, PIPELINE.replace("II=1", "II=2")),
        (PIPELINE, PIPELINE.replace("II=1 ", "")),
        (PIPELINE, PIPELINE.replace("rewind", "rewind off")),
        (PIPELINE, f"#pragma HLS UNROLL\n{PIPELINE}"),
        (PIPELINE, f"#pragma HLS PIPELINE II=1 rewind style=flp\n{PIPELINE}"),
        ("#pragma HLS UNROLL\n      column", "#pragma HLS PIPELINE II=1\n      column"),
        ("#pragma HLS UNROLL\n      column", "#pragma HLS UNROLL factor=2\n      column"),
        ("#pragma HLS UNROLL\n      column", "#pragma HLS UNROLL off=true\n      column"),
        # the outer loop instead of the innermost
        (
            f"{PARTS}#pragma HLS PIPELINE II=1 rewind style=flp\n",
            f"#pragma HLS PIPELINE II=2 rewind style=flp\n{PARTS}",
        ),
    ],
)
def test_pipelines(old: str, new: str) -> None:
    caught("pipeline", STAGES, old, new)


def test_a_pipelined_helper() -> None:
    caught("pipeline", "xh_popcount.h", "#pragma HLS UNROLL", "#pragma HLS PIPELINE II=1")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PIPELINE, PIPELINE.replace(" rewind", "")),
        (PIPELINE, PIPELINE.replace("rewind", "rewind=false")),
        # code in front of the loop, behind it, around it
        ("  ap_uint<4> slot = 0;", "  ap_uint<4> slot = 0;\n  slot = 3;"),
        ("  ap_uint<4> slot = 0;", "  ap_uint<4> first = 3;\n  ap_uint<4> slot = first;"),
        ("      due = due + 1;\n    }\n  }\n", "      due = due + 1;\n    }\n  }\n  due = 3;\n"),
    ],
)
def test_rewinding(old: str, new: str) -> None:
    caught("rewind", STAGES, old, new)


@pytest.mark.parametrize("style", ["", " style=stp", " style=STP"])
def test_words_that_stay_in_a_pipeline(style: str) -> None:
    """They would leave with the next frame, and the last frame's never."""
    caught("flush", STAGES, PIPELINE, PIPELINE.replace(" style=flp", style))


def test_words_that_stay_where_a_helper_waits() -> None:
    helper = "static ap_uint<16> take(hls::stream<ap_uint<16> > &from) { return from.read(); }\n// Two words"
    found = planted(
        (STAGES, "// Two words", helper),
        (STAGES, PIPELINE, PIPELINE.replace(" style=flp", "")),
        (STAGES, "here = source.read();", "here = take(source);"),
    )
    assert rules(found) == {"flush"}, found


def test_a_loop_that_waits_for_nothing_need_not_flush() -> None:
    found = planted(
        (STAGES, PIPELINE, PIPELINE.replace(" style=flp", "")),
        (STAGES, "here = source.read();", "here = 3;"),
    )
    assert "flush" not in rules(found), found


@pytest.mark.parametrize(
    "addition",
    [
        "if (agree[lane]) ones += 1;",
        "if (agree[lane]) ones = ones + 1;",
        "if (agree[lane]) {\n      ones += 1;\n    } else {\n      ones -= 0;\n    }",
    ],
)
def test_a_sum_on_a_condition_is_no_tree(addition: str) -> None:
    caught("sum", "xh_popcount.h", "ones += ap_uint<1>(agree[lane]);", addition)


def test_a_term_on_a_condition_is_fine() -> None:
    term = (
        "ap_int<2> term = 0;\n    if (agree[lane]) term = 1;\n    ones += agree[lane] ? term : ap_int<2>(0);"
    )
    assert not planted(("xh_popcount.h", "ones += ap_uint<1>(agree[lane]);", term))


def test_a_loop_on_a_condition() -> None:
    found = planted(
        (STAGES, "positions:\n", "if (true) {\npositions:\n"),
        (STAGES, "      due = due + 1;\n    }\n  }\n", "      due = due + 1;\n    }\n  }\n  }\n"),
    )
    assert {"nest", "rewind"} <= rules(found)


@pytest.mark.parametrize(
    "access",
    ["source.read()", "target.write(3)", "source.empty()"],
)
def test_streams_outside_of_the_pipelined_loop(access: str) -> None:
    caught("stream-access", STAGES, "  ap_uint<4> slot = 0;", f"  ap_uint<4> slot = 0;\n  {access};")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("here = source.read();", "here = source.empty() ? ap_uint<16>(0) : source.read();"),
        (
            "    column[2] = here;",
            "    column[2] = here;\n    ap_uint<16> more = 0;\n    source.read_nb(more);",
        ),
        ("      target.write(window);", "      target.write_nb(window);"),
        ("      target.write(window);", "      if (!target.full()) target.write(window);"),
        ("    column[2] = here;", "    column[2] = here;\n    slot = source.size();"),
    ],
)
def test_streams_that_are_asked_about_time(old: str, new: str) -> None:
    caught("stream-access", STAGES, old, new)


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (
            "stream-count",
            "      target.write(window);",
            "      target.write(window);\n      target.write(0);",
        ),
        ("stream-count", "    column[2] = here;", "    column[2] = source.read();"),
        (
            "stream-count",
            "      target.write(window);",
            "      target.write(window);\n    }\n    if (slot == 3) {\n      target.write(0);",
        ),
        ("stream-unrolled", "      column[k] = column[k + 1];", "      column[k] = source.read();"),
        (
            "stream-unrolled",
            "        result[pe] = sum >= 0;",
            "        result[pe] = sum >= 0;\n        target.write(result);",
        ),
    ],
)
def test_one_word_a_turn(rule: str, old: str, new: str) -> None:
    caught(rule, STAGES, old, new)


def test_one_word_in_either_branch() -> None:
    old = "    if (whole || last) target.write(bits);"
    assert not planted((STAGES, old, f"{old[:-1]}; else target.write(0);"))
    again = "    if (whole || last) target.write(bits);\n    if (!(whole || last)) target.write(0);"
    assert not planted((STAGES, old, again))


def test_a_helper_takes_the_second_word() -> None:
    helper = "static ap_uint<16> take(hls::stream<ap_uint<16> > &from) { return from.read(); }\n// Two words"
    found = planted(
        (STAGES, "// Two words", helper), (STAGES, "    column[2] = here;", "    column[2] = take(source);")
    )
    assert "stream-count" in rules(found)
    found = planted(
        (STAGES, "// Two words", helper), (STAGES, "here = source.read();", "here = take(source);")
    )
    assert not found
