"""The command line on networks with layers in full precision: snap, and build --approximate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xnorhw
from tests.command_line import refused
from xnorhw import nn as xnn


@pytest.fixture(scope="module")
def unsnapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose first layer is in full precision, its weights on no grid."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        xnn.FullConv2d(1, 4, 3, frac=6),
        torch.nn.BatchNorm2d(4),
        xnn.Sign(),
        torch.nn.Flatten(),
        xnn.BinaryLinear(64, 3),
    ).eval()
    path = tmp_path_factory.mktemp("full") / "trained.pt"
    samples = torch.randint(0, 256, (20, 1, 6, 6)).float().numpy()
    xnorhw.save(net, path, xnorhw.Input(shape=(1, 6, 6)), samples=samples, labels=np.zeros(20, int))
    return path


def test_snap_then_build(xn: Any, unsnapped: Path, tmp_path: Path) -> None:
    refused(
        xn("build", "--board", "pynq-z2", unsnapped, "-o", tmp_path / "out"), "grid of 2^-6", "xnorhw snap"
    )
    ended = xn("snap", unsnapped, "-o", tmp_path / "snapped.pt")
    assert ended.code == 0 and "before" in ended.out and "after" in ended.out
    tree = json.loads(xn("snap", unsnapped, "-o", tmp_path / "again.pt", "--frac", 9, "--json").out)
    assert tree["frames"] == 16 and [layer["frac"] for layer in tree["layers"]] == [9]
    ended = xn("build", "--board", "pynq-z2", tmp_path / "snapped.pt", "-o", tmp_path / "out")
    assert ended.code == 0 and "APPROXIMATE" not in ended.out
    before = unsnapped.read_bytes()
    refused(xn("snap", unsnapped, "-o", unsnapped), "take the place of", "another file")
    assert unsnapped.read_bytes() == before
    refused(xn("snap", tmp_path / "nothing.pt", "-o", tmp_path / "x.pt"), "nothing.pt")


def test_ends(xn: Any, unsnapped: Path, tmp_path: Path) -> None:
    assert xn("snap", unsnapped, "-o", tmp_path / "m.pt", "--full-bits", 8).code == 0
    found = {}
    for ends in ("auto", "host", "chip"):
        ended = xn("estimate", "--board", "pynq-z2", tmp_path / "m.pt", "--ends", ends, "--json")
        found[ends] = [layer["name"] for layer in json.loads(ended.out)["layers"]]
    assert found == {"auto": ["0", "4"], "host": ["4"], "chip": ["0", "4"]}
    out = tmp_path / "out"
    ended = xn(
        "build", "--board", "pynq-z2", tmp_path / "m.pt", "-o", out, "--ends", "host", "--verify", "none"
    )
    assert ended.code == 0 and json.loads((out / "build.json").read_text())["options"]["ends"] == "host"
    # a folding says by itself which layers are on the chip
    ended = xn("build", "--board", "pynq-z2", tmp_path / "m.pt", "-o", tmp_path / "chip")
    assert ended.code == 0
    folding = tmp_path / "chip/folding.json"
    ended = xn("estimate", "--board", "pynq-z2", tmp_path / "m.pt", "--folding", folding, "--json")
    assert [layer["name"] for layer in json.loads(ended.out)["layers"]] == ["0", "4"]
    xn("snap", unsnapped, "-o", tmp_path / "fine.pt", "--full-bits", 12)
    chip = ("estimate", "--board", "pynq-z2", tmp_path / "fine.pt", "--ends", "chip")
    refused(xn(*chip), "takes 12 bits", "--full-bits 8")
    assert "12 bits" not in xn(*chip[:-2]).err
    refused(xn("build", "--board", "cpu", tmp_path / "m.pt", "--ends", "chip"), "no ends", "--ends")
    assert xn("snap", unsnapped, "-o", tmp_path / "x.pt", "--full-bits", 8, "--frac", 4).code == 2


def test_approximate(xn: Any, unsnapped: Path, tmp_path: Path) -> None:
    ended = xn("build", "--board", "pynq-z2", unsnapped, "-o", tmp_path / "out", "--approximate")
    assert ended.code == 0 and ended.out.startswith("APPROXIMATE") and ended.out.count("APPROXIMATE") == 1
    assert json.loads((tmp_path / "out/verify.json").read_text())["approximate"]["layers"] == ["0"]
    refused(
        xn(
            "build",
            "--board",
            "pynq-z2",
            unsnapped,
            "-o",
            tmp_path / "no",
            "--approximate",
            "--verify",
            "none",
        ),
        "--verify golden",
    )
    assert not (tmp_path / "no").exists()
