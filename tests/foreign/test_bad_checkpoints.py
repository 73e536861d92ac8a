"""Checkpoints that are damaged, hostile, mixed up or left open: each refused in one paragraph."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from tests.foreign.projects import binarynet, bnn_zoo, dorefanet, packed, xnor_net
from tests.foreign.projects.common import pixels, scores_of, trained
from xnorhw.frontends.foreign import Options, detect, read_foreign
from xnorhw.frontends.foreign.torch_files import read_checkpoint, stored_names

GREY = "1x28x28,mean=0.1307,std=0.3081"
State = dict[str, torch.Tensor]


def lenet() -> State:
    return dict(trained(xnor_net.LeNet5(6, 8, 32)).state_dict())


def refusal(path: Path, kind: str | None = None, **said: Any) -> str:
    with pytest.raises(xnorhw.ModelError) as error:
        read_foreign(path, kind, Options(**{"input": GREY, **said}))
    assert error.value.remedy
    return str(error.value)


def written(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


def test_what_was_fed_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", lenet())
    text = refusal(path, input=None)
    assert "--input 1x28x28,mean=0.1307,std=0.3081" in text and "bipolar" in text and "bits=8" in text
    assert "mean=M" in refusal(path, input="1x28x28")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("28,bipolar", "28 channels"),
        ("3x28x28,bipolar", "3 channels"),
        ("1x20x20,bipolar", "takes no input of 1 x 20 x 20"),
        ("1x28,bipolar", "no shape"),
        ("0x28x28,bipolar", "no shape"),
        ("1x28x28,mean=0.1", "together"),
        ("1x28x28,mean=0.1/0.2,std=1", "one finite number"),
        ("1x28x28,mean=nan,std=1", "one finite number"),
        ("1x28x28,mean=0,std=0", "std is positive"),
        ("1x28x28,bits=9", "1 to 8"),
        ("1x28x28,bits=8,scale=0.3", "power of two"),
        ("1x28x28,bits=8,scale=0", "power of two"),
        ("1x28x28,bits=8,signed,unsigned", "either"),
        ("1x28x28,bits=1,signed", "bipolar"),
        ("1x28x28,bipolar,bits=2", "alone"),
        ("1x28x28,colour=3", "not understood"),
        ("1x28x28,mean=0,mean=1,std=1", "not understood"),
        ("1x28x28,bipolar=1", "not understood"),
    ],
)
def test_an_input_that_is_none(text: str, part: str, tmp_path: Path) -> None:
    assert part in refusal(written(tmp_path / "x.pth", lenet()), input=text)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_truncated(new: bool, cut: float, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": lenet()}, path, _use_new_zipfile_serialization=new)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    assert "truncated or damaged" in refusal(path)
    assert "truncated or damaged" in refusal(path, "xnor-net-pytorch")


def test_a_flipped_byte(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", lenet())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert "truncated or damaged" in refusal(path)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("where", ["beside", "inside", "whole"])
def test_a_pickle_is_never_run(new: bool, where: str, tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "exploded")
    content: Any = {
        "beside": {"state_dict": lenet(), "extra": bomb},
        "inside": {"state_dict": {**lenet(), "ip2.bias": bomb}},
        "whole": bomb,
    }[where]
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=new)
    stored_names(path, path.read_bytes())
    detect(path)
    for kind in (None, "xnor-net-pytorch"):
        text = refusal(path, kind)
        assert "wants to run code" in text and "mkdir" in text and "not run" in text
    assert not (tmp_path / "exploded").exists()


def test_a_bare_pickle_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert "cannot be imported" in refusal(path) or "no file that can be imported" in refusal(path)
    assert "wants to run code" in refusal(path, "xnor-net-pytorch")
    assert not (tmp_path / "exploded").exists()


def test_a_name_that_is_known_is_no_door(tmp_path: Path) -> None:
    """The functions that an old file's names stand for make data of whatever they are given."""
    head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    for program in (
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n(U\x02idK\x00)tR.",  # a tensor without a storage
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x03\x00\x00\x00abcK\x01s\x86b.",  # a state for it
        b"\x80\x02U\x04evilQ.",  # a persistent id that is none
        b"\x80\x02cos\nsystem\n(U\x04truetR.",
    ):
        path = tmp_path / "x.pth"
        path.write_bytes(head + program + pickle.dumps([], 2))
        text = refusal(path, "xnor-net-pytorch")
        assert "damaged" in text or "run code" in text or "no tensors" in text


def test_a_tensor_that_reaches_past_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(6.0).view(2, 3).t()}, path, _use_new_zipfile_serialization=False)
    good = read_checkpoint(path).tensors["a"]
    assert torch.equal(good, torch.arange(6.0).view(2, 3).t())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"K\x03K\x02\x86q", b"K\x09K\x02\x86q", 1))
    with pytest.raises(xnorhw.ModelError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("new", [True, False])
def test_every_dtype_and_view_of_both_forms(new: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0)
    kinds = (torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    state = {str(k): base.to(k) for k in kinds}
    state |= {"bool": base > 3, "part": base[5:11], "turned": base.view(4, 6).t()[1:], "none": base[:0]}
    state |= {"shared": base, "parameter": nn.Parameter(base + 1), "number": torch.tensor(3.0)}
    path = tmp_path / "x.pth"
    torch.save(state, path, _use_new_zipfile_serialization=new)
    found = read_checkpoint(path).tensors
    assert set(found) == set(state)
    for name, value in state.items():
        assert torch.equal(found[name], value.detach()) and found[name].dtype == value.dtype, name


def test_the_names_of_data_parallel_alone_are_shortened(tmp_path: Path) -> None:
    names = ["module.a.weight", "features.module.0.bias", "submodule.b", "module.num_batches_tracked"]
    file = read_checkpoint(written(tmp_path / "x.pth", {name: torch.ones(1) for name in names}))
    assert sorted(file.tensors) == ["a.weight", "features.0.bias", "submodule.b"] and file.parallel
    assert not read_checkpoint(written(tmp_path / "x.pth", {"submodule.b": torch.ones(1)})).parallel


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"hello")
    assert "no file that can be imported" in refusal(path)
    assert "no file by torch.save" in refusal(path, "bnn-zoo")
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "b")
    assert "none by torch.save" in refusal(path)
    assert "no tensors" in refusal(written(path, {"epoch": 3}), "bnn-zoo")
    assert "cannot be read" in refusal(tmp_path / "absent.pth")
    assert "cannot be read" in refusal(tmp_path)


def test_a_checkpoint_of_no_known_project(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(3, 4)).state_dict())
    text = refusal(path)
    assert "none of the projects" in text and "own-model.md" in text
    assert "is no checkpoint of XNOR-Net-PyTorch's" in refusal(path, "xnor-net-pytorch")
    for kind in ("binarynet-pytorch", "bnn-zoo", "pytorch-xnor-net"):
        assert "none of" in refusal(path, kind)


def changed(change: Callable[[State], Any], tmp_path: Path) -> Path:
    state = lenet()
    change(state)
    return written(tmp_path / "x.pth", {"state_dict": state})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: s.pop("bin_conv2.bn.weight"), "there is no bin_conv2.bn.weight"),
        (lambda s: s.update(extra=torch.ones(3)), "it holds extra"),
        (lambda s: s.update({"bin_conv2.conv.weight": torch.ones(8, 6, 3, 3)}), "8 x 6 x 3 x 3"),
        (lambda s: s.update({"ip2.bias": torch.ones(10, dtype=torch.int64)}), "not real numbers"),
        (lambda s: s["ip2.weight"].fill_(float("nan")), "NaN"),
        (lambda s: s["conv1.weight"].view(-1)[3].fill_(float("inf")), "infinity"),
        (lambda s: s["bn_conv1.running_var"].fill_(-1.0), "negative variance"),
    ],
)
def test_another_network(change: Callable[[State], Any], part: str, tmp_path: Path) -> None:
    text = refusal(changed(change, tmp_path))
    assert part in text


def test_wrong_architecture(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", lenet())
    assert "there is no xnor.0.weight" in refusal(path, arch="nin")
    assert "lenet5, nin, alexnet" in refusal(path, arch="resnet")
    assert "there is no" in refusal(path, "bnn-zoo", arch="mlp")


def test_weights_of_exactly_zero(tmp_path: Path) -> None:
    net = trained(binarynet.Mnist(32))
    with torch.no_grad():
        net.get_parameter("fc2.weight")[2, 5] = 0
    path = written(tmp_path / "x.pth", net.state_dict())
    text = refusal(path)
    assert "1 weights of fc2.weight are exactly 0 (the first at [2, 5])" in text
    assert "--sign0 +1 means" in text and "--sign0 -1 means" in text
    for sign0 in (1, -1):
        _, imported = read_foreign(path, None, Options(input=GREY, sign0=sign0))
        layer = imported.net.get_submodule("fc2")
        assert float(layer.get_buffer("weight")[2, 5]) == sign0
        assert any(d.what == "weights of 0 in fc2.weight" for d in imported.decisions)


def test_one_input_channel_cannot_be_centred(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", trained(xnor_net.LeNet5(1, 4, 8)).state_dict())
    text = refusal(path)
    assert "one input channel" in text and "--no-recentre" in text
    read_foreign(path, None, Options(input=GREY, recentre=False))


def test_a_dead_filter(tmp_path: Path) -> None:
    """A scale of 0 is a scale; only its weights of 0 are asked about."""
    net = trained(packed.LeNet(4, 6, 12))
    op = packed.BinOp(net)
    op.binarization()
    op.restore()
    packed.pack(net)
    net.get_parameter("conv2.alpha").data[2] = 0
    net.get_parameter("conv2.alpha").data[3] *= -1
    path = written(tmp_path / "x.pth", net.state_dict())
    assert "holds signs" in refusal(path, recentre=False)
    x = pixels((1, 28, 28), 100)
    theirs = scores_of(net, (torch.from_numpy(x) / 255 - 0.1307) / 0.3081)
    ours = xnorhw.load(path, input=GREY).predict(x)
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))


def test_real_shortcuts_are_refused(tmp_path: Path) -> None:
    one = torch.ones(1)
    resnet = {"layer1.0.conv1.weight": one, "bn3.running_mean": one, "fc.weight": one, "conv1.weight": one}
    dorefa = {"head.0.weight": one, "layer1.0.bb.0.weight": one, "tail.2.weight": one}
    other = {"layers.0.bn0.running_mean": one, "layers.0.conv1.weight": one, "logit.weight": one}
    for state in (resnet, dorefa, other):
        text = refusal(written(tmp_path / "x.pth", state))
        assert "shortcuts add real numbers" in text and "xnn.Grid" in text


def test_layers_of_which_binarynet_takes_no_sign(tmp_path: Path) -> None:
    net = trained(binarynet.Mnist(784))
    assert "reads 784 values" in refusal(written(tmp_path / "x.pth", net.state_dict()))
    vgg = trained(binarynet.Vgg(3, 16))
    text = refusal(written(tmp_path / "x.pth", vgg.state_dict()), input="3x32x32,bipolar")
    assert "reads 3 channels" in text
    caffe = trained(bnn_zoo.CaffeNet(3))
    text = refusal(written(tmp_path / "x.pth", caffe.state_dict()), input="3x32x32,bipolar")
    assert "reads 3 channels" in text


def test_bits_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", trained(dorefanet.AlexNetQ(1, 2, 3, 1, 8)).state_dict())
    fed = "3x67x67,bipolar"
    assert "--arch alexnet:W,A" in refusal(path, input=fed)
    assert "no binary network" in refusal(path, input=fed, arch="alexnet:32,2")
    assert "is no network of 'alexnet:9,2'" in refusal(path, input=fed, arch="alexnet:9,2")
    assert "--pad" in refusal(path, input=fed, arch="alexnet:1,2", pad=0)
