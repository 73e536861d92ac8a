"""C++ that is none for synthesis, and text that not every tool reads."""

from __future__ import annotations

import pytest

from tests.hls_rules.planted import STAGES, TOP, caught, planted, rules

HERE = "    const ap_uint<16> here = source.read();\n"
BEFORE = "// Two words"


@pytest.mark.parametrize(
    ("rule", "extra", "statement"),
    [
        ("recursion", "static int again(int n) { return n ? again(n - 1) : 0; }", "int n = again(3);"),
        (
            "recursion",
            "int one(int n);\nint two(int n) { return one(n); }\nint one(int n) { return two(n); }",
            "int n = one(3);",
        ),
        ("dynamic-memory", "", "ap_uint<16> &word = *new ap_uint<16>();"),
        ("dynamic-memory", 'extern "C" void *malloc(unsigned long);', "malloc(3);"),
        ("dynamic-memory", "namespace std { template <class T> struct vector {}; }", "std::vector<int> v;"),
        ("virtual", "struct Shape { virtual int area() { return 1; } };", "Shape s; int n = s.area();"),
        ("function-pointer", "static int f(int n) { return n; }", "int (*g)(int) = f; int n = g(3);"),
        ("function-pointer", "static int f(int n) { return n; }", "int (&g)(int) = f; int n = g(3);"),
        ("function-pointer", "", "auto f = [](int n) { return n; };"),
        ("pointer", "", "int n = 3; int *p = &n; *p = 4;"),
        ("system-call", 'extern "C" int printf(const char *, ...);', 'printf("here");'),
        ("system-call", 'extern "C" void exit(int);', "exit(1);"),
        ("exception", "", "throw 3;"),
        ("floating-point", "", "float x = 3;"),
        ("floating-point", "", "int n = 3 * 0.5;"),
        ("floating-point", "static double half_of(int n) { return n / 2; }", "int n = half_of(3);"),
        ("static", "static int count() { static int n = 0; n++; return n; }", "int n = count();"),
        ("unsupported", "", "switch (1) { default: slot = 0; }"),
        ("unsupported", "struct P { int a; };", "P p; p.a = 3;"),
        ("unsupported", "struct P { P(int) {} };", "P p(3);"),
        ("parse", "", "int n = not_there;"),
        ("parse", "", "here.no_such_member();"),
    ],
)
def test_constructs(rule: str, extra: str, statement: str) -> None:
    found = planted((STAGES, BEFORE, f"{extra}\n{BEFORE}"), (STAGES, HERE, f"{HERE}    {statement}\n"))
    assert rule in rules(found), found


def test_helpers_that_stages_do_not_call_are_left_alone() -> None:
    assert not planted(
        (STAGES, BEFORE, f"static int again(int n) {{ return n ? again(n - 1) : 0; }}\n{BEFORE}")
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (STAGES, HERE, f"#ifndef __SYNTHESIS__\n{HERE}#endif\n"),
        (STAGES, HERE, f"#ifdef __SYNTHESIS__\n#pragma HLS UNROLL\n#endif\n{HERE}"),
        (STAGES, HERE, f"#if 1\n{HERE}#endif\n"),
        (STAGES, HERE, f"#if 0\n#else\n{HERE}#endif\n"),
        ("accel.h", "#ifndef ACCEL_H\n#define ACCEL_H", "#ifndef ACCEL_H\n#define ACCEL_J"),
        (
            "accel.h",
            '#include "ap_int.h"',
            '#ifdef __SYNTHESIS__\n#include "ap_int.h"\n#else\n#include "ap_int.h"\n#endif',
        ),
        ("accel.h", '#include "ap_int.h"', '#define __SYNTHESIS__\n#include "ap_int.h"'),
        # a guard that does not hold the whole file
        ("accel.h", "#endif\n", "#endif\nint late;\n"),
    ],
)
def test_text_for_some_tools_only(file: str, old: str, new: str) -> None:
    caught("conditional", file, old, new)


@pytest.mark.parametrize("width", [1025, 4096, 5000])
def test_words_wider_than_ap_int_is(width: int) -> None:
    caught("width", STAGES, "  ap_uint<4> slot = 0;", f"  ap_uint<{width}> wide = 0;\n  ap_uint<4> slot = 0;")


def test_words_of_a_stream_that_are_too_wide() -> None:
    found = planted((TOP, "hls::stream<ap_uint<32>, 20>", "hls::stream<ap_uint<2048>, 20>"))
    assert "width" in rules(found)


@pytest.mark.parametrize(
    ("limit", "width", "fits"), [(4096, 4096, True), (2048, 2049, False), (8192, 4097, False)]
)
def test_the_limit_is_what_the_sources_set(limit: int, width: int, fits: bool) -> None:
    wide = f"  ap_uint<{width}> wide = 0;\n  ap_uint<4> slot = 0;"
    define = f'#define AP_INT_MAX_W {limit}\n#include "ap_int.h"'
    found = planted(("accel.h", '#include "ap_int.h"', define), (STAGES, "  ap_uint<4> slot = 0;", wide))
    assert ("width" not in rules(found)) is fits, found


def test_a_limit_that_comes_too_late() -> None:
    late = '#include "ap_int.h"\n#undef AP_INT_MAX_W\n#define AP_INT_MAX_W 4096'
    wide = "  ap_uint<2000> wide = 0;\n  ap_uint<4> slot = 0;"
    found = planted(("accel.h", '#include "ap_int.h"', late), (STAGES, "  ap_uint<4> slot = 0;", wide))
    assert "width" in rules(found)
