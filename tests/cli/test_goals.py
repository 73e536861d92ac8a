"""The command line's goals: what is left of a board, and the table of rates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import xnorhw
from xnorhw.board import Budget, load_board


def test_a_sweep_is_a_table(xn: Any, small_model: Path) -> None:
    ended = xn("estimate", "--board", "pynq-z2", small_model, "--sweep")
    assert ended.code == 0
    head, rule, *lines = ended.out.splitlines()
    assert head.split() == ["cycles", "frames/s", "latency", "LUT", "FF", "BRAM36", "DSP", "fits"]
    assert set(rule) == {"-"}
    tree = json.loads(xn("estimate", "--board", "pynq-z2", small_model, "--sweep", "--json").out)
    points = tree["points"]
    assert lines[0].split()[0] == f"{points[0]['cycles_per_frame']:,}"
    assert len(points) == lines.index("")
    assert {"cycles_per_frame", "latency_cycles", "fps", "resources", "fits"} == set(points[0])
    whole = json.loads(xn("estimate", "--board", "pynq-z2", small_model, "--json").out)
    assert points[0]["cycles_per_frame"] == whole["cycles_per_frame"]


@pytest.mark.parametrize("ends", ["auto", "host", "chip"])
def test_a_sweep_of_what_fits_nowhere_says_by_how_much(small_model: Path, ends: Any) -> None:
    board = replace(load_board("pynq-z2"), budget=Budget(5300, 7300, 6), shell=Budget(5000, 7000, 5))
    model = xnorhw.load(small_model)
    with pytest.raises(xnorhw.XnorhwError, match="does not fit"):
        model.plan(board, ends=ends)
    points = model.trade_off(board, ends=ends).points
    assert points and not any(point.fits for point in points)


def test_a_sweep_takes_no_wish(xn: Any, small_model: Path) -> None:
    for wish in (("--target-fps", 100), ("--for", "area"), ("--folding", "f.json")):
        ended = xn("estimate", "--board", "pynq-z2", small_model, "--sweep", *wish)
        assert ended.code == 2
        assert "--sweep looks at all rates" in ended.err


def test_what_is_left_goes_where_it_is_told(xn: Any, small_model: Path) -> None:
    def figures(*options: Any) -> Any:
        return json.loads(xn("estimate", "--board", "pynq-z2", small_model, "--json", *options).out)

    quick, small = figures("--for", "latency"), figures("--for", "area")
    assert quick["fps"] == small["fps"]
    assert quick["latency_cycles"] <= small["latency_cycles"]
    assert quick["resources"]["lut"] >= small["resources"]["lut"]
    assert figures()["proof"] == quick["proof"]
    assert small["proof"]["goal"] == "area"
    assert "area" in xn("estimate", "--board", "pynq-z2", small_model, "--for", "area").out
    ended = xn("estimate", "--board", "pynq-z2", small_model, "--for", "area", "--folding", "f.json")
    assert ended.code == 2
    assert "a folding leaves nothing to choose" in ended.err


def test_a_build_keeps_the_rates_and_shows_them(xn: Any, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = xn("build", "--board", "pynq-z2", small_model, "-o", out, "--for", "area", "--verify", "none")
    assert ended.code == 0
    build = xnorhw.Build(out)
    assert build.plan.trade is not None
    assert build.plan.proof is not None
    assert build.plan.proof.goal == "area"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count('class="trade"') == 1
    assert "Rate against area" in page
    # the same chip from its own folding has the same number
    again = tmp_path / "again"
    options = ("--folding", out / "folding.json", "--verify", "none")
    assert xn("build", "--board", "pynq-z2", small_model, "-o", again, *options).code == 0
    numbers = [json.loads((f / "build.json").read_text())["build_hash"] for f in (out, again)]
    assert numbers[0] == numbers[1]
