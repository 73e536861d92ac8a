"""What one turn waits for from the turn before."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, caught, planted, rules

DUE = "      due = due + 1;"
SUM = "        sum += xh_popcount<32, 7>(~(activations ^ weights));"
HELD = "      held = bits >> 16;"
LEVEL = "      level = level + 1;"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # arithmetic that takes too long
        (DUE, "      due = due * 3;"),
        (DUE, "      due = due / 3;"),
        (DUE, "      due = due % 3;"),
        (DUE, "      due = due + 1 + slot;"),
        (DUE, "      due = (due + slot) - 3;"),
        (DUE, "      due += 1;\n      due += 2;"),
        (DUE, "      due++;\n      due++;"),
        (DUE, "      due = due + 1;\n      if (due == 100) due = 0;"),
        (DUE, "      due = due == 3 ? ap_uint<8>(0) : ap_uint<8>(due << slot);\n      slot = due;"),
        (LEVEL, "      level = level + 1;\n      if (level == 15) level = 0;"),
        # the sum of the turn before is added to twice
        (SUM, f"{SUM}\n        sum += fold;"),
        (SUM, SUM.replace("+=", "*=")),
        (SUM, "        sum = sum - xh_popcount<32, 7>(activations) + xh_popcount<32, 7>(weights);"),
        # a shift by an amount, a range of bits at a place, that is no constant
        (HELD, "      held = bits >> part;"),
        (HELD, "      held = bits.range(part + 15, part);"),
        (HELD, "      held = bits >> 16;\n      held = held << (part * 2);"),
        # popcount of what is carried
        (HELD, "      held = xh_popcount<64, 8>(bits);\n      bits = 0;"),
        (HELD, "      held = xh_popcount<64, 8>(held);"),
        # a circle over two registers: due -> slot -> due
        (DUE, "      due = slot + 1;\n    }\n    if (leaves) {\n      slot = due + 1;"),
    ],
)
def test_too_much_for_a_clock(old: str, new: str) -> None:
    caught("carried", STAGES, old, new)


HELPERS = {
    "value": ("static int next(int n) { return n * 3; }", "due = next(due);"),
    "reference": ("static void next(ap_uint<8> &n) { n = n * 3; }", "next(due);"),
    "two deep": (
        "static int inner(int n) { return n + 1; }\nstatic int next(int n) { return inner(n) + 2; }",
        "due = next(due);",
    ),
    "half outside": ("static int next(int n) { return n + 2; }", "due = next(due) + slot;"),
    "a loop": (
        "static int next(int n) {\n  int s = n;\n  for (int i = 0; i < 3; i++) s = s + i;\n  return s;\n}",
        "due = next(due);",
    ),
    "a block": ("static int next(int n) { { if (n > 3) return n; } return n * 5; }", "due = next(due);"),
    "a branch": ("static int next(int n) { if (n > 3) return n * 5; return n; }", "due = next(due);"),
    "a template": ("template <int N>\nint next(int n) { return n * N; }", "due = next<3>(due);"),
}


@pytest.mark.parametrize("form", HELPERS)
def test_hidden_in_a_helper(form: str) -> None:
    helper, call = HELPERS[form]
    found = planted((STAGES, "// Two words", f"{helper}\n// Two words"), (STAGES, DUE, f"      {call}"))
    assert "carried" in rules(found), found


def test_hidden_in_a_helper_that_takes_an_array() -> None:
    helper = "static void scale(ap_int<8> (&a)[4]) { a[1] = a[1] * 3; }\n// PE 4"
    end = "      if (fold == 1) target.write(result);"
    found = planted((STAGES, "// PE 4", helper), (STAGES, end, f"{end}\n      scale(accumulator);"))
    assert "carried" in rules(found), found


@pytest.mark.parametrize(
    ("helper", "call"),
    [
        ("static int next(int n) { return n + 1; }", "due = next(due);"),
        ("static void next(ap_uint<8> &n) { n = n + 1; }", "next(due);"),
        ("static int next(int n) { return n == 3 ? 0 : n + 1; }", "due = next(due);"),
        # long, and on no circle
        ("static int next(int n) { return n * 3 + 7; }", "window = next(slot);"),
        ("static int next(int n) { return n * 3 + 7; }", "due = next(above);"),
    ],
)
def test_helpers_that_fit(helper: str, call: str) -> None:
    found = planted(
        (STAGES, "// Two words", f"{helper}\n// Two words"),
        (STAGES, DUE, f"      {call}" if call.startswith(("due", "next")) else DUE),
        (
            STAGES,
            "      target.write(window);",
            f"      {call if call.startswith('window') else ''}\n      target.write(window);",
        ),
    )
    assert not found, found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DUE, "      due = due - 1;"),
        (DUE, "      due++;"),
        (DUE, "      due = due == 100 ? ap_uint<8>(0) : ap_uint<8>(due + 1);"),
        (DUE, "      due = above * here + slot;"),
        (SUM, "        sum = sum + (xh_popcount<32, 7>(activations) + xh_popcount<32, 7>(weights));"),
        (SUM, f"{SUM}\n        if (sum * 3 > 7) result[pe] = 1;"),
        (HELD, "      held = bits >> 8;"),
        (HELD, "      held = bits.range(63, 16);"),
        (HELD, "      held = (bits.range(15, 0), bits.range(63, 16));"),
        (HELD, "      held = ~bits ^ 3;"),
    ],
)
def test_what_fits_a_clock(old: str, new: str) -> None:
    found = planted((STAGES, old, new))
    assert not found, found


def test_many_multiplexers_do_not_fit() -> None:
    chain = "\n".join(f"    if (above[{i}]) due = due ^ {i};" for i in range(8))
    caught("carried", STAGES, "    const bool leaves", f"{chain}\n    const bool leaves")
