"""The faults that plant_faults.py plants in the templates of the RTL and of the C++ core."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULTS", "HLS_FAULTS", "RTL_FAULTS", "Fault"]

RTL = "templates/rtl"
HLS = "templates/hls"

MVU, POOL, FIFO, WINDOW = (f"rtl_tests/units/test_{unit}.py" for unit in ("mvu", "pool", "fifo", "window"))
SHELL = "rtl_tests/networks/test_shell.py"
STAGES = "rtl_tests/hls/test_units.py"
RULES = "tests/hls_rules/test_generated.py"

BENCH_FAILED = r"\d+ of \d+ failed|bench\.\w+ failed"
STAGE_DIFFERS = r"\w+, frame \d+|\d+ words are left"


@dataclass(frozen=True)
class Fault:
    """One line of one template changed: ``right`` stands in it exactly once and becomes ``wrong``.

    ``helper`` is added to the end of ``xh_popcount.h``, where the line needs a function.
    ``evidence`` is a regular expression for what the failing tests say of it.
    """

    name: str
    template: str
    right: str
    wrong: str
    tests: str
    evidence: str = BENCH_FAILED
    helper: str = ""


RTL_FAULTS = (
    Fault(
        "a threshold off by one",
        f"{RTL}/xh_mvu.sv",
        "assign m_data_o[r] = !result[ACC_BITS-1];",
        "assign m_data_o[r] = !result[ACC_BITS-1] && result != '0;",
        MVU,
    ),
    Fault(
        "XOR for XNOR",
        f"{RTL}/xh_count_lanes.sv",
        "{activation_i ~^ weight_i}",
        "{activation_i ^ weight_i}",
        MVU,
    ),
    Fault(
        "a swapped PE",
        f"{RTL}/xh_mvu.sv",
        ".weight_i(w_data_i[P*SIMD+:SIMD]), .count_o(sum)",
        ".weight_i(w_data_i[(PE-1-P)*SIMD+:SIMD]), .count_o(sum)",
        MVU,
    ),
    Fault(
        "a lost last fold",
        f"{RTL}/xh_mvu.sv",
        " : acc_q) + addend;",
        " : acc_q) + ((sum_last_q && !sum_first_q) ? '0 : addend);",
        MVU,
    ),
    Fault(
        "a wrong pad",
        f"{RTL}/xh_window.sv",
        ".CLEAR_WORD(PAD_WORD[0+:WORD_BITS])",
        ".CLEAR_WORD(~PAD_WORD[0+:WORD_BITS])",
        WINDOW,
    ),
    Fault(
        "OR for AND",
        f"{RTL}/xh_pool.sv",
        "assign invert = INVERT[0+:LANES];",
        "assign invert = '0;",
        POOL,
    ),
    Fault(
        "a FIFO too shallow",
        f"{RTL}/xh_fifo.sv",
        "full_q  <= level_q == LEVEL_BITS'(DEPTH - 1);",
        "full_q  <= level_q == LEVEL_BITS'(DEPTH - 2);",
        FIFO,
    ),
    Fault(
        "tlast early",
        f"{RTL}/xh_shell.sv",
        "assign m_axis_tlast = out_last && flag_last;",
        "assign m_axis_tlast = flag_valid && flag_last;",
        SHELL,
    ),
    Fault(
        "a stale line at the frame's edge",
        f"{RTL}/xh_window.sv",
        "localparam int STEP_FRAME = FRAME - ",
        "localparam int STEP_FRAME = FRAME - ROW - ",
        WINDOW,
    ),
    Fault(
        "a wrong flag for n",
        f"{RTL}/xh_mvu.sv",
        "odd_q <= start_q[0];",
        "odd_q <= 1'b0;",
        MVU,
    ),
)

_POPCOUNT = "  sum += xh_popcount<{{ u.simd }}, {{ u.simd | bits + 1 }}>(~(activations ^ weights));"

# the same value by a longer way round: only the rules of a loop at II 1 can tell
_SETTLED = """
template <int N>
ap_int<N> xh_settled(const ap_int<N> &sum) {
#pragma HLS INLINE
  return ap_int<N>(sum * 3) - ap_int<N>(sum * 2);
}
"""

HLS_FAULTS = (
    Fault(
        "C++: a threshold off by one",
        f"{HLS}/matrix.j2",
        "  result[{{ row }}] = sum >= 0;",
        "  result[{{ row }}] = sum > 0;",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: XOR for XNOR",
        f"{HLS}/matrix.j2",
        _POPCOUNT,
        _POPCOUNT.replace("~", ""),
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a swapped PE",
        f"{HLS}/matrix.j2",
        "weights = {{ n.weights }}[pe]",
        "weights = {{ n.weights }}[{{ u.pe - 1 }} - pe]",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a lost last fold",
        f"{HLS}/matrix.j2",
        _POPCOUNT,
        '  {{ "if (fold != %d) " | format(u.folds - 1) if u.folds > 1 }}' + _POPCOUNT.strip(),
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a wrong pad",
        f"{HLS}/window.j2",
        "if (!inside) value = {{ n.pad }};",
        "if (!inside) value = ~{{ n.pad }};",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: OR for AND",
        f"{HLS}/matrix.j2",
        "invert = {{ n.invert }};",
        "invert = 0;",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a stale line at the frame's edge",
        f"{HLS}/window.j2",
        "  if (map_ends) {\n    due = {{ s.first }};",
        "  if (map_ends) {\n    due = due + {{ s.step_row }};",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a wrong flag for n",
        f"{HLS}/matrix.j2",
        "(~(activations ^ weights)) << 1;",
        "(~(activations ^ weights));",
        STAGES,
        STAGE_DIFFERS,
    ),
    Fault(
        "C++: a stream depth too small",
        "xnorhw/plan/hls_depth.py",
        "    return low",
        "    return 2",
        "rtl_tests/random/test_random_hls.py",
        r"cycles_per_frame|clocks a frame",
    ),
    Fault(
        "C++: a dependence hidden in a helper",
        f"{HLS}/matrix.j2",
        "  accumulator[pe] = sum;",
        "  accumulator[pe] = xh_settled(sum);",
        RULES,
        r"rule='carried'",
        _SETTLED,
    ),
)

FAULTS = (*RTL_FAULTS, *HLS_FAULTS)
