"""Networks of QKeras by qonnx's own converter: their predictions against golden.

It needs QKeras, a TensorFlow that it works with, and a qonnx that still has the converter, in the
environment of the tests: pip install "tensorflow-cpu==2.15.*" "qkeras==0.9.0" "qonnx==0.4.0"
"tf2onnx==1.16.*" "tensorflow-model-optimization==0.7.5" "pyparsing<3.2"
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xnorhw import ModelError, load
from xnorhw.api import Model
from xnorhw.frontends import save
from xnorhw.frontends.foreign import read_foreign
from xnorhw.frontends.foreign.base import Options

PACKAGES = ("onnx", "tensorflow", "qkeras", "qonnx", "tf2onnx")
_MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(bool(_MISSING), reason=f"needs the packages {', '.join(_MISSING)}"),
]
FRAMES = 1000


def keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)
    return tf.keras


def conv() -> Any:
    """Ternary, binary and 3-bit weights; activations and the input by quantized_relu."""
    from qkeras import QActivation, QConv2D, QDense

    k = keras().layers
    return keras().Sequential([
        QActivation("quantized_relu(8,0)", input_shape=(10, 10, 2), name="q"),
        QConv2D(6, 3, kernel_quantizer="ternary(alpha=1,threshold=0.5)", use_bias=False, name="c1"),
        k.BatchNormalization(name="b1"),
        QActivation("quantized_relu(3,1)", name="a1"),
        k.MaxPooling2D(2),
        QConv2D(5, 2, kernel_quantizer="binary(alpha=1)", use_bias=False, padding="same", name="c2"),
        k.BatchNormalization(name="b2"),
        QActivation("quantized_relu(2,2)", name="a2"),
        k.Flatten(),
        QDense(4, kernel_quantizer="quantized_bits(3,0,1,alpha=1)",
               bias_quantizer="quantized_bits(6,2,1,alpha=1)", name="d"),
    ])  # fmt: skip


def dense() -> Any:
    """Activations inside of layers: binary, ternary, and 4 bits with a sign."""
    from qkeras import QDense

    k, bias = keras().layers, {"bias_quantizer": "quantized_bits(8,5,1,alpha=1)"}
    sign, three = "binary(alpha=1)", "ternary(alpha=1,threshold=0.5)"
    return keras().Sequential([
        QDense(20, kernel_quantizer=sign, **bias, activation=sign, input_shape=(12,), name="d1"),
        QDense(16, kernel_quantizer=three, activation=three, name="d2"),
        QDense(14, kernel_quantizer=sign, **bias, activation="quantized_bits(4,2,1,alpha=1)", name="d3"),
        QDense(5, kernel_quantizer=sign, use_bias=False, name="d4"),
        k.BatchNormalization(name="b4"),
    ])  # fmt: skip


def lost() -> Any:
    """A sign behind a batch norm, which the converter leaves out."""
    from qkeras import QActivation, QDense

    return keras().Sequential([
        QDense(20, kernel_quantizer="binary(alpha=1)", use_bias=False, input_shape=(12,), name="d1"),
        keras().layers.BatchNormalization(name="b1"),
        QActivation("binary(alpha=1)", name="a1"),
        QDense(5, kernel_quantizer="binary(alpha=1)", use_bias=False, name="d2"),
    ])  # fmt: skip


def trained(net: Any) -> Any:
    rng = np.random.default_rng(0)
    for layer in net.layers:
        weights = layer.get_weights()
        if type(layer).__name__ == "BatchNormalization":
            n = len(weights[0])
            weights = [rng.normal(0, s, n) for s in (1, 0.5, 2)] + [rng.uniform(0.5, 9, n)]
        else:
            weights = [rng.normal(0, 0.6 if w.ndim > 1 else 2, w.shape) for w in weights]
        layer.set_weights(weights)
    return net


def converted(net: Any, folder: Path, said: str) -> Model:
    from qonnx.converters import from_keras

    from_keras(net, opset=13, output_path=str(folder / "net.onnx"))
    _, made = read_foreign(folder / "net.onnx", None, Options(input=said))
    save(made.net, folder / "net.pt", input=made.input)
    return load(folder / "net.pt")


def differing(model: Model, net: Any, divisor: int) -> tuple[int, int]:
    """How many decisions differ from Keras' own, and how many classes there are among those."""
    pixels = np.random.default_rng(1).integers(0, 256, (FRAMES, *net.input_shape[1:])).astype(np.float32)
    wanted = net.predict(pixels / np.float32(divisor), verbose=0)
    given = pixels.transpose(0, 3, 1, 2) if pixels.ndim == 4 else pixels
    found = model.predict(given)
    # equal but for Keras' float32 sums of scaled values: their order is its own
    worst = np.abs(found - wanted).max(axis=1) <= 1e-4 * np.abs(wanted).max()
    return int((found.argmax(1) != wanted.argmax(1)).sum() + (~worst).sum()), len(set(wanted.argmax(1)))


def test_a_convolutional_network(tmp_path: Path) -> None:
    net = trained(conv())
    model = converted(net, tmp_path, "2x10x10,mean=0,std=1")
    assert model.integer.nodes
    wrong, classes = differing(model, net, 255)
    assert wrong == 0 and classes >= 3
    # the comparison can fail: as if the pixels had been divided by 128
    assert differing(model, net, 128)[0] > 0


def test_activations_inside_of_layers(tmp_path: Path) -> None:
    net = trained(dense())
    model = converted(net, tmp_path, "12,bits=8")
    assert model.integer.nodes
    wrong, classes = differing(model, net, 1)
    assert wrong == 0 and classes >= 3
    assert differing(model, net, 100)[0] > 0


def test_an_activation_that_the_converter_loses_is_no_sign(tmp_path: Path) -> None:
    # the file says that real numbers are multiplied, and so does the refusal
    model = converted(trained(lost()), tmp_path, "12,bits=8")
    with pytest.raises(ModelError, match="real-valued activations"):
        _ = model.integer
