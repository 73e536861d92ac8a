"""The overlay package as it is emitted; how it drives a device is tested under pynq."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import pynq
from xnorhw.emit.store import Samples
from xnorhw.golden.codes import random_codes
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.serial import load_npz
from xnorhw.ir.types import BIPOLAR, IntType, code
from xnorhw.plan.engine import element_dtype
from xnorhw.plan.model import Plan

ROOT = Path(__file__).resolve().parent.parent.parent


def made(plan: Plan, graph: IntGraph, frames: int = 20) -> dict[str, bytes]:
    codes = random_codes(graph, frames, seed=4).astype(np.int32)
    sums = golden.run(graph, codes)[graph.output]
    samples = Samples(codes, 3, np.array([2, 0, 1]), sums)
    answers = pynq.Answers(sums, golden.scores(graph, sums))
    return pynq.files(graph, plan, load_board("pynq-z2"), samples, answers, 0x123456789ABCDEF0)


def test_same_bytes(plan: Plan, graph: IntGraph) -> None:
    first = made(plan, graph)
    assert first == made(plan, graph)
    assert list(first) == sorted(first)
    for name, data in first.items():
        assert str(ROOT).encode() not in data, name


def test_the_package_imports_nothing_of_xnorhw(plan: Plan, graph: IntGraph) -> None:
    """A board has NumPy and pynq; what is carried of xnorhw is imported from inside."""
    seen = set()
    for name, data in made(plan, graph).items():
        if not name.startswith("pynq/xnorhw_accel/") or not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(data, feature_version=(3, 10))):
            if isinstance(node, ast.Import):
                seen |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                seen.add(str(node.module))
    tops = {module.split(".")[0] for module in seen}
    assert "xnorhw" not in tops and "xnorhw_accel" in tops
    standard = (
        "__future__ collections contextlib ctypes dataclasses enum fcntl hashlib io json logging math "
        "operator os pathlib platform re shlex shutil subprocess tempfile time types typing warnings weakref"
    )
    assert tops <= {*standard.split(), "numpy", "pynq", "xnorhw_accel"}


def test_the_host_computes_with_golden_itself(plan: Plan, graph: IntGraph) -> None:
    text = made(plan, graph)["pynq/xnorhw_accel/reference/golden/run.py"].decode()
    source = (ROOT / "xnorhw/golden/run.py").read_text()
    assert text == source.replace("from xnorhw.ir.", "from xnorhw_accel.reference.ir.") != source


def test_description(plan: Plan, graph: IntGraph) -> None:
    files = made(plan, graph)
    tree = json.loads(files["pynq/xnorhw_accel/description.json"])
    assert tree["build_hash"] == "123456789abcdef0"
    assert tree["given"] == {
        "shape": [4, 2, 2],
        "chw": [4, 2, 2],
        "dtype": "int8",
        "low": -1,
        "high": 1,
        "bipolar": True,
        "scale": 1.0,
    }
    assert tree["input"] == {"chw": [4, 2, 2], "element_bits": 1, "bipolar": True, "beats": 1, "bytes": 8}
    assert tree["output"] == {"chw": [3, 2, 2], "element_bits": 32, "bipolar": False, "beats": 6, "bytes": 48}
    project = files["pynq/pyproject.toml"].decode()
    assert 'version = "1.0+123456789abcdef0"' in project
    assert '"pynq>=3.0,<4"' in project and "torch" not in project
    for group, module in (("lib", "ip"), ("overlays", "bitstream"), ("notebooks", "notebooks")):
        assert f'[project.entry-points."pynq.{group}"]\naccel = "xnorhw_accel.{module}"' in project


def test_sixteen_frames(plan: Plan, graph: IntGraph) -> None:
    tree, arrays = load_npz(made(plan, graph)["pynq/xnorhw_accel/samples.npz"])
    assert tree == {"real": 3} and arrays["labels"].tolist() == [2, 0, 1]
    assert arrays["inputs"].shape == (16, 4, 2, 2) and arrays["inputs"].dtype == np.int8
    assert arrays["sums"].shape == (16, 3, 2, 2) and arrays["sums"].dtype == np.int32
    assert arrays["scores"].shape == (16, 12) and arrays["scores"].dtype == np.float32
    few = load_npz(made(plan, graph, frames=5)["pynq/xnorhw_accel/samples.npz"])[1]
    assert len(few["inputs"]) == len(few["sums"]) == len(few["scores"]) == 5


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (BIPOLAR, "int8"),
        (code(8, False), "uint8"),
        (code(1, False), "uint8"),
        (code(8, True), "int8"),
        (code(2, True), "int8"),
        (code(12, True), "int16"),
        (code(15, False), "int16"),
        (code(16, False), "uint16"),
    ],
)
def test_input_dtype(kind: IntType, dtype: str) -> None:
    assert element_dtype(kind) == dtype


def test_the_readme_is_of_this_build(plan: Plan, graph: IntGraph) -> None:
    text = made(plan, graph)["pynq/README.md"].decode()
    assert "int8 [N, 4, 2, 2] -> classes [N]" in text and "123456789abcdef0" in text
    assert not re.search(r"[{}]{2}|%}", text)


def test_the_environments_are_apart() -> None:
    """pynq and torch want different versions of NumPy: neither environment holds the other's package."""
    held = {name for name in ("pynq", "torch") if importlib.util.find_spec(name)}
    assert held == {"torch"}
