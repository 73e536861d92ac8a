"""The implementations that the CPU engine is measured against, each in a process of its own.

Started by benchmarks/cpu.py as ``python cpu_peers.py torch|lce``: a line ``kind map channels
runs`` on standard input is answered with the seconds of one 3x3 layer.  Imports nothing of
xnorhw, so that an interpreter with another project's requirements runs it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

Layer = Callable[[int], float]
"""Runs a layer so many times and returns the seconds of one."""


def timed(call: Callable[[], Any]) -> Layer:
    """A layer that is one call; the first, which warms the caches, is not counted."""

    def layer(runs: int) -> float:
        call()
        start = time.perf_counter()
        for _ in range(runs):
            call()
        return (time.perf_counter() - start) / runs

    return layer


def torch_layer(kind: str, size: int, channels: int) -> Layer:
    """torch in float32 ("fp32", channels last, and its comparison with the threshold) or in int8
    ("int8", the faster engine of x86 and onednn).  The input is unpacked already."""
    import warnings

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 2, (1, channels, size, size), generator=generator).float() * 2 - 1
    w = torch.randint(0, 2, (channels, channels, 3, 3), generator=generator).float() * 2 - 1
    x = x.contiguous(memory_format=torch.channels_last)
    w = w.contiguous(memory_format=torch.channels_last)
    if kind == "fp32":
        threshold = torch.zeros(1, channels, 1, 1)
        return inference(torch, timed(lambda: torch.conv2d(x, w, padding=1) >= threshold))
    best: list[Layer] = []
    for engine in ("x86", "onednn"):
        torch.backends.quantized.engine = engine
        xq = torch.quantize_per_tensor(x + 1, 1.0, 1, torch.quint8)
        wq = torch.quantize_per_tensor(w, 1.0, 0, torch.qint8)
        packed = torch.ops.quantized.conv2d_prepack(wq, None, [1, 1], [1, 1], [1, 1], 1)
        best.append(
            inference(torch, timed(lambda p=packed, q=xq: torch.ops.quantized.conv2d(q, p, 64.0, 128)))
        )
    return min(best, key=lambda layer: min(layer(5) for _ in range(5)))


def inference(torch: Any, layer: Layer) -> Layer:
    """``layer`` without autograd."""

    def run(runs: int) -> float:
        with torch.inference_mode():
            return layer(runs)

    return run


def lce_layer(size: int, channels: int) -> Layer:
    """Larq Compute Engine with its indirect kernel: the difference of a chain of ten binary
    convolutions and one of two, so a layer from packed bits to packed bits."""
    import larq
    import larq_compute_engine as lce
    import numpy as np
    import tensorflow as tf
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    x = np.random.default_rng(1).standard_normal((1, size, size, channels)).astype(np.float32)

    def chain(length: int) -> Layer:
        data = tf.keras.Input((size, size, channels), batch_size=1)
        value = data
        for _ in range(length):
            value = larq.layers.QuantConv2D(
                channels,
                3,
                padding="same",
                pad_values=1.0,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
            )(value)
            value = tf.keras.layers.BatchNormalization()(value)
        model = lce.convert_keras_model(tf.keras.Model(data, value))
        interpreter = Interpreter(model, num_threads=1, use_indirect_bgemm=True)
        return timed(lambda: interpreter.predict(x))

    short, long = chain(2), chain(10)
    return lambda runs: (long(runs) - short(runs)) / 8


def main() -> None:
    """Answer until standard input ends."""
    family = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")  # what the libraries print goes to standard error
    os.dup2(2, 1)
    layers: dict[tuple[str, int, int], Layer] = {}
    for line in sys.stdin:
        kind, size, channels, runs = line.split()
        key = (kind, int(size), int(channels))
        if key not in layers:
            layers[key] = lce_layer(*key[1:]) if family == "lce" else torch_layer(*key)
        answers.write(f"{layers[key](int(runs))!r}\n")
        answers.flush()


if __name__ == "__main__":
    main()
