"""Keras models of larq's layers: against larq's own steps, and what is refused."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign import larq_net as larq
from tests.foreign.pictures import differing, golden, pictures, said
from xnorhw.frontends.foreign import Options, detect, read_foreign
from xnorhw.ir.errors import ModelError, ToolError

h5py = pytest.importorskip("h5py", reason="h5py is not installed")
SHAPE = (3, 16, 16)
SIGN = larq.SIGN


def quantiser(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": config}


def mixed(seed: int = 4, pad: float = 1.0) -> larq.Net:
    """Padding of all kinds, strides, depthwise, scales, a flattened map with a norm of its own."""
    net = larq.Net(seed, (16, 16, 3))
    net.add("Rescaling", {"scale": 1 / 127.5, "offset": -1.0})
    net.conv((3, 3, 3, 6))
    net.norm(6, 3.0, scale=True)
    net.conv((3, 3, 6, 8), SIGN, padding="same", strides=[2, 2])
    net.pool(3, 2, "same")
    net.norm(8, 5.0, scale=True)
    net.depthwise((3, 3, 8, 1), padding="same", pad_values=pad)
    net.norm(8, 2.5)
    magnitude = quantiser("MagnitudeAwareSign", clip_value=1.0)
    net.conv((3, 3, 8, 10), quantiser("ApproxSign"), magnitude, padding="same", pad_values=-1.0)
    net.norm(10, 3)
    net.add("Flatten", {"data_format": "channels_last"})
    net.norm(160, 1)
    net.dense((160, 20), use_bias=True)
    net.norm(20, 9)
    net.dense((20, 10))
    net.norm(10, 3)
    net.add("Activation", {"activation": "softmax"})
    return net


def scores(net: larq.Net, x: np.ndarray) -> np.ndarray:
    """The forward without the softmax at the end."""
    bare = copy.copy(net)
    bare.layers = [layer for layer in net.layers if layer[0] != "Activation"]
    return bare.forward(x.transpose(0, 2, 3, 1))


def test_it_decides_as_its_own_forward(tmp_path: Path) -> None:
    net = mixed()
    x = pictures(3, 1000, SHAPE)
    wanted = scores(net, x)
    assert len(set(wanted.argmax(1))) > 4
    found = golden(net.write(tmp_path / "net.h5"), Options(), x)
    assert differing(found, wanted) == 0
    assert np.abs(found - wanted).max() < 1e-5


def test_another_padding_is_noticed(tmp_path: Path) -> None:
    x = pictures(3, 100, SHAPE)
    wanted = scores(mixed(), x)
    assert differing(golden(mixed(pad=-1.0).write(tmp_path / "net.h5"), Options(), x), wanted) > 5


@pytest.mark.parametrize(
    ("activations", "weights"),
    [
        (quantiser("DoReFa", k_bit=2, mode="activations"), SIGN),
        (quantiser("DoReFa", k_bit=3, mode="activations"), quantiser("DoReFa", k_bit=3, mode="weights")),
        (SIGN, quantiser("DoReFa", k_bit=1, mode="weights")),
        (quantiser("SteHeaviside", clip_value=1.0), SIGN),
        (
            quantiser("SteTern", threshold_value=0.25, ternary_weight_networks=False, clip_value=1.0),
            quantiser("SteTern", threshold_value=0.05, ternary_weight_networks=True, clip_value=1.0),
        ),
        (SIGN, quantiser("SteTern", threshold_value=0.3, ternary_weight_networks=False, clip_value=1.0)),
    ],
    ids=["dorefa2", "dorefa3-3", "dorefa-w1", "heaviside", "ternary", "ternary-w"],
)
def test_quantisers_of_several_values(tmp_path: Path, activations: Any, weights: Any) -> None:
    net = larq.Net(6, (16, 16, 3))
    net.conv((3, 3, 3, 6), strides=[2, 2])
    net.norm(6, 900.0, scale=True)
    net.conv((3, 3, 6, 8), activations, weights, padding="same", strides=[2, 2])
    net.norm(8, 4.0, scale=True)
    net.add("Flatten", {"data_format": "channels_last"})
    net.dense((128, 10), activations, weights)
    net.norm(10, 4)
    x = pictures(5, 100, SHAPE)
    wanted = net.forward(x.transpose(0, 2, 3, 1) / np.float32(255) * 255)
    found = golden(net.write(tmp_path / "net.h5"), Options(input="3x16x16,mean=0,std=0.00392156862745098"), x)
    assert len(set(wanted.argmax(1))) > 2
    assert differing(found, wanted) == 0
    assert np.abs(found - wanted).max() < 1e-4


def test_ternary_activations_at_their_thresholds(tmp_path: Path) -> None:
    """sign(sign(x + t) + sign(x - t)) is -1 at -t and +1 at t."""
    net = larq.Net(6, (16, 16, 3))
    net.conv((3, 3, 3, 4), strides=[2, 2])
    net.norm(4, 900.0, scale=True)
    net.layers[-1][2].update(gamma=np.zeros(4, np.float32), beta=np.float32([-0.25, 0.25, -0.24, 0.24]))
    ternary = quantiser("SteTern", threshold_value=0.25, ternary_weight_networks=False, clip_value=1.0)
    net.conv((7, 7, 4, 10), ternary)
    x = pictures(5, 4, SHAPE)
    wanted = net.forward(x.transpose(0, 2, 3, 1)).reshape(4, -1)
    path = net.write(tmp_path / "net.h5")
    found = golden(path, Options(input="3x16x16,mean=0,std=0.00392156862745098"), x)
    assert np.array_equal(found, wanted)


def test_averages_of_codes_and_signs(tmp_path: Path) -> None:
    net = larq.Net(9, (16, 16, 3))
    net.conv((3, 3, 3, 6), padding="same", strides=[2, 2])
    net.norm(6, 900.0, scale=True)
    net.add("Activation", {"activation": quantiser("DoReFa", k_bit=2, mode="activations")})
    net.add("AveragePooling2D", {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"})
    net.norm(6, 0.2)
    net.conv((3, 3, 6, 12), SIGN)
    net.norm(12, 4.0, scale=True)
    net.add("Activation", {"activation": SIGN})
    net.add("GlobalAveragePooling2D")
    net.norm(12, 0.5)
    net.layers[-1][1]["axis"] = [1]
    net.dense((12, 10))
    net.norm(10, 2.0)
    x = pictures(5, 200, SHAPE)
    wanted = net.forward(x.transpose(0, 2, 3, 1))
    path = net.write(tmp_path / "net.h5")
    found = golden(path, Options(input="3x16x16,mean=0,std=0.00392156862745098"), x)
    assert len(set(wanted.argmax(1))) > 2
    assert differing(found, wanted) == 0


def test_layers_in_full_precision_at_both_ends(tmp_path: Path) -> None:
    net = larq.Net(8, (16, 16, 3))
    net.add("Rescaling", {"scale": 1 / 255, "offset": 0.0})
    net.conv((3, 3, 3, 6), None, None, padding="same", strides=[2, 2], activation="relu")
    net.norm(6, 0.6, scale=True)
    net.conv((3, 3, 6, 8), SIGN, SIGN, strides=[2, 2])
    net.norm(8, 4.0, scale=True)
    net.add("Flatten", {"data_format": "channels_last"})
    net.dense((72, 10), None, None, use_bias=True)
    for _, _, arrays in net.layers:
        if "kernel" in arrays:
            arrays["kernel"] = np.rint(arrays["kernel"] * 256).astype(np.float32) / 256
    x = pictures(5, 200, SHAPE)
    found, wanted = golden(net.write(tmp_path / "net.h5"), Options(), x), scores(net, x)
    assert len(set(wanted.argmax(1))) > 2
    assert differing(found, wanted) == 0
    assert np.abs(found - wanted).max() < 1e-3


def test_it_is_detected_and_says_what_was_decided(tmp_path: Path) -> None:
    path = mixed().write(tmp_path / "net.h5")
    assert [kind.name for kind, _ in detect(path)] == ["larq"]
    decisions = said(read_foreign(path, None, Options())[1])
    assert decisions["input"] == "3x16x16 pixels"
    assert decisions["sign(0)"] == "+1"
    assert "left out" in decisions["softmax of activation_16"]


def test_a_functional_chain_reads_as_a_sequential_one(tmp_path: Path) -> None:
    net = mixed()
    x = pictures(3, 20, SHAPE)
    config = net.config()
    rows = config["config"]["layers"]
    for i, row in enumerate(rows):
        row["inbound_nodes"] = [[[rows[i - 1]["config"]["name"], 0, 0, {}]]] if i else []
    config["class_name"] = "Functional"
    found = golden(net.write(tmp_path / "net.h5", config), Options(), x)
    assert differing(found, scores(net, x)) == 0
    rows[4]["inbound_nodes"] = [[[rows[2]["config"]["name"], 0, 0, {}]]]
    assert "Only chains can be imported" in _refused(net.write(tmp_path / "net.h5", config))


def _refused(path: Path, options: Options | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        read_foreign(path, "larq", options or Options())
    return f"{caught.value.module}: {caught.value.reason}. {caught.value.remedy}"


def test_the_input_is_asked_for(tmp_path: Path) -> None:
    net = mixed()
    net.layers.pop(0)
    path = net.write(tmp_path / "net.h5")
    assert "Give --input: 3x16x16," in _refused(path)
    assert "another shape than the model's 3x16x16" in _refused(path, Options(input="3x8x8,bipolar"))
    path = mixed().write(tmp_path / "net.h5")
    assert "says already" in _refused(path, Options(input="3x16x16,bipolar"))
    net.shape = (None, None, 3)
    assert "not fixed" in _refused(net.write(tmp_path / "net.h5"))


@pytest.mark.parametrize(
    ("layer", "option", "value", "says"),
    [
        (1, "kernel_quantizer", quantiser("Larq>Other"), "quantiser Other on its weights"),
        (3, "input_quantizer", quantiser("MagnitudeAwareSign"), "MagnitudeAwareSign on activations"),
        (3, "data_format", "channels_first", "keeps channels first"),
        (3, "padding", "causal", "pads 'causal'"),
        (3, "kernel_quantizer", None, "only signs with 1-bit weights take another number"),
        (3, "pad_values", "one", "an option that is not understood"),
        (3, "strides", [0, 1], "has strides = [0, 1]"),
        (3, "activation", "gelu", "quantiser gelu on activations"),
        (0, "scale", [1, 2, 3], "scales by [1, 2, 3]"),
        (2, "axis", [1], "normalises along axis 1"),
        (11, "activation", "softmax", "quantiser softmax"),
    ],
)
def test_options_outside_of_the_vocabulary_are_refused(
    tmp_path: Path, layer: int, option: str, value: Any, says: str
) -> None:
    net = mixed()
    if option == "kernel_quantizer" and value is None:
        net.layers[layer][1]["pad_values"] = 1.0
    net.layers[layer][1][option] = value
    assert says in _refused(net.write(tmp_path / "net.h5"))


def test_mixed_up_files_are_refused(tmp_path: Path) -> None:
    net = mixed()
    net.layers[3][2]["kernel"] = net.layers[3][2]["kernel"][:, :, :4]
    assert "do not read 6 channels" in _refused(net.write(tmp_path / "net.h5"))
    net = mixed()
    del net.layers[2][2]["beta"]
    assert "has no beta in the file" in _refused(net.write(tmp_path / "net.h5"))
    net = mixed()
    net.layers[3] = ("LSTM", *net.layers[3][1:])
    assert "quantconv2d_3 (LSTM): is no layer that can be imported" in _refused(net.write(tmp_path / "n.h5"))
    net = mixed()
    net.layers[1][2]["kernel"][0, 0, 0, 0] = np.inf
    assert "NaN or infinity" in _refused(net.write(tmp_path / "net.h5"))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = mixed().write(tmp_path / "net.h5")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "truncated or damaged" in _refused(path)
    path.write_bytes(b"no HDF5 at all")
    assert "truncated or damaged" in _refused(path)
    assert detect(path) == ()
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"a"]
    assert "weights of a Keras model without its layers" in _refused(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    assert "no model of Keras" in _refused(path)
    for text in ("{", "[]", json.dumps({"config": [{"class_name": "Dense"}]}), json.dumps({"config": []})):
        with h5py.File(mixed().write(path), "a") as file:
            file.attrs["model_config"] = text
        assert "damaged" in _refused(path) or "describes" in _refused(path)


def test_an_array_larger_than_its_file_is_not_read(tmp_path: Path) -> None:
    path = mixed().write(tmp_path / "net.h5")
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        layer = next(g for g in group.values() if len(g.attrs["weight_names"]))
        name = layer.attrs["weight_names"][0]
        del layer[name]
        layer.create_dataset(name, (1 << 20, 1 << 20), "f4", chunks=True)
    assert "as no trained network does" in _refused(path)


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mixed().write(tmp_path / "net.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ToolError, match="xnorhw\\[larq\\]|h5py"):
        read_foreign(path, "larq", Options())
