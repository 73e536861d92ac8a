"""A build for the CPU alone: the same chain without an accelerator."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from tests.command_line import called, refused
from xnorhw import nn as xnn
from xnorhw.emit import folder as build_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    net = nn.Sequential(
        xnn.BinaryConv2d(3, 33, 3, padding=1, scale="channel"),
        nn.BatchNorm2d(33),
        xnn.Sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        xnn.BinaryLinear(33 * 9, 5, scale="channel"),
    ).eval()
    path = tmp_path_factory.mktemp("cpu") / "model.pt"
    frames = np.random.default_rng(0).integers(-8, 8, (6, 3, 6, 6)).astype(np.float32)
    xnorhw.save(net, path, xnorhw.Input((3, 6, 6), bits=4, signed=True), samples=frames)
    return path, frames


@pytest.fixture(scope="module")
def build(model, tmp_path_factory):
    return xnorhw.load(model[0]).build("cpu", tmp_path_factory.mktemp("out") / "out", verify="full", frames=8)


def test_every_link_that_a_cpu_has_runs_and_the_others_say_why(build):
    links = {link.name: link for link in build.verdict.links}
    assert [name for name, link in links.items() if link.ran] == ["golden", "c"]
    assert {links[name].why for name in ("hls", "rtl")} == {"the build is for the CPU alone"}
    assert build.verdict.passed and links["c"].values > 0


def test_the_folder_holds_the_c_and_nothing_of_a_chip(build):
    top = {path.name for path in build.folder.iterdir()}
    assert top >= {"build.json", "graph.npz", "host", "model.pt", "report.html", "report.json", "samples.npz"}
    assert not top & {"rtl", "hls", "rom", "vivado", "pynq", "plan.json", "folding.json"}
    report = json.loads((build.folder / "report.json").read_text())
    weights = 3 * 33 * 9 + 33 * 9 * 5
    assert report["board"] == "cpu"
    assert report["weights"] == {
        "binary_bits": weights,
        "float32_bytes": 4 * weights,
        "total_bytes": weights / 8,
        "ratio": 1 / 32,
    }
    assert not build_folder.edited(build.folder)


def test_the_forms_agree_and_a_chip_is_refused(build, model):
    frames = model[1]
    assert np.array_equal(build.predict(frames, on="c"), build.predict(frames))
    with pytest.raises(xnorhw.XnorhwError, match="for the CPU alone") as caught:
        build.predict(frames, on="rtl")
    assert "build for a board" in caught.value.remedy


def test_an_engine_that_computes_something_else_is_found(build, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(build.folder, folder, ignore=shutil.ignore_patterns("work"))
    network = folder / "host/engine/accel_network.c"
    text = network.read_text()
    network.write_text(re.sub(r"0x[0-9a-f]+", lambda m: hex(int(m[0], 16) ^ 1), text, count=1))
    with pytest.raises(xnorhw.VerifyError, match="c differs"):
        xnorhw.Build(folder).verify()


def test_on_the_command_line(model, tmp_path, capsys):
    path, frames = model
    out = tmp_path / "out"
    done = called(capsys, "build", "--board", "cpu", path, "-o", out)
    assert done.code == 0 and "For the CPU alone" in done.out
    np.save(tmp_path / "x.npy", frames)
    assert json.loads(called(capsys, "run", out, tmp_path / "x.npy", "--json").out)["on"] == "c"
    for option in (("--clock", "50"), ("--trim-fifos",)):
        done = called(capsys, "build", "--board", "cpu", path, "-o", out, *option)
        refused(done, "no clock", "no FIFOs")
