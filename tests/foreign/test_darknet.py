"""darknet's .weights and cfg: against its CPU and its GPU code, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.foreign import darknet_net as darknet
from tests.foreign.pictures import differing, golden, pictures, said
from xnorhw.frontends.foreign import Options, detect, read_foreign
from xnorhw.ir.errors import ModelError

CPU, GPU = Options(sign0=-1), Options(sign0=1)
LEAKY = darknet.CFG.replace("activation=relu", "activation=leaky")
SHAPE = (3, 16, 16)


def test_it_decides_as_the_cpu_code(tmp_path: Path) -> None:
    layers = darknet.network(2)
    x = pictures(1, 1000, SHAPE)
    wanted = darknet.forward(layers, x, gpu=False)
    assert len(set(wanted.argmax(1))) > 4
    assert differing(golden(darknet.write(tmp_path, layers), CPU, x), wanted) == 0


def test_it_decides_as_the_gpu_code(tmp_path: Path) -> None:
    layers = darknet.network(2, third="leaky")
    x = pictures(1, 1000, SHAPE)
    wanted = darknet.forward(layers, x, gpu=True)
    assert len(set(wanted.argmax(1))) > 4
    path = darknet.write(tmp_path, layers, cfg=LEAKY)
    assert differing(golden(path, GPU, x), wanted) == 0
    # sums that meet the mean exactly: the other sign of 0 shows
    assert differing(golden(path, CPU, x), wanted) > 50


def test_a_relu_in_front_of_the_gpu_codes_sign_is_always_plus_one(tmp_path: Path) -> None:
    layers = darknet.network(2)
    x = pictures(1, 50, SHAPE)
    found = golden(darknet.write(tmp_path, layers), GPU, x)
    assert np.array_equal(found, darknet.forward(layers, x, gpu=True))
    assert len(np.unique(found, axis=0)) == 1


def test_eps_is_what_is_said(tmp_path: Path) -> None:
    layers = darknet.network(2)
    path = darknet.write(tmp_path, layers)
    x = pictures(1, 100, SHAPE)
    found = golden(path, Options(sign0=-1, eps=0.5), x)
    assert differing(found, darknet.forward(layers, x, gpu=False, eps=0.5)) == 0
    assert differing(found, darknet.forward(layers, x, gpu=False)) > 5


def test_weights_of_0_are_minus_one(tmp_path: Path) -> None:
    layers = darknet.network(2)
    layers[1].arrays["weights"][:, ::2] = 0
    x = pictures(1, 100, SHAPE)
    assert differing(golden(darknet.write(tmp_path, layers), CPU, x), darknet.forward(layers, x, False)) == 0


def test_an_xnor_layer_on_pixels_takes_their_signs(tmp_path: Path) -> None:
    layers = darknet.network(2, third="leaky")
    layers[0].xnor = True
    cfg = LEAKY.replace("[convolutional]", "[conv]\nxnor=1", 1)
    path = darknet.write(tmp_path, layers, cfg=cfg)
    x = pictures(1, 100, SHAPE)
    for options, gpu in ((CPU, False), (GPU, True)):
        assert differing(golden(path, options, x), darknet.forward(layers, x, gpu)) == 0


def test_flipped_weights_are_turned_back(tmp_path: Path) -> None:
    layers = darknet.network(2)
    x = pictures(1, 50, SHAPE)
    wanted = darknet.forward(layers, x, False)
    weight = layers[3].arrays["weights"]
    layers[3].arrays["weights"] = np.ascontiguousarray(weight.reshape(len(weight), -1).T)
    cfg = darknet.CFG.replace("xnor=1\nfilters=10", "xnor=1\nflipped=1\nfilters=10")
    assert differing(golden(darknet.write(tmp_path, layers, cfg=cfg), CPU, x), wanted) == 0


def test_it_is_detected_and_says_what_was_decided(tmp_path: Path) -> None:
    path = darknet.write(tmp_path, darknet.network(2))
    assert [kind.name for kind, _ in detect(path)] == ["darknet"]
    decisions = said(read_foreign(path, None, CPU)[1])
    assert decisions["batch norms"] == "sqrt(var) + 1e-6"
    assert decisions["leaky in front of layer2"] == "left out"
    assert said(read_foreign(path, None, GPU)[1])["batch norms"] == "sqrt(var + 1e-5)"


def test_the_cfg_is_the_one_said_or_the_one_beside(tmp_path: Path) -> None:
    path = darknet.write(tmp_path, darknet.network(2))
    moved = tmp_path / "else.cfg"
    (tmp_path / "net.cfg").rename(moved)
    assert "no cfg called net_final.cfg" in _refused(path)
    assert said(read_foreign(path, None, Options(sign0=-1, arch=str(moved)))[1])["cfg"] == str(moved)
    assert "is no file" in _refused(path, Options(sign0=-1, arch="missing.cfg"))
    (tmp_path / "n.cfg").write_text("[net]\n[crop]\n")
    assert "no cfg called net_final.cfg" in _refused(path)


def _refused(path: Path, options: Options = CPU) -> str:
    with pytest.raises(ModelError) as caught:
        read_foreign(path, "darknet", options)
    return f"{caught.value.module}: {caught.value.reason}. {caught.value.remedy}"


def test_the_sign_of_0_is_asked_for(tmp_path: Path) -> None:
    path = darknet.write(tmp_path, darknet.network(2))
    text = _refused(path, Options())
    assert "--sign0 -1 means" in text and "--sign0 +1 means" in text
    assert "no sign is 0" in _refused(path, Options(sign0=0))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[dropout]", "[shortcut]", "layer 5 [shortcut]: is no layer that can be imported"),
        ("xnor=1\nbatch", "binary=1\nbatch", "has binary=1"),
        ("filters=12", "filters=13", "no such filters, size, stride, padding or groups"),
        ("filters=12", "filters=twelve", "filters=twelve, which is no whole number"),
        ("activation=relu", "activation=logistic", "activation logistic in front of a sign"),
        ("activation=relu", "activation=stair", "activation stair in front of a sign"),
        ("activation=linear", "activation=stair", "ends the network in stair"),
        ("channels=3", "channels=0", "lacks channels, height or width"),
        ("channels=3", "channels=4", "The cfg is another network's|the cfg is another network's"),
        ("[net]", "[crop]", "does not begin with [net]"),
        ("xnor=1", "xnor=0", "no layer with xnor=1"),
        ("[softmax]\n", "[softmax]\n[maxpool]\n", "stands behind softmax"),
        ("groups=1\n", "groups=1\nnonsense\n", "'nonsense', which is no option"),
        ("size=2\nstride=2", "size=2\nstride=1", "which no max-pool of torch does"),
        ("filters=10", "filters=9", "The cfg is another network's"),
    ],
)
def test_cfgs_that_do_not_fit_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in darknet.CFG
    path = darknet.write(tmp_path, darknet.network(2), cfg=darknet.CFG.replace(old, new))
    text = _refused(path)
    assert any(part in text for part in says.split("|")), text


def test_real_values_behind_leaky_are_refused(tmp_path: Path) -> None:
    cfg = LEAKY.replace("xnor=1\nfilters=10", "filters=10")
    path = darknet.write(tmp_path, darknet.network(2, third="leaky"), cfg=cfg)
    assert "activation leaky, and layer 6 reads its real values" in _refused(path)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = darknet.write(tmp_path, darknet.network(2))
    data = path.read_bytes()
    for cut, says in ((len(data) - 400, "ends before"), (len(data) - 3, "within a number"), (8, "8 bytes")):
        path.write_bytes(data[:cut])
        assert says in _refused(path)
    path.write_bytes(data + bytes(40))
    assert "holds" in _refused(path) and "another network's" in _refused(path)
    path.write_bytes(struct.pack("<3i", 90000, 2, 0) + data[12:])
    assert "before version 0.1" in _refused(path)
    assert detect(path) == ()
    path.write_bytes(data[:-8] + struct.pack("<2f", float("nan"), 1))
    assert "NaN or infinity" in _refused(path)
    layers = darknet.network(2)
    layers[1].arrays["var"][0] = -1
    assert "rolling variance of -1" in _refused(darknet.write(tmp_path, layers))


def test_a_file_of_version_0_1_counts_in_four_bytes(tmp_path: Path) -> None:
    layers = darknet.network(2)
    path = darknet.write(tmp_path, layers)
    data = path.read_bytes()
    x = pictures(1, 20, SHAPE)
    path.write_bytes(struct.pack("<4i", 0, 1, 0, 64000) + data[20:])
    assert differing(golden(path, CPU, x), darknet.forward(layers, x, False)) == 0
