"""tensorpack's DoReFa-Net .npz: against the scripts' own steps, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.foreign import tensorpack_net as tensorpack
from tests.foreign.pictures import differing, golden, pictures, said
from xnorhw.frontends.foreign import Options, detect, read_foreign
from xnorhw.ir.errors import ModelError

SVHN = Options(arch="svhn:1,2,4")


@pytest.fixture(scope="module")
def svhn(tmp_path_factory: pytest.TempPathFactory) -> tuple[tensorpack.Params, Path]:
    params = tensorpack.svhn(5)
    return params, tensorpack.write(tmp_path_factory.mktemp("svhn") / "svhn.npz", params)


@pytest.mark.parametrize(
    ("count", "bits"), [pytest.param(1000, (1, 2), id="1000"), (60, (2, 3)), (60, (1, 1)), (60, (8, 8))]
)
def test_svhn_decides_as_its_own_forward(tmp_path: Path, count: int, bits: tuple[int, int]) -> None:
    params = tensorpack.svhn(5, bits=bits)
    path = tensorpack.write(tmp_path / "svhn.npz", params)
    x = pictures(3, count, (3, 40, 40))
    wanted = tensorpack.Net(params, bits).svhn(x)
    found = golden(path, Options(arch=f"{bits[0]},{bits[1]}"), x)
    assert len(set(wanted.argmax(1))) > 2
    assert differing(found, wanted) == 0
    # float32 may round to the next of 255 codes; the last layer reads multiples of 2^-16
    assert np.abs(found - wanted).max() < (2e-2 if bits[1] == 8 else 1e-4)


def test_alexnet_decides_as_its_own_forward(tmp_path: Path) -> None:
    """Groups, TensorFlow's uneven padding, pixels in BGR and a flattened map."""
    params = tensorpack.alexnet(5)
    path = tensorpack.write(tmp_path / "alexnet.npz", params)
    x = pictures(3, 24, (3, 224, 224))
    wanted = tensorpack.Net(params, (1, 2)).alexnet(x)
    found = golden(path, Options(arch="alexnet:1,2"), x)
    assert len(set(wanted.argmax(1))) > 1
    assert differing(found, wanted) == 0
    assert np.abs(found - wanted).max() < 1e-4


def test_wrong_bits_are_noticed(svhn: tuple[tensorpack.Params, Path]) -> None:
    params, path = svhn
    x = pictures(3, 60, (3, 40, 40))
    wanted = tensorpack.Net(params, (1, 2)).svhn(x)
    for bits in ("1,3", "2,2"):
        assert np.abs(golden(path, Options(arch=bits), x) - wanted).max() > 1e-2


def test_relus_stay_for_activations_of_32_bits(svhn: tuple[tensorpack.Params, Path]) -> None:
    import torch

    params, path = svhn
    net = read_foreign(path, None, Options(arch="1,32"))[1].net
    x = pictures(3, 20, (3, 40, 40))
    with torch.no_grad():
        found = net(torch.from_numpy(x.astype(np.float32))).numpy()
    assert np.abs(found - tensorpack.Net(params, (1, 32)).svhn(x)).max() < 1e-3


def test_it_is_detected_and_says_what_was_decided(svhn: tuple[tensorpack.Params, Path]) -> None:
    path = svhn[1]
    assert [kind.name for kind, _ in detect(path)] == ["tensorpack"]
    decisions = said(read_foreign(path, None, SVHN)[1])
    assert decisions["bits"] == "weights 1, activations 2"
    assert decisions["architecture"] == "svhn-digit-dorefa.py's"
    assert decisions["input of fc1"] == "rounded to multiples of 2^-16"


def _refused(path: Path, options: Options = SVHN) -> str:
    with pytest.raises(ModelError) as caught:
        read_foreign(path, "tensorpack", options)
    return f"{caught.value.module}: {caught.value.reason}. {caught.value.remedy}"


def test_bits_are_asked_for(svhn: tuple[tensorpack.Params, Path]) -> None:
    path = svhn[1]
    text = _refused(path, Options())
    assert "--arch svhn:W,A" in text and "svhn:1,2 means 1-bit weights" in text
    assert "is not understood" in _refused(path, Options(arch="1.5,2"))
    assert "parameters of svhn, not of alexnet" in _refused(path, Options(arch="alexnet:1,2"))
    assert "weights of t bits" in _refused(path, Options(arch="t,32,32"))
    assert "weights of 32 bits" in _refused(path, Options(arch="32,2"))
    assert "activations of 9 bits" in _refused(path, Options(arch="1,9"))


def _changed(tmp_path: Path, **changes: np.ndarray | None) -> Path:
    params = tensorpack.svhn(5)
    for name, value in changes.items():
        key = name.replace("__", "/") + ":0"
        if value is None:
            del params[key]
        else:
            params[key] = value
    return tensorpack.write(tmp_path / "changed.npz", params)


def test_another_network_is_refused(tmp_path: Path) -> None:
    weight = np.ones((3, 3, 5, 4), np.float32)
    assert "bn3/gamma: is missing" in _refused(_changed(tmp_path, bn3__gamma=None))
    assert "holds conv7/W" in _refused(_changed(tmp_path, conv7__W=weight))
    assert "reads 5 channels, and 4 come in" in _refused(_changed(tmp_path, conv1__W=weight))
    assert "has the shape [5, 4]" in _refused(_changed(tmp_path, conv1__W=weight[0, 0]))
    assert "kernels of 12 x 12" in _refused(_changed(tmp_path, conv0__W=np.ones((7, 7, 3, 4), np.float32)))
    assert "has [3] parameters for 4" in _refused(_changed(tmp_path, bn2__beta=np.ones(3, np.float32)))
    assert "is not positive" in _refused(_changed(tmp_path, bn2__variance__EMA=-np.ones(4, np.float32)))
    assert "is a ResNet" in _refused(_changed(tmp_path, conv2blk1__c3x3a__W=weight))


def test_weights_of_0_are_asked_for(tmp_path: Path) -> None:
    weight = tensorpack.svhn(5)["conv2/W:0"]
    weight[0, 0, 0, :2] = 0
    path = _changed(tmp_path, conv2__W=weight)
    text = _refused(path)
    assert "2 weights of exactly 0" in text and "--sign0 +1 means" in text and "--sign0 0 means" in text
    assert "no binary form" in _refused(path, Options(arch="1,2", sign0=0))
    params = {**tensorpack.svhn(5), "conv2/W:0": weight}
    x = pictures(3, 40, (3, 40, 40))
    found = golden(path, Options(arch="1,2", sign0=1), x)
    assert differing(found, tensorpack.Net(params, (1, 2)).svhn(x)) == 0


def test_a_truncated_file_is_refused(svhn: tuple[tensorpack.Params, Path], tmp_path: Path) -> None:
    data = svhn[1].read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) - 1000])
    assert "truncated or damaged" in _refused(tmp_path / "cut.npz")
