"""The report: its figures are the plan's, its page is whole and says where each comes from."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import xnorhw
from tests.plan.full_cases import first_and_last
from xnorhw.board import load_board
from xnorhw.emit.report import FullLayer, Report, make_report, report_json, report_text
from xnorhw.emit.report_page import report_html
from xnorhw.emit.store import plan_bytes, read_build
from xnorhw.emit.svg import Bar, Stage, bars, pipeline
from xnorhw.emit.trimmed import trimmed_text
from xnorhw.ir.int_graph import FullProduct, IntGraph, Product
from xnorhw.plan.ends import Ends, placed, plan_ends
from xnorhw.plan.model import Plan
from xnorhw.plan.trim import least_depths, with_depths

ORDER = ("golden", "rom", "c", "hls", "rtl")
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that every element is closed; collects text and classes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.classes: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += (dict(attrs).get("class") or "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += (dict(attrs).get("class") or "").split()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> in line {self.getpos()[0]} closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def model(small_model: Path) -> xnorhw.Model:
    return xnorhw.load(small_model)


@pytest.fixture(scope="module")
def build(small_build: Path) -> xnorhw.Build:
    return xnorhw.Build(small_build)


def page(model: xnorhw.Model, build: xnorhw.Build, verdict: Any, **changes: Any) -> str:
    report = dataclasses.replace(build.report, **changes)
    design = read_build(build.folder).design
    return report_html(report, build.graph, build.plan, model.summary(), design, verdict).decode()


def test_the_block_design_is_drawn_and_listed(model: xnorhw.Model, build: xnorhw.Build) -> None:
    design = read_build(build.folder).design
    assert design is not None
    text = page(model, build, None)
    for cell in design.cells:
        assert f">{cell.name}</text>" in text
    assert text.count('class="wire') == len(design.interfaces)
    for segment in design.segments:
        assert segment.name in text and f"0x{segment.offset:08X}" in text


def test_figures_are_the_plans(build: xnorhw.Build, small_build: Path) -> None:
    tree = json.loads((small_build / "report.json").read_text())
    assert report_json(build.report) == (small_build / "report.json").read_bytes()
    figures = build.plan.figures
    for name in ("cycles_per_frame", "bound_cycles", "latency_cycles", "fps", "lanes"):
        assert tree[name] == getattr(figures, name)
        assert tree["sources"][name] == "formula"
    assert tree["resources"]["lut"] == figures.resources.lut
    assert tree["board"] == "pynq-z2" and tree["build_hash"] == f"{build.report.build_hash:016x}"
    weights = tree["weights"]
    assert weights["binary_bits"] == 774 and weights["float32_bytes"] == 4 * 774
    roms = sum(layer["rom_bits"] for layer in tree["layers"])
    assert weights["total_bytes"] == -(-roms // 8) and roms >= 774
    assert [layer["name"] for layer in tree["layers"]] == ["1", "4", "9"]
    for layer in tree["layers"]:
        assert 0 < layer["efficiency"] <= 1
        busy = layer["pe"] * layer["simd"] * layer.get("pixels", 1) * figures.cycles_per_frame
        assert layer["efficiency"] == pytest.approx(layer["macs"] / busy)


def test_rom_bits_are_those_of_the_files(build: xnorhw.Build, small_build: Path) -> None:
    """The honest total counts what lies in rom/, words times their width, and what is built into adders."""
    from xnorhw.plan.model import Memory, StartRom, WeightRom

    bits = 0
    for unit in build.plan.units:
        if isinstance(unit, WeightRom | StartRom):
            if isinstance(unit, WeightRom) and unit.memory is Memory.LEAF:
                bits += unit.width * unit.depth
                continue
            # the emitters put a prefix before the plan's name for the file
            (path,) = (small_build / "rom").glob(
                f"*{unit.file.removesuffix('.mem').removeprefix('accel')}.mem"
            )
            words = [line for line in path.read_text().splitlines() if not line.startswith("//")]
            bits += unit.width * len(words)
    assert sum(layer.rom_bits for layer in build.report.layers) == bits


def test_page_is_whole(model: xnorhw.Model, build: xnorhw.Build) -> None:
    text = page(model, build, None)
    parsed = Page(text)
    assert not re.search(r"""(?:src|href)=|@import|url\((?!#)""", text), "the page is self-contained"
    assert "not run" in parsed.text
    assert parsed.classes.count("matrix") == 2 and parsed.classes.count("last") == 1
    assert parsed.classes.count("pool") == 1 and "rule" in parsed.classes
    for number in (build.report.cycles_per_frame, build.report.bound_cycles):
        assert f"{number:,}" in parsed.text
    assert parsed.text.count("formula") >= 6


def test_page_shows_the_verdict(model: xnorhw.Model, build: xnorhw.Build, small_build: Path) -> None:
    verdict = json.loads((small_build / "verify.json").read_text())
    text = Page(page(model, build, verdict)).text
    assert f"{verdict['values']:,}" in text and "none differs" in text
    assert "not run: " + verdict["not_run"]["rtl"] in text
    places = [page(model, build, verdict).index(f"<tr><td>{link}</td>") for link in ORDER]
    assert places == sorted(places) and set(ORDER) == set(verdict["chain"])
    assert (small_build / "report.html").read_text() == page(model, build, verdict)
    simulated = {**verdict, "cycles_per_frame": 1234.5, "latency_cycles": 777}
    text = Page(page(model, build, simulated)).text
    assert "1,234.5" in text and "777" in text and "simulated" in text


def test_page_shows_a_mismatch(model: xnorhw.Model, build: xnorhw.Build, small_build: Path) -> None:
    verdict = json.loads((small_build / "verify.json").read_text())
    verdict.update(mismatches=7, first_difference={"text": "golden: 3, channel 1 is 1, expected -1"})
    verdict["links"]["golden"]["mismatches"] = 7
    parsed = Page(page(model, build, verdict))
    assert "7 differ" in parsed.text and "channel 1 is 1, expected -1" in parsed.text
    assert "none differs" not in parsed.text and "bad" in parsed.classes


def test_names_are_escaped(model: xnorhw.Model, build: xnorhw.Build) -> None:
    text = page(model, build, None, board="<script>alert(1)</script>")
    assert "<script>" not in text and "&lt;script&gt;" in text
    drawn = bars([Bar("<b>", ((1.0, "x"),))]) + pipeline([Stage("<b>", "pool", ("<i>",))])
    assert "<b>" not in drawn and "<i>" not in drawn


def test_rounding_dependent_channels_are_listed(model: xnorhw.Model, build: xnorhw.Build) -> None:
    text = Page(page(model, build, None, rounding_dependent=(("3", 5), ("3", 2)))).text
    assert "3[5], 3[2]" in text


def test_trimmed_buffers_are_listed(model: xnorhw.Model, build: xnorhw.Build, tmp_path: Path) -> None:
    plan = with_depths(build.plan, least_depths(build.plan))
    report = make_report(build.graph, plan, 1)
    assert report.to_json()["trimmed"]["buffers"] == [
        {"name": t.name, "planned": t.planned, "depth": t.depth} for t in plan.trimmed
    ]
    assert "trimmed" not in build.report.to_json() and "rings and FIFOs" not in report_text(build.report)
    for text in (report_text(report), Page(page(model, build, None, trimmed=plan.trimmed)).text.lower()):
        assert trimmed_text(plan.trimmed).lower() in text.lower()
    # what a build keeps of it can be read again
    folder = shutil.copytree(build.folder, tmp_path / "out")
    (folder / "plan.json").write_bytes(plan_bytes(plan))
    assert read_build(folder).plan == plan


def test_bars_are_to_scale() -> None:
    drawn = bars([Bar("a", ((50.0, "x"), (25.0, "y")), marker=50.0), Bar("b", ((100.0, "x"),))], rule=100)
    widths = [float(w) for w in re.findall(r'width="([\d.]+)"', drawn)]
    assert widths[1] == pytest.approx(widths[0] / 2, abs=0.1)
    assert widths[2] == pytest.approx(2 * widths[0], abs=0.1)


def test_same_numbers_same_bytes(model: xnorhw.Model, build: xnorhw.Build) -> None:
    first = make_report(build.graph, build.plan, 1)
    assert report_json(first) == report_json(make_report(build.graph, build.plan, 1))
    assert page(model, build, None) == page(model, build, None)


def test_an_approximate_build_says_so_first(model: xnorhw.Model, build: xnorhw.Build) -> None:
    from xnorhw.check import Approximation, Link, Verdict

    link = Link("golden", "torch and NumPy", "", 1, 10, 0)
    found = Approximation(("first", "last"), 200, 3)
    verdict = Verdict(1, 0, 1, (link,), None, (), 0, (), (), approximation=found).to_json()
    text = Page(page(model, build, verdict)).text
    assert "3 of 200 decisions (1.50 %) differ" in text
    assert text.index("APPROXIMATE") < text.index(f"{build.report.board} at")
    assert verdict["approximate"]["share"] == 0.015
    exact = Verdict(1, 0, 1, (link,), None, (), 0, (), ()).to_json()
    assert exact["approximate"] is None and "APPROXIMATE" not in page(model, build, exact)
    older = {k: v for k, v in exact.items() if k != "approximate"}
    assert "APPROXIMATE" not in page(model, build, older)


def test_layers_on_the_host_are_named(model: xnorhw.Model, build: xnorhw.Build) -> None:
    assert build.report.on_host == () and "On the host" not in page(model, build, None)
    assert build.report.to_json()["on_host"] == []
    text = page(model, build, None, on_host=("first", "last"))
    assert "On the host, and in none of these figures: first, last (full precision)." in text
    changed = dataclasses.replace(build.report, on_host=("first", "last"))
    assert report_text(changed).endswith("none of these figures: first, last (full precision).")


# --- layers in full precision -------------------------------------------------------------------


def full_report(ends: Ends) -> tuple[Report, IntGraph, Plan]:
    """Of a network whose first and last layers have integer weights of 8 bits."""
    graph, _ = first_and_last()
    board = load_board("pynq-z2")
    plan = plan_ends(graph, board, ends)
    marked = placed(graph, plan)
    return make_report(marked, plan, 0), marked, plan


def test_integer_weights_are_counted_with_their_bits() -> None:
    report, graph, plan = full_report("chip")
    sizes = {n.output.name: n.op.weight.size for n in graph.nodes if isinstance(n.op, FullProduct)}
    (binary,) = (n.op.terms[0].weight.size for n in graph.nodes if isinstance(n.op, Product))
    weights = report.to_json()["weights"]
    bits = 8 * sum(sizes.values())
    assert weights["integer_bits"] == bits and weights["binary_bits"] == binary
    assert weights["float32_bytes"] == 4 * (binary + sum(sizes.values()))
    assert weights["ratio"] == (binary + bits) / (8 * weights["float32_bytes"])
    assert weights["total_bytes"] * 8 >= binary + bits
    for layer in report.layers:
        assert layer.bits_a_weight == (8 if layer.name in sizes else 1)
        assert layer.rom_bits >= layer.weight_bits == layer.bits_a_weight * math.prod(layer.weight_shape)
    # a DSP a lane of the first layer, whose codes have 8 bits; the last one's are signs
    first, middle, last = report.layers
    assert first.resources.dsp == first.pe * first.simd == report.resources.dsp > 0
    assert middle.resources.dsp == last.resources.dsp == 0


def test_full_layers_say_where_they_run_and_why() -> None:
    report, graph, plan = full_report("chip")
    macs = {x.name: x.macs for x in report.layers}
    wanted = [FullLayer(name, "chip", 8, macs[name], "") for name in ("layer0", "layer2")]
    assert list(report.full_layers) == wanted and report.on_host == ()
    text = report_text(report)
    assert "In full precision on the chip: layer0 (8 bits), layer2 (8 bits)." in text
    assert "On the host" not in text and re.search(r"^layer +weights +bits .* DSP +memory$", text, re.M)
    hosted, *_ = full_report("host")
    assert hosted.on_host == ("layer0", "layer2")
    assert [(x.where, x.macs) for x in hosted.full_layers] == [("host", x.macs) for x in wanted]
    text = report_text(hosted)
    assert "On the host, and in none of these figures: layer0, layer2 (full precision)." in text
    for layer in hosted.full_layers:
        assert layer.reason and f"  {layer.name}: {layer.reason}" in text
    assert "on the chip" not in text and not re.search(r" bits | DSP +memory", text.splitlines()[0])
    tree = json.loads(report_json(hosted))
    assert tree["full_layers"] == [vars(x) for x in hosted.full_layers]


def test_the_page_shows_full_layers(model: xnorhw.Model) -> None:
    for ends in ("chip", "host"):
        report, graph, plan = full_report(ends)
        parsed = Page(report_html(report, graph, plan, model.summary(), None, None).decode())
        assert f"the {ends}" in parsed.text and "Layers in full precision" in parsed.text
        assert all(x.reason in parsed.text for x in report.full_layers)
        assert ("bits of integer weights" in parsed.text) == (ends == "chip")


def test_a_network_without_full_layers_says_nothing_of_them(
    model: xnorhw.Model, build: xnorhw.Build, small_build: Path
) -> None:
    tree = json.loads((small_build / "report.json").read_text())
    assert "full_layers" not in tree and "integer_bits" not in tree["weights"]
    for text in (page(model, build, None), report_text(build.report)):
        assert "full precision" not in text
