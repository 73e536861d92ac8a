"""Generated sources: none of the rules is broken, and faults in them are seen."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.hls_rules import check
from tests.hls_rules.planted import rules
from tests.plan.code_cases import CASES
from tests.plan.full_cases import CASES as FULL_CASES
from tests.plan.graph_networks import CASES as GRAPHS
from tests.plan.networks import Conv, Layer, Linear, Pool, dense, digits, network, street_view
from xnorhw.board import load_board
from xnorhw.emit import hls
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import make_plan

FULL = {name: FULL_CASES[name] for name in ("first and last", "on codes")}
"""Integer weights on signs, in DSPs and in LUTs."""


def graph(name: str) -> IntGraph:
    """A network that shows what the name says."""
    if name in ("digits", "street_view", "dense"):
        return {"digits": digits, "street_view": street_view, "dense": dense}[name]()
    if name in CASES or name in GRAPHS or name in FULL:
        return (CASES | GRAPHS | FULL)[name]()[0]
    layers: dict[str, tuple[tuple[int, int, int], list[Layer], int]] = {
        "dilated": ((3, 9, 11), [Conv(8, dilation=(2, 2)), Linear(10)], 8),
        "strided": ((2, 11, 13), [Conv(8, (3, 2), stride=(2, 3)), Conv(4, (1, 1)), Linear(3)], 8),
        "padded": ((4, 7, 5), [Conv(12, pads=Pads(2, 1, 0, 2)), Pool((2, 2), (2, 2)), Linear(7)], 4),
        "pad of ones": ((3, 6, 6), [Conv(9, pads=Pads(1, 1, 1, 1), pad_value=1), Linear(5)], 1),
        "overlapping pool": ((3, 9, 9), [Conv(8), Pool((3, 3), (2, 2)), Conv(16, (2, 2)), Linear(4)], 8),
        "ceiling pool": ((2, 8, 8), [Conv(6), Pool((3, 3), (2, 2), Pads(1, 1, 1, 1), True), Linear(2)], 2),
        "ends in sums": ((3, 6, 6), [Conv(8), Conv(5)], 8),
        "one pixel": ((40, 1, 1), [Linear(24), Linear(3)], 1),
        "wide row": ((1, 3, 40), [Conv(8), Conv(8, (1, 3)), Linear(4)], 8),
    }
    shape, found, bits = layers[name]
    return network(shape, found, None if bits == 1 else code(bits, bits == 8))


NAMES = (
    *("digits", "street_view", "dense", "dilated", "strided", "padded", "pad of ones", "overlapping pool"),
    *("ceiling pool", "ends in sums", "one pixel", "wide row"),
    *CASES,
    *GRAPHS,
    *FULL,
)


@cache
def sources(name: str, fps: float | None = None) -> tuple[tuple[str, str], ...]:
    """What Vitis is given of a network's core."""
    made = graph(name)
    files = hls.files(make_plan(made, load_board("pynq-z2"), target_fps=fps), made, "accel")
    texts = {path.removeprefix("hls/"): text for path, text in files.items()}
    wanted = re.compile(r"[^/]*(?<!_tb)\.(cpp|h)")
    return tuple((path, text) for path, text in sorted(texts.items()) if wanted.fullmatch(path))


@pytest.mark.parametrize("name", NAMES)
def test_the_fastest_folding_keeps_the_rules(name: str) -> None:
    assert check(dict(sources(name))) == []


SLOW = [name for name in NAMES if name not in ("street_view", "dense") and name not in GRAPHS]


@pytest.mark.parametrize("name", [*SLOW, "groups", "input scales", "numbers"])
def test_a_slow_folding_keeps_the_rules(name: str) -> None:
    assert check(dict(sources(name, 50.0))) == []


DROPPED = re.compile(r"^ *#pragma HLS (?!INLINE|LOOP_FLATTEN|BIND_STORAGE|UNROLL).*\n", re.M)


def splits_nothing(pragma: str, before: str) -> bool:
    """Whether a pragma partitions a dimension of one element; ``before`` holds the array's declaration."""
    match = re.search(r"ARRAY_PARTITION variable=(\w+) .*dim=(\d)", pragma)
    if match is None:
        return False
    sizes = re.findall(rf"\b{match[1]}((?:\[\d+\])+)", before)[-1]
    dims = [int(size) for size in re.findall(r"\d+", sizes)]
    return max(dims if match[2] == "0" else dims[int(match[2]) - 1 :][:1]) == 1


@pytest.mark.parametrize("name", ["digits", "overlapping pool", "bases", "averages"])
def test_every_pragma_that_matters_is_missed(name: str) -> None:
    """One pragma of each kind is taken out at a time; UNROLL is implied by PIPELINE, others only tune."""
    texts = dict(sources(name, 2000.0))
    seen: set[str] = set()
    for file in ("accel.cpp", "accel_stages.cpp"):
        for match in DROPPED.finditer(texts[file]):
            pragma = match.group().strip()
            kind = file + re.sub(r"l\d+_|depth=\d+|distance=\d+", "", re.sub(r"variable=\w+_in", "", pragma))
            before = texts["accel_weights.h"] + texts[file][: match.start()]
            if kind in seen or splits_nothing(pragma, before):
                continue
            seen.add(kind)
            changed = {**texts, file: texts[file][: match.start()] + texts[file][match.end() :]}
            assert check(changed), f"{file} without {pragma}"
    assert len(seen) > 8


@pytest.mark.parametrize(
    ("rule", "file", "old", "new"),
    [
        ("stream-depth", "accel.cpp", r"depth=(\d+) type", r"depth=1 type"),
        ("pipeline", "accel_stages.cpp", r"II=1", "II=2"),
        ("flush", "accel_stages.cpp", r" style=flp", ""),
        ("flush", "accel_stages.cpp", r"rewind style=flp", "rewind style=stp"),
        (
            "carried-memory",
            "accel_stages.cpp",
            r" direction=RAW distance=\d+ dependent=true",
            " dependent=false",
        ),
        ("carried-memory", "accel_stages.cpp", r"distance=(\d+)", r"distance=1\1"),
        ("sum", "xh_popcount.h", r"sum \+= .*", "if (weights[lane]) { sum += code; } else { sum -= code; }"),
        ("carried", "accel_stages.cpp", r"accumulator\[pe\] = sum;", "accumulator[pe] = sum * 3;"),
        ("carried", "accel_stages.cpp", r"due = due \+ 1;", "due = due + out_x + 1;"),
        ("carried", "accel_stages.cpp", r"level \+ (\d+) :", r"(level + \1) % 64 :"),
        (
            "conditional",
            "accel_stages.cpp",
            r"( *)(target\.write\(result\);)",
            r"\n#ifdef __SYNTHESIS__\n\2\n#endif\n",
        ),
        (
            "nest",
            "accel_stages.cpp",
            r"\n    folds:\n",
            "\n    int turn = 0;\n    folds:\n",
        ),
        ("loop-bound", "accel_stages.cpp", r"position < \d+", "position < due"),
        (
            "stream-count",
            "accel_stages.cpp",
            r"target\.write\(result\);",
            "{ target.write(result); target.write(result); }",
        ),
        ("width", "accel_stages.cpp", r"ap_uint<\d+> line_slot", "ap_uint<4097> line_slot"),
    ],
)
def test_planted_faults(rule: str, file: str, old: str, new: str) -> None:
    assert_noticed("digits", rule, file, old, new)


@pytest.mark.parametrize(
    ("name", "rule", "old", "new"),
    [
        ("bases", "carried", r"added \+= weighted;", "added = added * 3 + weighted;"),
        ("bases", "stream-producer", r"if \(term == \d+\) target\.write\(result\);", ""),
        ("averages", "carried", r"sum \+= before;", "sum = sum + before * 3;"),
        ("codes of 2 bits", "carried", r"partial\[lane\] = most;", "partial[lane] = most / 3;"),
    ],
)
def test_planted_faults_in_codes(name: str, rule: str, old: str, new: str) -> None:
    assert_noticed(name, rule, "accel_stages.cpp", old, new)


JOINED = r"(accel_stages::(?:\w+_add|\w+_concat)\()(\w+), (\w+),"


STAGES = "accel_stages.cpp"


@pytest.mark.parametrize(
    ("name", "rule", "file", "old", "new"),
    [
        # a stream with two readers, and one with none
        ("residual", "stream-consumer", "accel.cpp", JOINED, r"\1\2, \2,"),
        # a stage that reads what one behind it writes
        ("residual", "feedback", "accel.cpp", r"(  accel_stages::\w+_fork\(.*\n)((?:.*\n)+?)(\})", r"\2\1\3"),
        ("residual", "stream-producer", STAGES, r"target1\.write\(value\);", ""),
        ("residual", "stream-count", STAGES, r"target1(\.write\(value\);)", r"target1\1 target1\1"),
        ("fire", "stream-consumer", STAGES, r"value = source1\.read\(\);", "value = source0.read();"),
        ("fire", "stream-count", STAGES, r"(value = source1\.read\(\);)", r"\1 \1"),
        ("input scales", "carried", STAGES, r"total \+= sum;", "total = total * 3 + sum;"),
        ("input scales", "carried", STAGES, r"held = factor;", "held = factor * factor;"),
    ],
)
def test_planted_faults_in_branches(name: str, rule: str, file: str, old: str, new: str) -> None:
    assert_noticed(name, rule, file, old, new)


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("sum", r"sum \+= product;", "if (product != 0) { sum += product; }"),
        ("pragma", r"impl=dsp", "impl=dsp48"),
        ("pragma", r" op=mul", ""),
        ("pragma-variable", r"BIND_OP variable=product", "BIND_OP variable=products"),
        ("pragma-variable", r"BIND_OP variable=product", "BIND_OP variable=missing"),
    ],
)
def test_planted_faults_in_products(rule: str, old: str, new: str) -> None:
    assert_noticed("on codes", rule, "xh_products.h", old, new)


# at its fastest no layer takes several turns
RATES = {"digits": 20_000.0}


def assert_noticed(name: str, rule: str, file: str, old: str, new: str) -> None:
    """The rules find ``old`` replaced by ``new`` in the sources of a network."""
    texts = dict(
        sources(name, RATES.get(name, 2000.0 if name in CASES else 50.0 if name in GRAPHS else None))
    )
    changed, count = re.subn(old, new, texts[file], count=1)
    assert count == 1, f"{file} has no {old}"
    assert rule in rules(check({**texts, file: changed}))
