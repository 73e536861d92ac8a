"""``xnorhw train NET`` as users run it: options, files, what is refused, kills, several processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xnorhw
from tests.command_line import Ended, called, refused
from xnorhw.nn.train import read_checkpoint
from xnorhw.nn.train.loop import CHECKPOINT

pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ("--recipe", "plain", "--batch", 140)
LIMIT = 240


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that the tests start: sums of two threads are others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "xnorhw", "train", *map(str, arguments)]


def environment(**more: object) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in more.items()}}


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LIMIT
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.01)


def model_of(path: Path) -> dict[str, Any]:
    return read_checkpoint(path / CHECKPOINT).model


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_network_is_trained_and_saved_for_build(xn: Any, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    ended = xn("train", "digits", "--recipe", "plain", "--epochs", 2, "-o", out, "--json")
    assert ended.code == 0
    tree = json.loads(ended.out)
    assert 0.2 < tree["accuracy"] <= 1 and tree["tested"] == 450 and tree["classes"] == list("0123456789")
    model = xnorhw.load(out)
    assert len(model.samples) == 16 and model.graph.input.shape == (1, 8, 8)
    assert np.array_equal(model.predict(model.samples).argmax(1).shape, (16,))
    left = {p.name for p in (tmp_path / "net.train").iterdir()}
    assert {"checkpoint.pt", "log.csv"} <= left <= {"checkpoint.pt", "log.csv", "curves.png"}
    assert (tmp_path / "net.train/log.csv").read_text().count("\n") == 3
    refused(xn("train", "digits", *PLAIN, "-o", out), "net.train", "would be lost", "--resume", "--run")


def test_detectors_learn_from_drawn_robots(xn: Any, tmp_path: Path) -> None:
    out = tmp_path / "robot.pt"
    tree = json.loads(xn("train", "nao-xnor", "--epochs", 1, "--seed", 2, "-o", out, "--json").out)
    assert tree["classes"] == ["nothing", "robot"] and tree["accuracy"] > 0.9
    assert abs(tree["snapped_accuracy"] - tree["accuracy"]) < 0.05
    model = xnorhw.load(out)
    golden = model.predict(model.samples)
    assert golden.shape == (16, 2) and len(np.unique(golden.argmax(1))) == 2


def test_a_student_learns_from_a_teacher_file(xn: Any, tmp_path: Path) -> None:
    teacher, student = tmp_path / "teacher.pt", tmp_path / "student.pt"
    ended = xn("train", "digits-float", "--epochs", 1, "--batch", 128, "-o", teacher)
    assert ended.code == 0 and "a teacher for --teacher" in ended.out
    short = ("--epochs", 1, "--batch", 256)
    assert xn("train", "digits", "--teacher", teacher, *short, "-o", student).code == 0
    assert read_checkpoint(tmp_path / "student.train" / CHECKPOINT).setup.recipe == "distill"
    # a model file teaches, too, and so does a state dict whose network is named
    assert xn("train", "digits", "--teacher", student, *short, "-o", tmp_path / "b.pt").code == 0
    state = tmp_path / "state.pt"
    torch.save(read_checkpoint(teacher).best, state)
    named = ("--teacher", state, "--teacher-net", "digits-float")
    assert xn("train", "digits", *named, *short, "-o", tmp_path / "c.pt").code == 0
    same = [model_of(tmp_path / f"{name}.train") for name in ("student", "c")]
    assert equal(*same) and not equal(same[0], model_of(tmp_path / "b.train"))

    robots = ("--data", "robots", *short, "-o", tmp_path / "d.pt")
    refused(
        xn("train", "digits", "--teacher", teacher, *robots), "--teacher", "scores [10] for data of 2 classes"
    )
    refused(xn("train", "digits", "--teacher", state, "-o", tmp_path / "e.pt"), "neither a model file nor")
    wrong = ("--teacher", state, "--teacher-net", "nao-xnor", "-o", tmp_path / "f.pt")
    refused(xn("train", "digits", *wrong), "do not fit the network nao-xnor")
    missing = ("--teacher", tmp_path / "no.pt", "-o", tmp_path / "g.pt")
    refused(xn("train", "digits", *missing), "no.pt", "no such file")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lenet6"], "lenet6: there is no such network"),
        (["lenet5", "--recipe", "bn"], "--recipe bn: there is no such recipe"),
        (["lenet5", "--data", "imagenet"], "--data imagenet: there is no such data set"),
        (["lenet5", "--data", "imagefolder:nowhere"], "imagefolder:nowhere: it is no folder"),
        (["alexnet-xnor"], "alexnet-xnor: its data cannot be shipped"),
        (["digits", "--device", "quantum"], "--device quantum: there is no such device"),
        (["digits", "--device", "cpu", "--precision", "fp16"], "fp16 need a GPU"),
        (["digits", "--resume"], "there is no checkpoint to go on from"),
        (["digits", "--recipe", "distill"], "--recipe distill: it learns from a teacher"),
        (["digits", "--batch", "1"], "--batch: a batch of 1"),
        (["digits", "--recipe", "plain", "-o", "no/x.pt"], "its folder does not exist"),
    ],
)
def test_what_is_refused(xn: Any, tmp_path: Path, monkeypatch: Any, arguments: list[str], told: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(xn("train", *arguments), told)
    assert not list(tmp_path.glob("*.pt"))


def test_a_state_dict_needs_its_file(xn: Any) -> None:
    ended = xn("train", "digits", "--teacher-net", "digits-float")
    assert ended.code == 2 and "goes with --teacher" in ended.err


def test_a_run_folder_that_is_a_file(xn: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    ended = xn("train", "digits", *PLAIN, "--run", tmp_path / "f", "-o", tmp_path / "x.pt")
    refused(ended, "it is a file", "--run")


def test_help_of_a_network_loads_no_torch() -> None:
    code = (
        "import sys\nfrom xnorhw.cli import main\n"
        "try: main(['train', 'lenet5', '--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "--resume" in ended.stdout and "xnorhw train lenet5 -o lenet5.pt" in ended.stdout


# --- kills and several processes -------------------------------------------------------------


def test_killed_and_resumed_it_ends_with_the_same_bits(xn: Any, tmp_path: Path) -> None:
    options = (*PLAIN, "--epochs", 4)
    assert xn("train", "digits", *options, "-o", tmp_path / "whole.pt").code == 0
    out = tmp_path / "killed.pt"
    process = subprocess.Popen(
        command("digits", *options, "-o", out), env=environment(), stderr=subprocess.PIPE, text=True
    )
    wait_for(tmp_path / "killed.train" / CHECKPOINT, process)
    process.kill()
    process.communicate()
    epoch = read_checkpoint(tmp_path / "killed.train" / CHECKPOINT).epoch
    assert process.returncode == -signal.SIGKILL and 1 <= epoch < 4 and not out.exists()
    assert xn("train", "digits", *options, "-o", out, "--resume").code == 0
    assert equal(model_of(tmp_path / "killed.train"), model_of(tmp_path / "whole.train"))
    assert out.read_bytes() == (tmp_path / "whole.pt").read_bytes()


@pytest.mark.long
def test_two_processes_of_torchrun_equal_one_that_sums_two_shards(xn: Any, tmp_path: Path) -> None:
    options = ("digits", *PLAIN, "--epochs", 1)  # ten steps of 140
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["-m", "xnorhw", "train", *map(str, options), "-o", str(tmp_path / "two.pt"), "--json"]
    ended = subprocess.run(
        [*torchrun, *arguments], env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["epochs"] == 1, "one process prints"
    assert xn("train", *options, "--shards", 2, "-o", tmp_path / "one.pt").code == 0
    two, one = (model_of(tmp_path / f"{name}.train") for name in ("two", "one"))
    assert two.keys() == one.keys()
    for name, value in one.items():
        assert torch.allclose(two[name].double(), value.double(), rtol=0, atol=1e-5), name
    assert xn("train", *options, "-o", tmp_path / "plain.pt").code == 0
    plain = model_of(tmp_path / "plain.train")["conv2.weight"]
    assert not torch.allclose(plain, one["conv2.weight"], rtol=0, atol=1e-5), "one shard is another training"


def test_a_lost_worker_leaves_a_state_to_go_on_from(xn: Any, tmp_path: Path) -> None:
    options = ("digits", *PLAIN, "--epochs", 3, "--shards", 2)
    out = tmp_path / "lost.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [
        subprocess.Popen(
            command(*options, "-o", out),
            env=environment(
                RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        wait_for(tmp_path / "lost.train" / CHECKPOINT, workers[0])
        workers[1].kill()
        told = workers[0].communicate(timeout=LIMIT)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    last = told[1].splitlines()[-1] + "\n"
    refused(
        Ended(workers[0].returncode, told[0], last), "another process of this training is gone", "--resume"
    )
    assert not out.exists()
    # the rest is done by one process, which takes both shards
    assert xn("train", *options, "-o", out, "--resume").code == 0
    assert xn("train", *options, "-o", tmp_path / "whole.pt").code == 0
    assert equal(model_of(tmp_path / "lost.train"), model_of(tmp_path / "whole.train"))


def test_what_would_be_found_after_the_training_is_found_before_it(tmp_path, capsys):
    refused(called(capsys, "train", "nao-xnor", "--data", "robots", "-o", tmp_path), "is a folder")
    refused(called(capsys, "train", "digits", "-o", tmp_path), "is a folder")
    ended = called(capsys, "train", "nao-xnor", "--learning-rate", "nan", "-o", tmp_path / "m.pt")
    assert ended.code == 2 and "finite" in ended.err
    refused(called(capsys, "train", "digits", "--resume", "-o", tmp_path / "m.pt"), "checkpoint")
    assert list(tmp_path.iterdir()) == []
    refused(
        called(capsys, "train", "nao-xnor", "--data", "imagefolder:", "-o", tmp_path / "m.pt"), "no folder"
    )
