"""``xnorhw calibrate``: a trained network with real activations becomes one of codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from tests.command_line import called, refused
from xnorhw import nn as xnn


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A Binary-Weight-Network in whose hidden layers no activation is binary."""
    torch.manual_seed(0)
    net = nn.Sequential(
        xnn.BinaryConv2d(1, 8, 3, padding=1, scale="channel"),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        xnn.BinaryConv2d(8, 8, 3, scale="channel"),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        xnn.BinaryLinear(8 * 9, 5, scale="channel"),
    )
    frames = torch.randint(-8, 8, (64, 1, 8, 8)).float()
    net(frames)
    path = tmp_path_factory.mktemp("calibrate") / "trained.pt"
    declared = xnorhw.Input((1, 8, 8), bits=4, signed=True)
    classes = np.arange(16) % 5
    xnorhw.save(net.eval(), path, declared, samples=frames[:16].numpy(), labels=classes)
    return path, frames.numpy()


def test_without_it_the_build_names_the_activation_and_the_way_out(trained, tmp_path, capsys):
    ended = called(capsys, "build", "--board", "cpu", trained[0], "-o", tmp_path / "out")
    refused(ended, "calibrate", "ReLU")
    assert not (tmp_path / "out").exists()


def test_the_calibrated_file_builds(trained, tmp_path, capsys):
    out = tmp_path / "codes.pt"
    tree = json.loads(called(capsys, "calibrate", trained[0], "--bits", 4, "-o", out, "--json").out)
    assert [a["name"] for a in tree["activations"]] == ["2", "6"] and tree["frames"] == 16
    graph = xnorhw.load(out).integer
    assert [graph.tensor(name).type.bits for name in ("2", "6")] == [4, 4]
    build = xnorhw.load(out).build("cpu", tmp_path / "out")
    assert build.verdict.passed


def test_data_and_labels(trained, tmp_path, capsys):
    np.save(tmp_path / "x.npy", trained[1])
    np.save(tmp_path / "y.npy", np.zeros(64, np.int64))
    out = tmp_path / "codes.pt"
    arguments = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "-o", out)
    ended = called(capsys, "calibrate", trained[0], *arguments)
    assert ended.code == 0 and out.is_file() and "64" in ended.out
    refused(called(capsys, "calibrate", trained[0], "-o", trained[0]), "trained model")
    assert called(capsys, "calibrate", trained[0], "--labels", tmp_path / "y.npy", "-o", out).code == 2


def test_inputs_and_labels_that_the_network_does_not_take(trained, tmp_path, capsys):
    np.save(tmp_path / "x.npy", trained[1])
    np.save(tmp_path / "wide.npy", 100 * trained[1])
    np.save(tmp_path / "y.npy", np.full(64, 29))
    out = tmp_path / "codes.pt"
    refused(called(capsys, "calibrate", trained[0], "--data", tmp_path / "wide.npy", "-o", out), "samples")
    data = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "-o", out)
    refused(called(capsys, "calibrate", trained[0], *data), "29")
    assert not out.exists()
