"""BinaryNet's own .npz: against Theano's and Lasagne's steps, and what is refused."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.foreign import lasagne_net as lasagne
from tests.foreign.pictures import differing, golden, golden_of, pictures, said
from xnorhw.frontends.foreign import Options, detect, read_foreign
from xnorhw.ir.errors import ModelError

MNIST = Options(arch="mnist")
SMALL = Options(arch="cifar10", input="3x16x16")


def cnn(seed: int = 1) -> list[lasagne.Layer]:
    """cifar10.py's network, narrow, for maps of 16 x 16."""
    return lasagne.cnn(seed, flat=4)


def test_an_mlp_decides_as_its_own_forward(tmp_path: Path) -> None:
    layers = lasagne.mlp(1)
    path = lasagne.write(tmp_path / "mnist_parameters.npz", layers)
    x = pictures(1, 1000, (1, 28, 28))
    wanted = lasagne.forward(layers, x)
    assert len(set(wanted.argmax(1))) > 4
    assert np.array_equal(golden(path, MNIST, x), wanted)


def test_a_cnn_decides_as_its_own_forward(tmp_path: Path) -> None:
    layers = cnn()
    path = lasagne.write(tmp_path / "cifar.npz", layers)
    x = pictures(2, 1000, (3, 16, 16))
    wanted = lasagne.forward(layers, x)
    assert len(set(wanted.argmax(1))) > 4
    assert np.array_equal(golden(path, SMALL, x), wanted)


def test_kernels_that_are_not_turned_are_noticed(tmp_path: Path) -> None:
    layers = cnn()
    x = pictures(2, 100, (3, 16, 16))
    wanted = lasagne.forward(layers, x)
    for one in layers[:6]:
        one.weight = np.ascontiguousarray(one.weight[:, :, ::-1, ::-1])
    path = lasagne.write(tmp_path / "turned.npz", layers)
    assert differing(golden(path, SMALL, x), wanted) > 10


def test_a_variance_in_place_of_inv_std_is_noticed(tmp_path: Path) -> None:
    layers = lasagne.mlp(1)
    x = pictures(1, 100, (1, 28, 28))
    wanted = lasagne.forward(layers, x)
    for one in layers:
        one.inv_std = 1 / one.inv_std**2
    path = lasagne.write(tmp_path / "var.npz", layers)
    assert not np.array_equal(golden(path, MNIST, x), wanted)


@pytest.mark.parametrize(("sign0", "half"), [(1, 1.0), (-1, 0.0)])
def test_weights_of_0_become_what_is_said(tmp_path: Path, sign0: int, half: float) -> None:
    layers = lasagne.mlp(3)
    layers[1].weight[::3] = 0
    layers[1].weight[1, 1] = -1e-9  # x + 1 is 1 in float32
    path = lasagne.write(tmp_path / "zeros.npz", layers)
    x = pictures(3, 100, (1, 28, 28))
    found = golden(path, Options(arch="mnist", sign0=sign0), x)
    assert np.array_equal(found, lasagne.forward(layers, x, half))
    assert not np.array_equal(found, lasagne.forward(layers, x, 1 - half))


def test_activations_just_below_0_are_rounded_to_plus_one(tmp_path: Path) -> None:
    """round((x + 1) / 2) takes -2^-26 for 0, and so for +1."""
    layers = lasagne.mlp(4)
    layers[0].gamma[:] = 0
    layers[0].beta[:] = np.where(np.arange(40) % 2, -(2.0**-26), -(2.0**-23))
    path = lasagne.write(tmp_path / "edge.npz", layers)
    x = pictures(3, 10, (1, 28, 28))
    assert np.array_equal(golden(path, MNIST, x), lasagne.forward(layers, x))
    layers[0].beta[:] = -(2.0**-23)
    assert not np.array_equal(golden(path, MNIST, x), lasagne.forward(layers, x))


def test_pixels_of_eight_bits_are_those_of_the_table(tmp_path: Path) -> None:
    layers = cnn()
    path = lasagne.write(tmp_path / "cifar.npz", layers)
    x = pictures(2, 50, (3, 16, 16))
    imported = read_foreign(path, None, Options(arch="svhn", input="3x16x16,mean=0.5,std=0.5,bits=8"))[1]
    table = imported.net.pixels.table.numpy()[0]
    assert np.abs(table * imported.net.pixels.scale - (np.arange(256) / 127.5 - 1)).max() < 0.004
    worth = table[x].astype(np.float64) * imported.net.pixels.scale
    # what forward makes of pixels is 2x / 255 - 1
    wanted = lasagne.forward(layers, (worth + 1) * 127.5)
    assert differing(golden_of(imported, path, x), wanted) == 0


def test_it_is_detected_and_says_what_was_decided(tmp_path: Path) -> None:
    path = lasagne.write(tmp_path / "mnist_parameters.npz", lasagne.mlp(1))
    assert [kind.name for kind, _ in detect(path)] == ["lasagne"]
    decisions = said(read_foreign(path, None, MNIST)[1])
    assert decisions["kernels"] == "turned by 180 degrees"
    assert decisions["input"] == "1x28x28 pixels, 2x/255 - 1"


def _refused(path: Path, options: Options = MNIST, kind: str | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        read_foreign(path, kind, options)
    return f"{caught.value.module}: {caught.value.reason}. {caught.value.remedy}"


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = lasagne.write(tmp_path / "cifar.npz", cnn())
    assert "--arch cifar10 means" in _refused(path, Options())
    path = lasagne.write(tmp_path / "mlp.npz", lasagne.mlp(1))
    assert "Give --input: 784," in _refused(path, Options())
    layers = lasagne.mlp(1)
    layers[0].weight[0, 0] = 0
    path = lasagne.write(tmp_path / "zero.npz", layers)
    text = _refused(path)
    assert "--sign0 +1 means" in text and "--sign0 -1 means" in text and "arr_0" in text
    assert "keeps a weight of 0" in _refused(path, Options(arch="mnist", sign0=0))


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = lasagne.write(tmp_path / "mlp.npz", lasagne.mlp(1))
    assert "no convolution" in _refused(path, Options(arch="cifar10"))
    assert "has no network 'vgg'" in _refused(path, Options(arch="vgg"))
    assert "reads 784 features" not in _refused(path, Options(input="100,bipolar"))
    assert "784 features, and 100 come in" in _refused(path, Options(input="100,bipolar"))
    path = lasagne.write(tmp_path / "cnn.npz", cnn())
    assert "mnist has none" in _refused(path)
    assert "144 features" not in _refused(path, Options(arch="cifar10"))
    assert "40 features, and 160 come in" in _refused(path, Options(arch="cifar10"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a[:-1], "not six a layer"),
        (lambda a: [a[1], a[0], *a[2:]], "the weights of a layer stand there"),
        (lambda a: [*a[:2], a[2][:-1], *a[3:]], "the beta of 40 outputs stands there"),
        (lambda a: [*a[:5], -a[5], *a[6:]], "not positive everywhere"),
        (lambda a: [a[0] * 3, *a[1:]], "clips them to -1..+1"),
        (lambda a: [a[0] * 0.01, *a[1:]], 'H = "Glorot"'),
        (lambda a: [a[0] * np.nan, *a[1:]], "NaN or infinity"),
        (lambda a: [a[0].astype(str), *a[1:]], "not numbers"),
        (lambda a: [*a[6:12], *a[:6], *a[12:]], "784 features, and 40 come in|40 features"),
    ],
)
def test_mixed_up_arrays_are_refused(tmp_path: Path, change, says: str) -> None:
    arrays = change([p for one in lasagne.mlp(1) for p in one.params()])
    np.savez(tmp_path / "mixed.npz", *arrays)
    assert re.search(re.escape(says).replace(r"\|", "|"), _refused(tmp_path / "mixed.npz", kind="lasagne"))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = lasagne.write(tmp_path / "mlp.npz", lasagne.mlp(1))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "truncated or damaged" in _refused(path, kind="lasagne")
    assert detect(path) == ()
    path.write_bytes(data[:2000] + bytes(100) + data[2100:])
    assert "truncated or damaged" in _refused(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "renamed.npz")
    assert "no .npz" in _refused(tmp_path / "renamed.npz", kind="lasagne")
    assert "cannot be read" in _refused(tmp_path / "missing.npz")


@pytest.mark.parametrize("kind", ["lasagne", "xnor-net-pytorch"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", bytes(1 << 20))
    packed = path.read_bytes()
    # the directory alone says 2 GB: nothing may be unpacked to find out
    assert packed.count(struct.pack("<I", 1 << 20)) == 2
    path.write_bytes(packed.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 1 << 31)))
    assert "as no trained network does" in _refused(path, kind=kind)


class _Runs:
    def __reduce__(self):
        return (open, ("xnorhw-was-run", "w"))


def test_a_pickle_inside_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = [p for one in lasagne.mlp(1) for p in one.params()]
    bad = np.empty(1, dtype=object)
    bad[0] = _Runs()
    np.savez(tmp_path / "bad.npz", *arrays[:-1], bad)
    assert "pickled Python object" in _refused(tmp_path / "bad.npz")
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(_Runs()))
    assert "no .npz" in _refused(tmp_path / "plain.npz", kind="lasagne")
    assert not (tmp_path / "xnorhw-was-run").exists()
