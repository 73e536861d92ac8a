"""The emitted C++: its text, its names, what it refuses, and that it is the same for the same plan."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plan import code_networks
from tests.plan.graph_networks import GraphMaker, number
from tests.plan.networks import Conv, Linear, Pool, network
from xnorhw.board import load_board
from xnorhw.emit import hls
from xnorhw.emit.sim import observed_edges, stream_file
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph, Product
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, PoolFolding, make_plan
from xnorhw.plan.hls import hls_design
from xnorhw.plan.model import ForkUnit, Plan

GOLDEN = {
    name: Path(__file__).parent / f"{name.removesuffix('.cpp')}.golden.cpp"
    for name in ("accel.cpp", "accel_stages.cpp")
}
GOLDEN_CODES = Path(__file__).parent / "accel_stages_codes.golden.cpp"
GOLDEN_INTEGERS = Path(__file__).parent / "accel_stages_integers.golden.cpp"
GOLDEN_BRANCHES = {
    name: Path(__file__).parent / f"{name.removesuffix('.cpp')}_branches.golden.cpp" for name in GOLDEN
}
BRANCHES = r"\nvoid \w+_(fork|add|concat|abs_sum|multiply|pool0)\("
ROOT = Path(__file__).resolve().parents[2]
KEYWORDS = {"int", "for", "const", "void", "bool", "if", "else", "while", "return", "class", "template"}


def small() -> tuple[Plan, IntGraph]:
    """A padded convolution on codes, a pool, two linear layers: every kind of stage."""
    graph = network(
        (2, 4, 4),
        [Conv(3, pads=Pads(1, 1, 1, 1)), Pool(), Linear(5), Linear(2)],
        code(3, False),
        seed=3,
    )
    folding = Folding(
        (LayerFolding("layer0", 2, 2), LayerFolding("layer2", 2, 3), LayerFolding("layer3", 1, 5)),
        (PoolFolding("pool1", 2),),
    )
    return make_plan(graph, load_board("pynq-z2"), folding=folding), graph


@pytest.fixture(scope="module")
def built() -> tuple[Plan, IntGraph]:
    return small()


@pytest.mark.parametrize("name", GOLDEN)
def test_text_is_that_which_was_read_and_approved(built: tuple[Plan, IntGraph], name: str) -> None:
    """Refresh with XNORHW_REFRESH=1 and read the difference."""
    text = hls.files(*built)[f"hls/{name}"]
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN[name].write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN[name].read_text(encoding="utf-8")


def with_codes() -> tuple[Plan, IntGraph]:
    """Levels, a max-pool of codes, planes and terms, a multiplication, a sum pool, weights of two bits."""
    layers: list[code_networks.Layer] = [
        code_networks.Conv(3, codes=code_networks.Levels(3, "thermometer")),
        code_networks.Max(),
        code_networks.Conv(2, (1, 1), coefficients=(3, -1), planes=(0, 2), codes=code_networks.Multiply(5)),
        code_networks.Average(code_networks.Levels(2)),
        code_networks.Dense(2, coefficients=(1, 2)),
    ]
    graph, _ = code_networks.network((2, 6, 6), layers, code(4, False), seed=2)
    pairs = (("layer0", 2, 6), ("layer2", 1, 3), ("layer4", 2, 1))
    folding = Folding(
        tuple(LayerFolding(*pair) for pair in pairs), (PoolFolding("pool1", 2), PoolFolding("pool3", 1))
    )
    return make_plan(graph, load_board("pynq-z2"), folding=folding), graph


def test_text_of_codes_is_that_which_was_read_and_approved() -> None:
    text = hls.files(*with_codes())["hls/accel_stages.cpp"]
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN_CODES.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN_CODES.read_text(encoding="utf-8")


def with_integers() -> tuple[Plan, IntGraph]:
    """Integer weights on pixels in DSPs, on codes of two bits in LUTs, on signs."""
    levels, sign = code_networks.Levels, code_networks.Levels(1, "sign")
    layers: list[code_networks.Layer] = [
        code_networks.Conv(3, codes=levels(2), weight_bits=6),
        code_networks.Conv(2, (1, 1), codes=sign, weight_bits=3),
        code_networks.Conv(2, (1, 1), codes=sign),
        code_networks.Dense(2, weight_bits=8),
    ]
    graph, _ = code_networks.network((2, 4, 4), layers, code(8, True), seed=6)
    pairs = (("layer0", 2, 6), ("layer1", 1, 3), ("layer2", 1, 2), ("layer3", 2, 1))
    folding = Folding(tuple(LayerFolding(*pair) for pair in pairs))
    return make_plan(graph, load_board("pynq-z2"), folding=folding), graph


def test_text_of_integer_weights_is_that_which_was_read_and_approved() -> None:
    """Of the stages those that multiply; what adds them up stands in a header of its own."""
    files = hls.files(*with_integers())
    text = files["hls/accel_stages.cpp"]
    assert '#include "xh_products.h"\n' in text and "hls/xh_products.h" in files
    blocks = re.findall(r"^//[^\n]*\nvoid \w+\(.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    text = "\n".join(block for block in blocks if re.search(r"xh_(dsp|lut|sign)_sum<", block))
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN_INTEGERS.write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN_INTEGERS.read_text(encoding="utf-8")


def test_what_binary_weights_do_not_use_is_not_there(built: tuple[Plan, IntGraph]) -> None:
    files = hls.files(*built)
    assert "hls/xh_products.h" not in files and not any("xh_products" in text for text in files.values())


def with_branches() -> tuple[Plan, IntGraph]:
    """Codes concatenated with others, numbers added to codes and signs, sums times an input scale."""
    maker = GraphMaker((3, 4, 4), number(5), seed=5)
    maker.at(maker.scaled(2))
    few = maker.coded(code_networks.Levels(2))
    maker.conv(2, kernel=1)
    maker.at(maker.cat(few, maker.coded(code_networks.Levels(2)))).sign()
    signs = maker.last
    maker.conv(4, groups=2)
    maker.sum(maker.grid(5, 1), signs)
    maker.half("max")
    maker.grid(4)
    maker.sign()
    maker.dense(2)
    graph = maker.graph()
    return make_plan(graph, load_board("pynq-z2"), target_fps=50_000.0), graph


@pytest.fixture(scope="module")
def branched() -> tuple[Plan, IntGraph]:
    return with_branches()


@pytest.mark.parametrize("name", GOLDEN_BRANCHES)
def test_text_of_branches_is_that_which_was_read_and_approved(
    branched: tuple[Plan, IntGraph], name: str
) -> None:
    """Of the stages those that the other texts do not show."""
    text = hls.files(*branched)[f"hls/{name}"]
    if name == "accel_stages.cpp":
        blocks = re.findall(r"^//[^\n]*\nvoid \w+\(.*?^\}\n", text, re.MULTILINE | re.DOTALL)
        text = "\n".join(block for block in blocks if re.search(BRANCHES, block))
    if os.environ.get("XNORHW_REFRESH"):
        GOLDEN_BRANCHES[name].write_text(text, encoding="utf-8", newline="\n")
    assert text == GOLDEN_BRANCHES[name].read_text(encoding="utf-8")


def test_the_approved_text_shows_every_kind_of_stage(
    built: tuple[Plan, IntGraph], branched: tuple[Plan, IntGraph]
) -> None:
    kinds = {stage.kind for stage in hls_design(built[0]).stages}
    assert kinds == {"convert", "codes", "lines", "taps", "replay", "matrix", "pool"}
    more = hls_design(with_codes()[0]).stages
    assert {stage.kind for stage in more} >= {"planes", "terms", "levels", "requant", "sum_pool"}
    assert {stage.unit.bits for stage in more if stage.kind == "pool"} == {2}
    branches = hls_design(branched[0]).stages
    assert {s.kind for s in branches} >= {"fork", "add", "concat", "abs_sum", "multiply", "codes"}
    assert {s.unit.signed for s in branches if s.kind == "pool"} == {True}


def test_text_is_clean(built: tuple[Plan, IntGraph]) -> None:
    for path, text in hls.files(*built).items():
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert "\r" not in text and "\t" not in text, path
        assert not re.search(r"[ ]+$", text, re.MULTILINE), path
        assert "{%" not in text and "{{" not in text.replace("{{nullptr", ""), path
        assert text.isascii(), path


def test_what_vitis_reads_hides_nothing(built: tuple[Plan, IntGraph]) -> None:
    """No #ifdef but the headers' guards; the stand-ins lie apart."""
    for path, text in hls.files(*built).items():
        name = path.removeprefix("hls/")
        if "/" in name or not name.endswith((".h", ".cpp")):
            continue
        conditions = re.findall(r"^#\s*(?:if|ifdef|ifndef|elif|else)\b.*", text, re.MULTILINE)
        guard = re.sub(r"\W", "_", name).upper()
        assert conditions == ([f"#ifndef {guard}"] if name.endswith(".h") else []), path
        assert not re.search(r'#include "(sim/|\.\./|xh_(?!popcount|products))', text), path


def functions(text: str) -> list[str]:
    return re.findall(r"^void (\w+)\(", text, re.MULTILINE)


@pytest.mark.parametrize("network", ["built", "branched"])
def test_every_stage_is_declared_written_and_called_once(
    network: str, request: pytest.FixtureRequest
) -> None:
    plan, graph = request.getfixturevalue(network)
    files, design = hls.files(plan, graph), hls_design(plan)
    declared = functions(files["hls/accel_stages.h"])
    assert declared == functions(files["hls/accel_stages.cpp"])
    top = files["hls/accel.cpp"]
    calls = re.findall(r"^  accel_stages::(\w+)\(([\w, ]+)\);", top, re.MULTILINE)
    assert [name for name, _ in calls] == declared
    streams = re.findall(r"^  hls::stream<ap_uint<(\d+)>, (\d+)> (\w+)\(\"(\w+)\"\);", top, re.MULTILINE)
    assert [(int(w), int(d)) for w, d, _, _ in streams] == [(s.width, s.depth) for s in design.streams]
    names = [name for _, _, name, _ in streams]
    assert [said for *_, said in streams] == names and len(set(names)) == len(names)
    pragmas = re.findall(r"^#pragma HLS STREAM variable=(\w+) depth=(\d+) type=fifo$", top, re.MULTILINE)
    assert pragmas == [(variable, depth) for _, depth, variable, _ in streams]
    # each stream goes from one call to one behind it, as the design says
    named = dict(zip(design.streams, names, strict=True))
    named |= {design.stages[0].source: "s_axis", design.stages[-1].target: "m_axis"}
    passed = [[named[s] for s in (*stage.sources, *stage.targets)] for stage in design.stages]
    assert [arguments.split(", ") for _, arguments in calls] == passed


def test_observed_streams_are_the_plans(branched: tuple[Plan, IntGraph]) -> None:
    """Also those that a fork reads: a tensor is seen once, in front of its copies."""
    plan, _ = branched
    found = hls.observed_streams(plan)
    assert [one.file for one in found] == [stream_file(plan, name) for name in observed_edges(plan)]
    streams = dict(zip((one.stream for one in found), observed_edges(plan).values(), strict=True))
    assert len(streams) == len(found)
    forked = [one for one in found if isinstance(plan.unit(streams[one.stream].target), ForkUnit)]
    assert forked and all(one.stream.endswith("_fork_in") for one in forked)
    assert all(one.width == edge.stream.width for one, edge in zip(found, streams.values(), strict=True))


# --- names -------------------------------------------------------------------------------------


def renamed(plan: Plan, names: dict[str, str]) -> Plan:
    """The plan with other unit names."""
    units = tuple(dataclasses.replace(u, name=names.get(u.name, u.name)) for u in plan.units)
    edges = tuple(
        dataclasses.replace(e, source=names.get(e.source, e.source), target=names.get(e.target, e.target))
        for e in plan.edges
    )
    jobs = tuple(dataclasses.replace(j, unit=names.get(j.unit, j.unit)) for j in plan.jobs)
    return dataclasses.replace(plan, units=units, edges=edges, jobs=jobs)


ODD = (
    "é",
    "a.b",
    "a_b",
    "A_B",
    "a b",
    "1x",
    "features.0",
    "features_0",
    "x__y",
    "_z",
    "é_",
    "a-b",
    "a/b",
    "'",
)


def test_names_are_legal_and_stay_apart(
    built: tuple[Plan, IntGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, graph = built
    names = {unit.name: ODD[i % len(ODD)] + "~" * (i // len(ODD)) for i, unit in enumerate(plan.units)}
    # which layer a ROM belongs to is not of interest here
    monkeypatch.setattr(hls, "_roms", lambda *_: ())
    files = hls.files(renamed(plan, names), graph)
    found = functions(files["hls/accel_stages.h"])
    assert len(found) == len(hls_design(plan).stages)
    assert len({name.lower() for name in found}) == len(found)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in found)
    assert not KEYWORDS & set(found)
    assert found == functions(files["hls/accel_stages.cpp"])


def test_a_name_cannot_leave_its_comment(built: tuple[Plan, IntGraph]) -> None:
    plan, graph = built
    evil = 'x\n} /* "\\'
    layers = tuple(dataclasses.replace(x, name=evil) for x in plan.layers)
    edges = tuple(
        dataclasses.replace(e, stream=dataclasses.replace(e.stream, tensor=evil)) for e in plan.edges
    )
    jobs = tuple(dataclasses.replace(j, layer=evil) for j in plan.jobs)
    changed = dataclasses.replace(plan, layers=layers, edges=edges, jobs=jobs, board=evil, input_tensor=evil)
    plain = hls.files(plan, graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hls, "_roms", lambda *_: ())
        patch.setattr(hls, "stream_file", lambda *_: "x")
        for path, text in hls.files(changed, graph).items():
            if path.endswith((".cpp", ".h")) and "/sim/" not in path and "weights" not in path:
                assert code_lines(text) == code_lines(plain[path]), path


def code_lines(text: str) -> list[str]:
    """The text without its comments and blank lines."""
    lines = (re.sub(r"\s*//.*", "", line) for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("prefix", ["", "Accel", "9net", "net-1", "xh_core", "a b"])
def test_bad_prefix(built: tuple[Plan, IntGraph], prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        hls.files(*built, prefix)


def test_a_prefix_reaches_every_name(built: tuple[Plan, IntGraph]) -> None:
    """Two networks with two prefixes fit into one program."""
    files = hls.files(*built, "net7")
    assert not any("accel" in path for path in files)
    for path, text in files.items():
        if path.count("/") == 1 and path.endswith((".h", ".cpp", ".v")):
            assert "accel_" not in text and "ACCEL" not in text, path
    assert functions(files["hls/net7.cpp"]) == [hls.top_name("net7")]


# --- the same bytes, and what is refused -------------------------------------------------------


def digest() -> str:
    files = hls.files(*small())
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_plan_gives_the_same_bytes(seed: str) -> None:
    script = "from tests.emit.test_hls import digest; print(digest())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()


def test_weights_and_starts_are_those_of_the_graph(built: tuple[Plan, IntGraph]) -> None:
    """Read back from the text: the last layer, whose weights stand in it as they are."""
    plan, graph = built
    text = hls.files(plan, graph)["hls/accel_weights.h"]
    table = re.search(r"l2_mvu_weights\[1\]\[2\] = \{\s*\{([^}]*)\}", text)
    assert table, text
    rows = [int(word, 16) for word in table[1].split(", ")]
    op = graph.nodes[-1].op
    assert isinstance(op, Product)
    (term,) = op.terms
    weight = term.weight.reshape(2, 5)
    assert rows == [sum(int(w == 1) << i for i, w in enumerate(row)) for row in weight]


def test_too_wide_a_word_is_refused() -> None:
    graph = network((512, 4, 4), [Conv(1), Linear(1)])
    folding = Folding((LayerFolding("layer0", 1, 512), LayerFolding("layer1", 1, 1)))
    plan = make_plan(graph, load_board("zcu104"), folding=folding)
    with pytest.raises(FitError, match="4608 bits") as caught:
        hls.files(plan, graph)
    assert caught.value.module == "layer0" and caught.value.remedy
