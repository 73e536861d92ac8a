"""The picture and the table of rates against area."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.plan.networks import digits
from xnorhw.board import load_board
from xnorhw.emit.report import proof_text
from xnorhw.emit.trade import trade_json, trade_picture, trade_text
from xnorhw.plan import make_plan, trade_off
from xnorhw.plan.model import Plan, Proof, Resources, Trade

BOARD = load_board("pynq-z2")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plan() -> Plan:
    graph = digits()
    return replace(make_plan(graph, BOARD, target_fps=20_000.0), trade=trade_off(graph, BOARD, points=8))


def drawn(plan: Plan) -> ElementTree.Element:
    picture = trade_picture(plan)
    assert picture is not None
    return ElementTree.fromstring(picture)


def marks(root: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    found = [c for c in root.iter(f"{SVG}circle") if c.attrib["class"].split()[0] == kind]
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in found]


def test_every_point_is_drawn_where_it_belongs(plan: Plan) -> None:
    assert plan.trade is not None
    points = plan.trade.points
    root = drawn(plan)
    for kind in ("lut", "bram36"):
        places = marks(root, kind)
        assert len(places) == len(points)
        # faster is to the right, more is further up
        assert [x for x, _ in places] == sorted((x for x, _ in places), reverse=True)
        by_cost = sorted(range(len(points)), key=lambda i: getattr(points[i].resources, kind))
        heights = [places[i][1] for i in by_cost]
        assert heights == sorted(heights, reverse=True)
    (at, _), _ = marks(root, "chosen")
    faster = [x for (x, _), p in zip(marks(root, "lut"), points, strict=True) if p.fps > plan.figures.fps]
    slower = [x for (x, _), p in zip(marks(root, "lut"), points, strict=True) if p.fps < plan.figures.fps]
    assert max(slower) <= at <= min(faster)


def test_limits_lie_between_nothing_and_the_board(plan: Plan) -> None:
    lines = {e.attrib["class"]: float(e.attrib["y1"]) for e in drawn(plan).iter(f"{SVG}line")}
    assert lines["board"] < lines["limit lut"] < 320 - 44
    assert lines["board"] < lines["limit bram36"] < 320 - 44


def test_what_does_not_fit_is_hollow(plan: Plan) -> None:
    assert plan.trade is not None
    misfit = replace(plan.trade.points[0], fits=False)
    changed = replace(plan, trade=Trade(plan.trade.limits, (misfit, *plan.trade.points[1:])))
    over = [c for c in drawn(changed).iter(f"{SVG}circle") if "over" in c.attrib["class"]]
    before = [c for c in drawn(plan).iter(f"{SVG}circle") if "over" in c.attrib["class"]]
    misfits = [point for point in plan.trade.points if not point.fits]
    assert len(before) == 2 * len(misfits)
    assert len(over) == len(before) + 2 * plan.trade.points[0].fits


def test_nothing_is_drawn_of_nothing(plan: Plan) -> None:
    assert trade_picture(replace(plan, trade=None)) is None
    assert trade_picture(replace(plan, trade=Trade(Resources(), ()))) is None
    assert plan.trade is not None
    drawn(replace(plan, trade=Trade(plan.trade.limits, plan.trade.points[:1])))


def test_the_table_has_a_line_a_point(plan: Plan) -> None:
    assert plan.trade is not None
    lines = trade_text(plan.trade).splitlines()
    for line, point in zip(lines[2:], plan.trade.points, strict=False):
        cells = re.split(r"\s{2,}", line.strip())
        assert cells[0] == f"{point.cycles_per_frame:,}"
        assert cells[3] == f"{point.resources.lut:,.0f}"
        assert cells[-1] == ("yes" if point.fits else "no")
    assert "formulas, not measurements" in lines[-1]
    tree = json.loads(json.dumps(trade_json(plan.trade)))
    assert tree["points"][0]["resources"]["lut"] == plan.trade.points[0].resources.lut
    assert tree["source"] == "formula"


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (Proof("area", 100, 0.0), "frame rate: proven best; area: proven least"),
        (
            Proof("latency", 96, None),
            "frame rate: within 4.2 % of the bound (no folding that fits takes fewer than 96 cycles); "
            "what was left of the board then bought latency, without a bound",
        ),
        (Proof("area", 0, 0.0301), "area: within 3.1 % of the bound"),
    ],
)
def test_a_proof_in_words(proof: Proof, words: str) -> None:
    assert proof_text(proof, 100) == words
