"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xnorhw
from tests.command_line import Ended, refused
from xnorhw.cli import cli

ROOT = Path(__file__).resolve().parent.parent
VERBS = [
    "boards",
    "build",
    "calibrate",
    "doctor",
    "estimate",
    "export",
    "import",
    "run",
    "snap",
    "summary",
    "train",
    "train digits",
    "verify",
    "zoo",
]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(xn: Any, verb: str) -> None:
    ended = xn(*verb.split(), "--help")
    assert ended.code == 0
    assert "Example" in ended.out and f"xnorhw {verb}" in ended.out


def test_verbs_are_listed() -> None:
    train = cli.commands["train"]
    found = {*cli.commands, *(f"train {name}" for name in train.list_commands(None))}  # type: ignore[attr-defined]
    assert found == set(VERBS)


def test_version(xn: Any) -> None:
    assert xn("--version").out == f"xnorhw {xnorhw.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["build"],
        ["build", "x.pt"],
        ["build", "x.pt", "--board", "pynq-z2", "--verify", "some"],
        ["build", "x.pt", "--board", "pynq-z2", "--frames", "0"],
        ["build", "x.pt", "--board", "pynq-z2", "--target-fps", "9", "--folding", "f.json"],
        ["build", "x.pt", "--board", "pynq-z2", "--target-fps", "fast"],
        ["verify", "out", "--labels", "y.npy"],
        ["run", "out"],
        ["run", "out", "x.npy", "--on", "fpga"],
    ],
)
def test_wrong_usage(xn: Any, arguments: list[str]) -> None:
    ended = xn(*arguments)
    assert ended.code == 2 and "Usage: " in ended.err and ended.out == ""


# --- what comes out --------------------------------------------------------------------------


def test_summary(xn: Any, small_model: Path) -> None:
    text = xn("summary", small_model).out
    assert "BinaryConv2d" in text and "774 of 1 bit" in text
    tree = json.loads(xn("summary", small_model, "--json").out)
    assert tree["binary_bits"] == 774 and [x["name"] for x in tree["layers"]][0] == "0"


def test_boards(xn: Any) -> None:
    names = [tree["name"] for tree in json.loads(xn("boards", "--json").out)]
    assert names == xnorhw.boards() and "pynq-z2" in names
    assert all(name in xn("boards").out for name in names)


def test_doctor(xn: Any) -> None:
    tools = {tool["name"]: tool for tool in json.loads(xn("doctor", "--json").out)}
    assert torch.__version__.startswith(tools["torch"]["found"])
    assert "verilator" in tools and "g++" in tools
    assert "torch" in xn("doctor").out


def test_estimate_writes_nothing(xn: Any, small_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tree = json.loads(xn("estimate", "--board", "pynq-z2", small_model, "--json").out)
    keys = {"board", "clock_mhz", "cycles_per_frame", "bound_cycles", "latency_cycles", "fps", "lanes"}
    assert keys | {"resources", "weights"} <= set(tree)
    assert set(tree["resources"]) == {"lut", "ff", "bram36", "uram", "dsp"}
    assert set(tree["weights"]) == {"binary_bits", "float32_bytes", "total_bytes", "ratio"}
    assert tree["weights"]["binary_bits"] == 774 and tree["weights"]["ratio"] == 1 / 32
    assert tree["fps"] == pytest.approx(tree["clock_mhz"] * 1e6 / tree["cycles_per_frame"])
    slow = json.loads(xn("estimate", "--board", "pynq-z2", "--target-fps", 1000, small_model, "--json").out)
    assert 1000 <= slow["fps"] < tree["fps"] and slow["resources"]["lut"] < tree["resources"]["lut"]
    assert "frames/s" in xn("estimate", "--board", "kv260", "--clock", 150, small_model).out
    assert os.listdir(tmp_path) == []


def test_build_and_run(xn: Any, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = xn("build", "--board", "pynq-z2", small_model, "-o", out, "--frames", 12, "--json")
    assert ended.code == 0
    report = json.loads((out / "report.json").read_text())
    tree = json.loads(ended.out)
    assert tree["folder"] == str(out) and tree["report"] == report
    assert tree["verdict"] == json.loads((out / "verify.json").read_text())
    text = xn("build", "--board", "pynq-z2", small_model, "-o", out).out
    assert "no values differ" in text and "not asked for" in text and f"{out}/report.html" in text
    assert "links" not in xn("build", "--board", "pynq-z2", small_model, "-o", out, "--verify", "none").out
    xn("build", "--board", "pynq-z2", small_model, "-o", out)
    samples = xnorhw.load(small_model).samples
    np.save(tmp_path / "x.npy", samples)
    tree = json.loads(xn("run", out, tmp_path / "x.npy", "--on", "golden", "--json").out)
    expected = xnorhw.Build(out).predict(samples)
    assert tree["on"] == "golden"
    np.testing.assert_array_equal(np.float32([f["scores"] for f in tree["frames"]]), expected)
    assert [f["class"] for f in tree["frames"]] == expected.argmax(axis=1).tolist()
    np.save(tmp_path / "one.npy", samples[0])
    assert xn("run", out, tmp_path / "one.npy", "--on", "golden").out.startswith("frame 0: class ")


def test_run_takes_images(xn: Any, small_build: Path, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (6, 6)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.save(tmp_path / "x.npy", pixels[None])
    outputs = [xn("run", small_build, tmp_path / name, "--on", "golden").out for name in ("x.png", "x.npy")]
    assert outputs[0] == outputs[1] != ""
    Image.fromarray(pixels[:5]).save(tmp_path / "small.png")
    refused(xn("run", small_build, tmp_path / "small.png", "--on", "golden"), "1 x 5 x 6", "1 x 6 x 6")
    (tmp_path / "text.png").write_text("no image")
    refused(xn("run", small_build, tmp_path / "text.png", "--on", "golden"), "neither an image nor")


def test_verify_takes_data(xn: Any, small_build: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The links that need no simulator, on the user's own frames and labels."""
    from xnorhw import check

    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    real = check.verify_build
    monkeypatch.setattr(check, "verify_build", lambda stored, level, **o: real(stored, "golden", **o))
    build = xnorhw.Build(out)
    samples = np.random.default_rng(8).integers(0, 256, (7, 1, 6, 6)).astype(np.uint8)
    np.save(tmp_path / "x.npy", samples)
    np.save(tmp_path / "y.npy", build.predict(samples).argmax(axis=1))
    arguments = ["verify", out, "--data", tmp_path / "x.npy", "--labels", tmp_path / "y.npy"]
    tree = json.loads(xn(*arguments, "--json").out)
    assert tree["frames"] == 7 and tree["mismatches"] == 0
    assert {(a["form"], a["right"]) for a in tree["accuracy"]} == {("torch", 7), ("golden", 7)}
    assert "golden: 7 of 7 labelled frames right" in xn(*arguments).out
    frames = tmp_path / "frames"
    frames.mkdir()
    for i, frame in enumerate(samples[:3]):
        np.save(frames / f"{i}.npy", frame)
    assert json.loads(xn("verify", out, "--data", frames, "--json").out)["frames"] == 3
    assert json.loads(xn("verify", out, "--frames", 20, "--json").out)["random_frames"] == 10
    np.save(tmp_path / "y.npy", np.zeros(3, int))
    refused(xn(*arguments), "3 labels for 7 frames")
    np.save(tmp_path / "y.npy", np.zeros((7, 2)))
    refused(xn(*arguments), "labels", "float64")
    np.save(tmp_path / "y.npy", np.array([0, 1, 2, 3, 0, 1, 77]))
    refused(xn(*arguments), "labels hold 77", "classes 0 to 3")


def test_run_on_an_edited_build_warns(xn: Any, small_build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    np.save(tmp_path / "x.npy", np.zeros((1, 6, 6), np.uint8))
    before = xn("run", out, tmp_path / "x.npy", "--on", "golden")
    assert before.code == 0 and "warning" not in before.err
    (out / "report.json").write_text("{}\n")
    (out / "rtl" / "xh_fifo.sv").unlink()
    after = xn("run", out, tmp_path / "x.npy", "--on", "golden")
    assert after.code == 0 and after.out == before.out
    warned = [line for line in after.err.splitlines() if "warning" in line]
    assert warned == [f"xnorhw: warning: {out}: edited since the build: report.json, rtl/xh_fifo.sv"]
    with pytest.warns(UserWarning, match="edited since the build"):
        xnorhw.Build(out).predict(np.zeros((1, 1, 6, 6), np.uint8))


def test_verify_fails_aloud(xn: Any, small_build: Path, tmp_path: Path) -> None:
    """A difference: exit 1, and the JSON still tells."""
    from xnorhw.check import Difference, Link, Verdict

    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    first = Difference("rtl", "4", 1, 2, 3, 4, 1.0, -1.0)
    links = (Link("golden", "torch and NumPy", "", 3, 50, 0), Link("rtl", "Verilator", "", 3, 50, 7))
    verdict = Verdict(2, 0, 2, links, first, (), 0, (), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xnorhw.check.verify_build", lambda *_, **__: verdict)
        ended = xn("verify", out, "--json")
    refused(ended, "4: rtl differs", "channel 2", "pixel (3, 4) of frame 1", "7 values")
    assert json.loads(ended.out)["mismatches"] == 7


def test_train_digits(xn: Any, tmp_path: Path) -> None:
    path = tmp_path / "d.pt"
    tree = json.loads(xn("train", "digits", "-o", path, "--epochs", 2, "--json").out)
    assert 0.3 < tree["accuracy"] <= 1 and tree["tested"] == 450
    model = xnorhw.load(path)
    assert model.graph.input.shape == (1, 8, 8) and len(model.samples) == 16
    refused(xn("train", "digits", "-o", tmp_path / "no/d.pt"), "no/d.pt", "folder does not exist")


# --- what goes wrong -------------------------------------------------------------------------


def test_unknown_board(xn: Any, small_model: Path, tmp_path: Path) -> None:
    refused(xn("build", small_model, "--board", "pynq-z3", "-o", tmp_path / "o"), "pynq-z3", "pynq-z2")
    assert not (tmp_path / "o").exists()


def write_text(path: Path) -> None:
    path.write_text("this is no model")


def write_pickle(path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(path) + ".was-run",)

    path.write_bytes(pickle.dumps(Evil()))


def write_state_dict(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)


def write_truncated(path: Path) -> None:
    small = path.parent / "whole.pt"
    net = torch.nn.Sequential(torch.nn.Flatten(), xnorhw.nn.BinaryLinear(4, 2)).eval()
    xnorhw.save(net, small, xnorhw.Input((1, 2, 2)))
    path.write_bytes(small.read_bytes()[:-100])


@pytest.mark.parametrize("verb", ["summary", "estimate", "build"])
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, "cannot be read"),
        (write_text, "is not a model file"),
        (write_pickle, "wants to run code"),
        (write_state_dict, "state_dict"),
        (write_truncated, "truncated or damaged"),
    ],
)
def test_no_model(xn: Any, tmp_path: Path, monkeypatch: Any, verb: str, write: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pt"
    if write is not None:
        write(path)
    options = [] if verb == "summary" else ["--board", "pynq-z2"]
    refused(xn(verb, path, *options), "x.pt", message)
    assert not (tmp_path / "out").exists() and not (tmp_path / "x.pt.was-run").exists()


def test_does_not_fit(xn: Any, small_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    refused(xn("build", small_model, "--board", "pynq-z2", "--target-fps", 1e9), "frames")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("{}", "no folding file"),
        (b"\xff\xfe\x00", "is no text"),
        (None, "no such file"),
        ({"pe": 1000}, "1000"),
        ({"simd": 7}, "simd 7"),
        ({"ppe": 2}, "'ppe'"),
        ({"pe": "two"}, "'two'"),
    ],
)
def test_wrong_folding(
    xn: Any, small_model: Path, small_build: Path, tmp_path: Path, text: Any, message: str
) -> None:
    path = tmp_path / "folding.json"
    if isinstance(text, dict):
        tree = json.loads((small_build / "folding.json").read_text())
        tree["layers"]["1"].update(text)
        text = json.dumps(tree)
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = tmp_path / "out"
    refused(xn("build", small_model, "--board", "pynq-z2", "--folding", path, "-o", out), message)
    assert not out.exists()


def test_output_folder_of_somebody(xn: Any, small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("mine")
    arguments = ["build", small_model, "--board", "pynq-z2", "-o", tmp_path / "out"]
    refused(xn(*arguments), "out", "something else")
    refused(xn(*arguments, "--force"), "out", "something else")
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


@pytest.mark.parametrize("verb", [["verify"], ["run"]])
def test_no_build(xn: Any, tmp_path: Path, verb: list[str]) -> None:
    more = [tmp_path / "x.npy"] if verb == ["run"] else []
    refused(xn(*verb, tmp_path / "nothing", *more), "nothing", "xnorhw build")
    refused(xn(*verb, tmp_path, *more), "is no build of xnorhw")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 1, 6, 7)), "3 x 1 x 6 x 7"),
        (np.zeros((1, 1, 6, 6)) + 256, "256"),
        (np.zeros((1, 1, 6, 6)) + 0.5, "0.5"),
        (np.zeros((1, 1, 6, 6)) * np.nan, "NaN"),
        (b"no array", "no array"),
        (None, "cannot be read"),
    ],
)
def test_wrong_input(xn: Any, small_build: Path, tmp_path: Path, data: Any, message: str) -> None:
    path = tmp_path / "x.npy"
    if isinstance(data, bytes):
        path.write_bytes(data)
    elif data is not None:
        np.save(path, data)
    refused(xn("run", small_build, path, "--on", "golden"), message)


def test_missing_tools(small_build: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 6, 6)))
    command = [sys.executable, "-m", "xnorhw", "run", small_build, tmp_path / "x.npy"]
    env = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), "g++")


def test_missing_scikit_learn(xn: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    refused(xn("train", "digits"), "scikit-learn", "pip install 'xnorhw[train]'")


def test_missing_pillow(xn: Any, small_build: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "x.png").write_bytes(b"")
    refused(xn("run", small_build, tmp_path / "x.png", "--on", "golden"), "Pillow", "xnorhw[image]")


def test_full_disk(small_model: Path, tmp_path: Path) -> None:
    """The system itself refuses to write: files may grow to 3,000 bytes only."""
    resource = pytest.importorskip("resource")
    command = [
        sys.executable,
        "-m",
        "xnorhw",
        "build",
        small_model,
        "--board",
        "pynq-z2",
        "-o",
        tmp_path / "out",
    ]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
    )
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), "cannot be written", "nothing was changed")
    assert os.listdir(tmp_path) == []


def _as_from_a_terminal() -> None:
    """A shell starts what runs in the background deaf to the keyboard, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt(small_model: Path, tmp_path: Path, number: int) -> None:
    """A signal in the middle of the writing leaves nothing."""
    code = (
        "import sys, time\nfrom xnorhw.emit import folder\nfrom xnorhw.cli import main\n"
        "def slow(*_):\n    print('writing', flush=True)\n    time.sleep(60)\n"
        "folder._swap = slow\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", small_model, "--board", "pynq-z2", "-o", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_from_a_terminal,
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        assert os.listdir(tmp_path) != []
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.endswith("xnorhw: error: interrupted\n")
    assert os.listdir(tmp_path) == []


def test_fault_of_our_own(xn: Any, monkeypatch: Any) -> None:
    def broken() -> list[str]:
        raise RuntimeError("surprise")

    monkeypatch.setattr("xnorhw.board.board_names", broken)
    ended = xn("boards")
    assert ended.code == 1 and "surprise" in ended.err and "Traceback" not in ended.err
    ended = xn("boards", "--debug")
    assert ended.code == 1 and "Traceback" in ended.err


def test_system_errors_are_told(xn: Any, monkeypatch: Any) -> None:
    def broken() -> list[str]:
        raise OSError(errno.EACCES, "Permission denied", "boards")

    monkeypatch.setattr("xnorhw.board.board_names", broken)
    refused(xn("boards"), "boards: permission denied.")


# --- the same bytes --------------------------------------------------------------------------


def test_builds_are_byte_identical(small_model: Path, tmp_path: Path) -> None:
    """Another folder, working directory, hash seed, time zone, locale and home: the same bytes."""
    trees = []
    settings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "HOME": "/nonexistent"},
        {
            "PYTHONHASHSEED": "77",
            "TZ": "Asia/Tokyo",
            "LC_ALL": "C.UTF-8",
            "USER": "somebody",
            "COLUMNS": "40",
        },
    ]
    for i, setting in enumerate(settings):
        place = tmp_path / f"p{i}" / ("deep/er" if i else "x")
        place.mkdir(parents=True)
        shutil.copy(small_model, place / f"model{i}.pt")
        command = [
            sys.executable,
            "-m",
            "xnorhw",
            "build",
            f"model{i}.pt",
            "--board",
            "pynq-z2",
            "-o",
            f"out{i}",
        ]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **setting}
        subprocess.run(command, cwd=place, env=env, check=True, capture_output=True)
        out = place / f"out{i}"
        trees.append({p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()})
        assert str(tmp_path).encode() not in b"".join(trees[-1].values())
        del trees[-1]["build.log"]
    assert trees[0].keys() == trees[1].keys()
    assert [name for name in trees[0] if trees[0][name] != trees[1][name]] == []
