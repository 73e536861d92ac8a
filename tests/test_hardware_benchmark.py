"""The table of hardware figures: rows and page agree, and no line claims what its numbers do not say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import routed
from benchmarks.hardware.__main__ import HEAD, lines, number
from benchmarks.hardware.ecp5 import Port, harness, parsed
from benchmarks.hardware.rows import ROWS, Found, Want

PAGE = Path(__file__).resolve().parent.parent / "docs" / "hardware" / "figures.md"

NOT_RUN = "not run"


def table(head: str) -> list[list[str]]:
    """The cells of the page's table that begins with ``head``."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(head) == 1
    body = text[text.index(head) + len(head) :].lstrip("\n").split("\n\n")[0]
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for line in body.splitlines()
    ]


def value(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_page_has_the_figures_of_every_row_and_no_other() -> None:
    shown = [tuple(cells[:4]) for cells in table(HEAD)]
    asked = [
        (row.name, f"{want.figure}, {want.unit}", number(want.reach), number(want.then))
        for row in ROWS
        for want in row.wants
    ]
    assert shown == asked


def test_the_page_says_of_no_figure_that_it_is_reached_when_it_is_not() -> None:
    wants = [want for row in ROWS for want in row.wants]
    for want, cells in zip(wants, table(HEAD), strict=True):
        if cells[4] == NOT_RUN:
            assert cells[5:] == ["", "", ""], cells
            continue
        assert cells[5] == want.met(value(cells[4])), cells
        assert re.match(r"(simulated|synthesised|routed) \(", cells[7]), cells


@pytest.mark.parametrize(
    ("want", "found", "word"),
    [
        (Want("clocks", "", 4800, 3600), 3600, "both"),
        (Want("clocks", "", 4800, 3600), 3601, "first"),
        (Want("clocks", "", 4800, 3600), 4801, "not reached"),
        (Want("clock", "", 100, 125, more_is_better=True), 125, "both"),
        (Want("clock", "", 100, 125, more_is_better=True), 124.9, "first"),
        (Want("clock", "", 100, 125, more_is_better=True), 99, "not reached"),
        (Want("aside", ""), 99, ""),
    ],
)
def test_what_a_value_reaches(want: Want, found: float, word: str) -> None:
    assert want.met(found) == word


def test_a_row_is_printed_as_the_page_has_it() -> None:
    row = next(row for row in ROWS if row.name == "cnv-fast")
    found = {want.figure: Found(12345.0, "simulated (x)", 0.12345) for want in row.wants}
    first = lines(row, found)[0]
    assert first == (
        "| cnv-fast | clocks, a frame | 4,800 | 3,600 | 12,345 | not reached | 0.1235 | simulated (x) |"
    )


def test_published_figures_name_their_source_tool_and_clock() -> None:
    rows = table("| what | published | where, tool, clock | ours | like for like |\n|---|---|---|---|---|")
    assert len(rows) >= 8
    for cells in rows:
        assert len(cells) == 5 and all(cells), cells


# --- the routed clock ------------------------------------------------------------------------


def test_the_harness_holds_every_port_between_registers() -> None:
    ports = (Port("a", 3), Port("b", 5), Port("y", 4, True), Port("z", 1, True))
    text = harness("  unit i_unit (.*);", ports)
    assert "assign a = in_q[0 +: 3];" in text and "assign b = in_q[3 +: 5];" in text
    assert "logic [8:0] in_q;" in text and "logic [4:0] out_q, sum_q;" in text
    assert "out_q <= {y, z};" in text


def report(*paths: tuple[str, str, list[tuple[str, float]]]) -> dict[str, object]:
    """A report of nextpnr's form."""
    made = []
    for begin, end, steps in paths:
        cells = [
            {
                "type": kind,
                "delay": delay,
                "from": {"cell": "i_mvu.sum_q_TRELLIS_FF_Q_3"},
                "to": {"cell": "out"},
            }
            for kind, delay in steps
        ]
        made.append({"from": begin, "to": end, "path": cells})
    used = {"TRELLIS_COMB": 7, "TRELLIS_FF": 5, "DP16KD": 2}
    return {
        "utilization": {name: {"used": n, "available": 99} for name, n in used.items()},
        "fmax": {"clk": {"achieved": 101.5, "constraint": 125.0}},
        "critical_paths": made,
    }


def test_a_report_is_read_without_the_paths_of_pins() -> None:
    inside = ("posedge clk", "posedge clk", [("clk-to-q", 0.5), ("routing", 3.0), ("logic", 0.25)])
    pin = ("<async>", "posedge clk", [("source", 0.0), ("routing", 99.0)])
    found = parsed(report(pin, inside))
    assert (found.mhz, found.lut4, found.ff, found.ebr) == (101.5, 7, 5, 2)
    assert (found.logic_ns, found.routing_ns) == (0.75, 3.0)
    assert (found.begins, found.ends) == ("i_mvu.sum_q", "out")


def test_every_case_has_a_harness_of_its_unit() -> None:
    for name, case in routed.CASES.items():
        top = case.top(2)
        assert re.search(r"xh_(mvu|window|width_converter) #\(", top), name
        assert (".COUNT_STAGES(2)" in top) == name.startswith("mvu")
        for file in case.memories():
            assert f'"{file}"' in top
