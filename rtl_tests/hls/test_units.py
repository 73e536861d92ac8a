"""Each stage of the C++ core by itself against plain Python: as it is written, and as hardware keeps it.

With ``rewind`` the hardware passes what stands before a stage's loop once and never again, and
where the text says how many turns lie between a memory's writes and reads, the tool believes it.
C simulation sees neither: so the same stages run with those variables made static, and with
memories that watch when a word is read.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtl_tests.hls.branch_cases import branch, branches
from rtl_tests.hls.code_cases import quantisers, sum_pools, terms
from rtl_tests.hls.full_cases import full_matrices
from rtl_tests.hls.program import Outcome, kept, run_cases, stages_text, watched
from rtl_tests.hls.unit_cases import UNIT, UnitCase, codes, converters, matrices, pools, unit_plan, windows
from rtl_tests.units import test_branches
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Codes, Stage
from xnorhw.plan.model import (
    AddUnit,
    ConcatUnit,
    Edge,
    Fifo,
    ForkUnit,
    MultiplyUnit,
    Stream,
    Unit,
    Window,
)

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")

CASES: tuple[UnitCase, ...] = (
    *converters(),
    *codes(),
    *windows(),
    *matrices(),
    *full_matrices(),
    *pools(),
    *sum_pools(),
    *terms(),
    *quantisers(),
    *branches(),
)
BOTH = (False, True)
BY_NAME = {case.name: case for case in CASES}


def as_in_hardware(text: str) -> str:
    """What is kept from frame to frame, and memories that watch."""
    return kept(watched(text))


def assert_right(outcome: Outcome, cases: Sequence[UnitCase]) -> None:
    assert outcome.code == 0, f"{list(outcome.words)[-1:]}: {outcome.said}"
    assert list(outcome.words) == [case.name for case in cases]
    wrong = [
        f"{case.name}, frame {i}"
        for case in cases
        for i, (given, wanted) in enumerate(zip(outcome.words[case.name], case.given, strict=True))
        if given != wanted
    ]
    assert not wrong, wrong


def test_as_written(tmp_path: Path) -> None:
    assert_right(run_cases(CASES, tmp_path), CASES)


def test_as_hardware_keeps_it(tmp_path: Path) -> None:
    """Also: no word of a memory is read sooner after its writing than the tool is told."""
    assert_right(run_cases(CASES, tmp_path, as_in_hardware), CASES)


def test_the_cases_reach_every_form() -> None:
    stages: list[Stage] = [stage for case in CASES for stage in case.stages]
    texts = [stages_text(case) for case in CASES]
    assert len(BY_NAME) == len(CASES)
    assert {stage.kind for stage in stages} == {
        "convert", "codes", "lines", "taps", "replay", "matrix", "pool", "sum_pool", "planes", "terms",
        "levels", "requant", "fork", "add", "concat", "abs_sum", "multiply",
    }  # fmt: skip
    pools = [stage.unit for stage in stages if stage.kind == "pool"]
    assert {(u.bits > 1, u.tap_groups > 1) for u in pools} == {(a, b) for a in BOTH for b in BOTH}
    assert {(u.signed, u.tap_groups > 1) for u in pools} == {(a, b) for a in BOTH for b in BOTH}
    sums = [stage.unit for stage in stages if stage.kind == "sum_pool"]
    assert {(u.in_bipolar, u.in_signed) for u in sums} == {(True, False), (False, True), (False, False)}
    assert {u.tap_groups > 1 for u in sums} == {u.taps_per_word > 1 for u in sums} == set(BOTH)
    weighted = [stage.unit for stage in stages if stage.kind == "terms"]
    assert {(u.doubles, len(u.coefficients) > 1) for u in weighted} == {(a, b) for a in BOTH for b in BOTH}
    for kind in ("levels", "requant"):
        tables = {(s.table.depth > 1, s.rounds > 1) for s in stages if s.kind == kind}
        assert tables == {(True, True), (True, False), (False, True)}
    forms = {(s.plain, s.widens, s.flushes, s.grain == 1, s.tail_bits < s.out_bits)
             for s in stages if s.kind == "convert"}  # fmt: skip
    for form in (
        (True, False, False), (True, True, False), (False, False, False), (False, True, False),
        (False, True, True),
    ):  # fmt: skip
        assert any(found[:3] == form for found in forms), form
    assert {form[3] for form in forms if not form[0]} == {True, False}
    assert {form[4] for form in forms if not form[0]} == {True, False}
    lines = [stage for stage in stages if stage.kind == "lines"]
    assert any(s.columns > s.window.width for s in lines) and any(s.positions == 1 for s in lines)
    assert any(s.positions > s.window.height * s.window.width and s.columns == s.window.width for s in lines)
    assert {s.clipped for s in lines} == {True, False}
    taps = [stage for stage in stages if stage.kind == "taps"]
    assert {(s.words_outer, s.groups > 1, s.repeats > 1, s.words > 1) for s in taps} >= {
        (True, True, False, True), (False, True, True, True), (False, False, True, True),
        (False, True, False, False),
    }  # fmt: skip
    assert {s.repeats > 1 for s in stages if s.kind == "replay"} == {True, False}
    assert max(stream.width for stage in stages for stream in stage.targets) > 1024
    sliced = {
        (case.stages[-1].kind, unit.repeats > 1, unit.words_per_pixel > unit.slices)
        for case in CASES
        if isinstance(unit := case.plan.units[0], Window) and unit.slices > 1
    }
    assert sliced >= {("lines", False, False), ("taps", True, True), ("taps", False, True)}
    assert sliced >= {("taps", True, False), ("replay", True, True)}
    assert {stage.unit.even for stage in stages if stage.kind == "requant"} == set(BOTH)
    adders = [stage.unit for stage in stages if stage.kind == "add"]
    operands = {pair for u in adders for pair in zip(u.in_signed, u.in_bipolar, strict=True)}
    assert operands == {(True, False), (False, True), (False, False)}
    assert {shift > 0 for u in adders for shift in u.shifts} == set(BOTH)
    assert {len(stage.unit.words) > 2 for stage in stages if stage.kind == "concat"} == set(BOTH)
    absolute = [stage.unit for stage in stages if stage.kind == "abs_sum"]
    assert {(u.words_per_pixel > 1, u.last_lanes < u.lanes) for u in absolute} == {
        (a, b) for a in BOTH for b in BOTH
    }
    assert {s.unit.words_per_pixel > 1 for s in stages if s.kind == "multiply"} == set(BOTH)
    full = [stage.unit for stage in stages if stage.kind == "matrix" and stage.unit.full]
    for unlike in ("act_bipolar", "dsps", "act_signed"):
        found = {(bool(getattr(u, unlike)), u.thresholded) for u in full}
        assert found == {(a, b) for a in BOTH for b in BOTH}
    # memories that watch, of each kind, and short ones beside them
    told = re.findall(r"DEPENDENCE variable=(\w+)", "".join(texts))
    assert set(told) == {"line", "column", "window", "block"}
    for kind in ("bram", "lutram"):
        assert re.search(rf"BIND_STORAGE variable=line type=ram_2p impl={kind}\n", "".join(texts))


@dataclass(frozen=True)
class Plant:
    """A case, and a piece of its stages' text with what takes its place."""

    case: str
    old: str
    new: str

    def change(self, text: str) -> str:
        assert text.count(self.old) == 1, text
        return text.replace(self.old, self.new)


# in each case the loop leaves a variable as it is when a frame ends
NOT_RESTORED = {
    "lines, next window": Plant("same", "        due = 7;\n", ""),
    "lines, row of the window": Plant("same", "out_y = 0;\n        out_x = 0;", "out_x = 0;"),
    "lines, place of the first tap": Plant(
        "same", "out_x = 0;\n        top = -1;\n        left = -1;", "out_x = 0;\n        left = -1;"
    ),
    "lines, row of the map": Plant("full_more", "          in_y = 0;\n", ""),
    "converter, bits": Plant("c3to10p25n1", "      held = 0;\n", ""),
    "converter, number of bits": Plant("c3to10p25n1", "      level = 0;\n", ""),
    "converter, words taken": Plant("c10to3p31n1", "      taken = 0;\n", ""),
    "converter, a tail to come": Plant("c5to7p8n1", "due = more && last;", "due = due || last;"),
    "matrix, address": Plant("p4s8bipolarf3bitt8g1", "if (address == 2) {", "if (address == 2 && x < 3) {"),
}


@pytest.mark.parametrize("name", NOT_RESTORED)
def test_what_a_loop_does_not_restore_is_noticed(name: str, tmp_path: Path) -> None:
    """C simulation alone would find nothing wrong."""
    plant = NOT_RESTORED[name]
    case = BY_NAME[plant.case]
    assert_right(run_cases([case], tmp_path / "written", plant.change), [case])
    outcome = run_cases([case], tmp_path / "kept", lambda text: kept(plant.change(text)))
    assert outcome.code != 0 or outcome.words[case.name] != list(case.given)


DEPENDENT = {
    "line": Plant("many_words_more", "if (line_slot == 26) {", "if (line_slot == 25) {"),
    "line, far too soon": Plant("many_words_more", "if (line_slot == 26) {", "if (line_slot == 7) {"),
    "column": Plant("many_words_more", "if (column_slot == 8) {", "if (column_slot == 7) {"),
    "window": Plant("many_words_more", "window[word] = taps;", "window[word < 8 ? word + 1 : 0] = taps;"),
    "block": Plant("pointwise_words_more", "block[word] = value;", "block[(word + 9) % 10] = value;"),
}


@pytest.mark.parametrize("memory", DEPENDENT)
def test_a_word_read_too_soon_is_noticed(memory: str, tmp_path: Path) -> None:
    """The distance that the tool is told would be wrong, by one turn in most."""
    plant = DEPENDENT[memory]
    case = BY_NAME[plant.case]
    outcome = run_cases([case], tmp_path, lambda text: as_in_hardware(plant.change(text)))
    assert outcome.code == 9 and "turns after it was written" in outcome.said


# what a stage at which streams part or meet, a signed pool, or integer weights would do wrong
BRANCHES = {
    case.name: case
    for case in (
        branch(test_branches.fork(13, 5)),
        branch(test_branches.adder(5, 6, (1, "b", 2), (4, "s", 1))),
        branch(test_branches.concat(16, 1, 4, 2)),
        branch(test_branches.magnitudes(4, 5, 3, 1, 8)),
        branch(test_branches.multiplier(4, 10, 8, 2, 18)),
    )
}
FORK, ADD, CONCAT, ABS_SUM, MULTIPLY = BRANCHES
(POOL,) = (case.name for case in pools() if case.name.startswith("l8s3"))
(EVEN,) = (case.name for case in CASES if case.name.startswith("requant3x16m2a7r6"))
WRONG = {
    "fork, one target": Plant(FORK, "target4.write(value);", "target4.write(value >> 1);"),
    "add, a sign": Plant(ADD, "const ap_int<4> value1", "const ap_uint<4> value1"),
    "add, plus and minus one": Plant(ADD, "? 1 : -1", "? 1 : 0"),
    "add, a shift": Plant(ADD, "value0 * 4", "value0 * 2"),
    "concat, a source": Plant(CONCAT, "value = source2.read();", "value = ~source2.read();"),
    "magnitudes, a sign": Plant(ABS_SUM, "if (value < 0) magnitude = -value;", ""),
    "magnitudes, lanes past the last": Plant(ABS_SUM, "if (word == 2 && lane >= 1) magnitude = 0;", ""),
    "magnitudes, a pixel's first word": Plant(ABS_SUM, "if (word == 0) total = 0;", ""),
    "magnitudes, what was there": Plant(ABS_SUM, "partial = total;", "partial = sum;"),
    "multiply, a sign": Plant(MULTIPLY, "const ap_int<10> value", "const ap_uint<10> value"),
    "multiply, the factor held": Plant(MULTIPLY, "held = factor;", ""),
    "pool, the order of signed codes": Plant(POOL, "flip = 4;", "flip = 0;"),
    "requant, ties to even": Plant(EVEN, "if (dropped == 0)", "if (dropped == 0 && code < 0)"),
    "requant, what is dropped": Plant(EVEN, "dropped = scaled.range(5, 0)", "dropped = scaled.range(6, 1)"),
    "requant, ties alone": Plant(EVEN, "if (dropped == 0)", "if (dropped != 63)"),
    "integer weights, a code's sign": Plant("w4p2s5s5f1rawg3", "<5, 5, true, 4,", "<5, 5, false, 4,"),
    "integer weights, signs": Plant(
        "w3p2s4bipolarf3bitg2", "(activations, weights)", "(~activations, weights)"
    ),
    "integer weights, the start": Plant("w8p2s3u8f3rawg1", "if (fold == 0) sum =", "if (fold == 1) sum ="),
}
STUCK = {
    "concat, a word of another": Plant(CONCAT, "word < 5", "word < 4"),
    "multiply, a factor more": Plant(MULTIPLY, "if (word == 0) factor =", "factor ="),
}


def test_a_wrong_result_of_a_branch_is_noticed(tmp_path: Path) -> None:
    """A fault a case, all of them in one program."""
    plants = list(WRONG.values())
    cases = [replace((BY_NAME | BRANCHES)[p.case], name=name) for name, p in WRONG.items()]

    def change(text: str) -> str:
        found = re.search(r"^namespace unit(\d+)_stages", text, re.M)
        assert found
        return plants[int(found[1])].change(text)

    outcome = run_cases(cases, tmp_path, change)
    assert outcome.code == 0, outcome.said
    assert [case.name for case in cases if outcome.words[case.name] == list(case.given)] == []


@pytest.mark.parametrize("name", STUCK)
def test_words_too_many_or_too_few_are_noticed(name: str, tmp_path: Path) -> None:
    plant = STUCK[name]
    assert run_cases([BRANCHES[plant.case]], tmp_path, plant.change).code != 0


# --- lanes wider than their codes --------------------------------------------------------------

PLANS = {type(case.plan.units[0]).__name__: case.plan for case in CASES if case.design is None}
NARROW = [name for name in PLANS if name not in ("Converter", "TermsUnit")]


def wider(stream: Stream, bits: int) -> Stream:
    return replace(stream, bits=stream.bits + bits)


@pytest.mark.parametrize("name", NARROW)
def test_wider_lanes_are_brought_to_the_units_codes(name: str) -> None:
    plan = PLANS[name]
    before, (edge, *others) = hls_design(plan), plan.edges
    stream = wider(edge.stream, 3)
    frame = replace(plan.input_frame, beat_bits=stream.width)
    changed = replace(plan, edges=(replace(edge, stream=stream), *others), input_frame=frame)
    codes, *rest = hls_design(changed).stages
    assert isinstance(codes, Codes)
    assert (codes.lane_bits, codes.code_bits) == (stream.bits, edge.stream.bits)
    assert [(s.name, s.kind) for s in rest] == [(s.name, s.kind) for s in before.stages]
    assert rest[0].source.width == before.stages[0].source.width == codes.target.width


@pytest.mark.parametrize(
    ("unit", "bits"),
    [
        (AddUnit(UNIT, 2, (5, 1), (True, False), (False, True), (0, 0), 7), (5, 1)),
        (ConcatUnit(UNIT, 2, 3, (1, 1)), (3, 3)),
        (MultiplyUnit(UNIT, 2, 4, 6, 1, 10), (4, 6)),
    ],
)
def test_each_source_of_a_join_is_brought_to_its_own_width(unit: Unit, bits: tuple[int, int]) -> None:
    lanes = (2, 1) if isinstance(unit, MultiplyUnit) else (2, 2)
    streams = [Stream("input", n, 16 // n, n, 4) for n in lanes]
    out = Stream("output", 1, 7, 1, 8 if isinstance(unit, ConcatUnit) else 4)
    plan = unit_plan(unit, streams[0], out, (4, out.words))
    edges = [Edge("input", "fork", "data", streams[0], Fifo(0))]
    edges += [Edge("fork", UNIT, f"data{i}", stream, Fifo(0)) for i, stream in enumerate(streams)]
    units = (ForkUnit("fork", 16, 2), *plan.units)
    fork, *codes, join = hls_design(replace(plan, units=units, edges=(*edges, plan.edges[-1]))).stages
    assert fork.kind == "fork" and [stage.kind for stage in codes] == ["codes", "codes"]
    assert [stage.name for stage in codes] == [f"{UNIT}_codes0", f"{UNIT}_codes1"]
    assert [s.width for s in join.sources] == [n * b for n, b in zip(lanes, bits, strict=True)]
    assert [stage.target for stage in codes] == list(join.sources)
