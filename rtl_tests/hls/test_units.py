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
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtl_tests.hls.code_cases import quantisers, sum_pools, terms
from rtl_tests.hls.program import Outcome, kept, run_cases, stages_text, watched
from rtl_tests.hls.unit_cases import UnitCase, codes, converters, matrices, pools, windows
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Stage

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing")

CASES: tuple[UnitCase, ...] = (
    *converters(),
    *codes(),
    *windows(),
    *matrices(),
    *pools(),
    *sum_pools(),
    *terms(),
    *quantisers(),
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
    stages: list[Stage] = [stage for case in CASES for stage in hls_design(case.plan).stages]
    texts = [stages_text(case) for case in CASES]
    assert len(BY_NAME) == len(CASES)
    assert {stage.kind for stage in stages} == {
        "convert", "codes", "lines", "taps", "replay", "matrix", "pool", "sum_pool", "planes", "terms",
        "levels", "requant",
    }  # fmt: skip
    pools = [stage.unit for stage in stages if stage.kind == "pool"]
    assert {(u.bits > 1, u.tap_groups > 1) for u in pools} == {(a, b) for a in BOTH for b in BOTH}
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
    assert max(stage.target.width for stage in stages) > 1024
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
