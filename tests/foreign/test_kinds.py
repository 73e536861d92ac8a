"""How the kind of a foreign file is found, and which options it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import xnorhw
from tests.foreign.projects import binarynet, bnn_zoo, dorefanet, packed, xnor_net
from xnorhw.frontends.foreign import KIND_NAMES, Options, detect, kind_of, read_foreign
from xnorhw.frontends.foreign.base import FLAGS
from xnorhw.frontends.foreign.models import import_file, is_foreign

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORKS = {
    "xnor-net-pytorch": [xnor_net.LeNet5(4, 4, 8), xnor_net.Nin(4), xnor_net.AlexNet(3, 1, 8, 10)],
    "binarynet-pytorch": [binarynet.Vgg(4, 8), binarynet.AlexNet(4, 1, 8), binarynet.Mnist(16)],
    "bnn-zoo": [bnn_zoo.LeNet5(4, 4, 8), bnn_zoo.Mlp(8, 8), bnn_zoo.Nin(4), bnn_zoo.CaffeNet(4)],
    "pytorch-xnor-net": [packed.LeNet(4, 4, 8), packed.Vgg(4, ["M", 4, "M"]), packed.Nin(4)],
    "pytorch-dorefanet": [dorefanet.AlexNetQ(1, 2, 3, 1, 8)],
}
CASES = [(kind, i) for kind, nets in NETWORKS.items() for i in range(len(nets))]


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(("kind", "number"), CASES)
def test_each_network_is_of_one_kind(kind: str, number: int, new: bool, tmp_path: Path) -> None:
    path = tmp_path / "renamed.bin"
    state = NETWORKS[kind][number].state_dict()
    torch.save(
        {"state_dict": {f"module.{n}": v for n, v in state.items()}},
        path,
        _use_new_zipfile_serialization=new,
    )
    found = detect(path)
    assert [k.name for k, _ in found] == [kind]
    assert found[0][1]
    assert is_foreign(path)


def test_every_kind_describes_itself() -> None:
    for name in KIND_NAMES:
        kind = kind_of(name)
        assert kind.name == name and kind.title and kind.endings and set(kind.options) <= set(FLAGS)
    assert set(FLAGS) == set(Options().__dataclass_fields__)
    with pytest.raises(xnorhw.ModelError, match="there is no kind 'caffe'"):
        kind_of("caffe")


def test_an_option_that_decides_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(binarynet.Mnist(16).state_dict(), path)
    with pytest.raises(
        xnorhw.ModelError, match="--no-recentre: nothing in a file of the kind binarynet-pytorch"
    ):
        read_foreign(path, None, Options(recentre=False))


def test_several_kinds_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({**binarynet.Vgg(4, 8).state_dict(), **packed.LeNet(4, 4, 8).state_dict()}, path)
    with pytest.raises(xnorhw.ModelError, match="several kinds") as error:
        read_foreign(path)
    assert (
        "--from binarynet-pytorch" in error.value.remedy and "--from pytorch-xnor-net" in error.value.remedy
    )


def test_our_own_file_is_not_foreign(tmp_path: Path) -> None:
    net = torch.nn.Sequential(xnorhw.nn.Sign(), torch.nn.Flatten(), xnorhw.nn.BinaryLinear(16, 4)).eval()
    xnorhw.save(net, tmp_path / "ours.pt", xnorhw.Input((1, 4, 4), signed=True))
    assert not is_foreign(tmp_path / "ours.pt")
    with pytest.raises(xnorhw.ModelError, match="model file of xnorhw already"):
        import_file(tmp_path / "ours.pt", tmp_path / "b.pt")
    assert not is_foreign(tmp_path / "absent") and not is_foreign(tmp_path)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "is empty. Copy or write it again"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "Git LFS.*git lfs pull"),
    (b"\n<!DOCTYPE html><html>Not found", "is a web page.*Download"),
])  # fmt: skip
def test_what_lies_in_the_place_of_a_file(data: bytes, words: str, tmp_path: Path) -> None:
    for ending in (".pth.tar", ".npz", ".h5", ".weights", ".onnx"):
        path = tmp_path / f"net{ending}"
        path.write_bytes(data)
        for kind in (None, *KIND_NAMES):
            with pytest.raises(xnorhw.ModelError, match=words):
                read_foreign(path, kind, Options())


def test_a_wrong_kind_is_told_which_is_right(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(xnor_net.LeNet5(4, 4, 8).state_dict(), path)
    said = Options(input="1x28x28,bipolar")
    for kind in KIND_NAMES:
        if kind == "xnor-net-pytorch":
            continue
        with pytest.raises(xnorhw.ModelError) as error:
            options = Options(arch="alexnet:1,2") if "dorefa" in kind else Options()
            read_foreign(path, kind, options)
        assert f"of the kind xnor-net-pytorch, not {kind}: leave --from out" in error.value.remedy
    assert read_foreign(path, None, said)[0].name == "xnor-net-pytorch"
    # what is said of a file of its own kind stays as it is
    with pytest.raises(xnorhw.ModelError) as error:
        read_foreign(path, "xnor-net-pytorch", Options())
    assert "leave --from out" not in error.value.remedy


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(xnorhw.ModelError, match="no regular file"):
        read_foreign(tmp_path / "pipe")


def test_load_says_where_its_options_go(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(binarynet.Mnist(16).state_dict(), path)
    with pytest.raises(xnorhw.ModelError, match="xnorhw import makes a model file of it"):
        xnorhw.load(path)
    model = xnorhw.load(path, input="1x28x28,mean=0.5,std=0.5")
    assert model.graph.input == xnorhw.Input((1, 28, 28))
    assert xnorhw.load(path, "binarynet-pytorch", input="784,bipolar").graph.input.shape == (784,)


def test_detection_loads_no_framework(tmp_path: Path) -> None:
    """A kind's module imports torch, onnx and h5py when it reads, not when it is asked."""
    path = tmp_path / "x.pth"
    torch.save(binarynet.Mnist(16).state_dict(), path)
    code = (
        "import sys; from xnorhw.frontends.foreign import detect; "
        f"print([k.name for k, _ in detect({str(path)!r})], {{'torch', 'onnx', 'h5py'}} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout.strip() == "['binarynet-pytorch'] set()"
