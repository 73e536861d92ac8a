"""``xnorhw import`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import xnorhw
from tests.command_line import called, refused
from tests.foreign.projects import binarynet
from tests.foreign.projects.common import trained

GREY = "1x28x28,mean=0.1307,std=0.3081"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.pth.tar"
    torch.save({"state_dict": trained(binarynet.Mnist(24)).state_dict(), "epoch": 9}, path)
    return path


def test_a_checkpoint_becomes_a_model(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.pt"
    ended = called(capsys, "import", checkpoint, "-o", out, "--input", GREY)
    assert ended.code == 0 and ended.err == ""
    for part in (
        "binarynet-pytorch",
        "as in its main_mnist.py",
        "sign(0)",
        "eps of the batch norms",
        "1e-05",
    ):
        assert part in ended.out
    assert xnorhw.load(out).graph.input == xnorhw.Input((1, 28, 28))
    assert called(capsys, "summary", out).code == 0
    first = out.read_bytes()
    called(capsys, "import", checkpoint, "-o", out, "--input", GREY)
    assert out.read_bytes() == first


def test_json_has_every_decision(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.pt"
    said = ("--sign0", "-1", "--pad", "+1", "--eps", "1e-3", "--from", "binarynet-pytorch", "--arch", "mnist")
    ended = called(capsys, "import", checkpoint, "-o", out, "--input", GREY, "--json", *said)
    tree = json.loads(ended.out)
    assert tree["kind"] == "binarynet-pytorch" and tree["model"] == str(out)
    decided = {d["what"]: (d["value"], d["why"]) for d in tree["decisions"]}
    assert decided["sign(0)"] == ("-1", "as --sign0 says")
    assert decided["padded taps"] == ("+1", "as --pad says")
    assert decided["eps of the batch norms"] == ("0.001", "as --eps says")
    assert decided["network"] == ("mnist", "as --arch says")
    assert decided["kind"][1] == "as --from says"


def test_what_is_open_is_asked_for(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.pt"
    refused(called(capsys, "import", checkpoint, "-o", out), "--input", "mean=M", "project's own script")
    assert not out.exists()
    refused(
        called(capsys, "build", "--board", "cpu", checkpoint, "-o", tmp_path / "out"),
        "--input",
        "xnorhw import",
    )
    refused(
        called(capsys, "import", checkpoint, "-o", out, "--input", GREY, "--no-recentre"), "--no-recentre"
    )
    refused(called(capsys, "import", checkpoint, "-o", out, "--input", GREY, "--from", "caffe"), "no kind")
    refused(called(capsys, "import", checkpoint, "-o", checkpoint, "--input", GREY), "take the place")
    refused(called(capsys, "import", checkpoint, "-o", tmp_path, "--input", GREY), "is a folder")
    refused(called(capsys, "import", checkpoint, "-o", ".", "--input", GREY), "is a folder")
    refused(called(capsys, "import", tmp_path / "absent", "-o", out), "cannot be read")


@pytest.mark.parametrize(
    "wrong", [("--sign0", "2"), ("--pad", "x"), ("--eps", "-1"), ("--eps", "nan"), ("--recentre",)]
)
def test_wrong_usage(
    wrong: tuple[str, ...], checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, "import", checkpoint, "-o", tmp_path / "m.pt", *wrong).code == 2


def test_an_imported_checkpoint_builds(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: a checkpoint, a model, a build for the CPU with its golden model verified."""
    model, out = tmp_path / "model.pt", tmp_path / "out"
    assert called(capsys, "import", checkpoint, "-o", model, "--input", GREY).code == 0
    assert called(capsys, "build", "--board", "cpu", model, "-o", out, "--frames", "4").code == 0
    assert json.loads((out / "verify.json").read_text())["mismatches"] == 0
