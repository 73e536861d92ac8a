"""``python -m benchmarks.full_layers [--json]``: the engine's layers in full precision against their limit.

Single thread, one core: every path, the limit (multiply and add on registers alone) and torch in
float32 (channels last) in turn in every repetition.  The engine goes from 8-bit codes to exact
sums (the convolutions), from real values of 16 bits to scores (the linear layers).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import cpu
from benchmarks.cpu_peers import inference, timed

PATHS = ("avx512", "avx2", "ssse3", "plain")
LIMITS = ("avx512", "avx2")
TURNS = 100_000


@dataclass(frozen=True)
class Shape:
    """A layer; a linear one has no kernel."""

    name: str
    channels: int
    out: int
    size: int = 1
    kernel: int = 0
    stride: int = 1
    pad: int = 0

    @property
    def out_size(self) -> int:
        """Rows of the output map."""
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1 if self.kernel else 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padded taps included."""
        return self.out_size**2 * self.out * self.channels * max(self.kernel, 1) ** 2


SHAPES = (
    Shape("ResNet-18 first: 3->64, 7x7 / 2, 224x224", 3, 64, 224, 7, 2, 3),
    Shape("AlexNet first: 3->96, 11x11 / 4, 224x224", 3, 96, 224, 11, 4, 2),
    Shape("ResNet-18 last: 512->1000", 512, 1000),
    Shape("AlexNet last: 4096->1000", 4096, 1000),
)


def library(work: Path, optimize: str = "-O3") -> ctypes.CDLL:
    """The engine's sources and full_layers.c as one shared library."""
    lib = cpu.compiled(work, "full_layers", optimize)
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    lib.conv_open.restype = lib.linear_open.restype = pointer
    lib.conv_open.argtypes = [ctypes.c_char_p, *[integer] * 6, pointer]
    lib.linear_open.argtypes = [ctypes.c_char_p, integer, integer, pointer]
    lib.full_seconds.restype = ctypes.c_double
    lib.full_seconds.argtypes = [pointer, pointer, integer, ctypes.POINTER(pointer)]
    lib.full_close.argtypes = [pointer]
    for name in LIMITS:
        getattr(lib, f"limit_{name}").restype = ctypes.c_double
    return lib


class FullLayer:
    """One layer on one path, with seeded random weights of 16 bits and input."""

    def __init__(self, lib: ctypes.CDLL, path: str, shape: Shape) -> None:
        rng = np.random.default_rng(shape.out)
        self.shape = shape
        if shape.kernel:
            weight = rng.normal(0, 3000, (shape.out, shape.kernel, shape.kernel, shape.channels))
            self.input = rng.integers(0, 256, (shape.size, shape.size, shape.channels)).astype(np.uint8)
        else:
            weight = rng.normal(0, 3000, (shape.out, shape.channels))
            self.input = rng.integers(-(1 << 15), 1 << 15, shape.channels).astype(np.int16)
        self.weight = np.clip(weight, -(1 << 15), (1 << 15) - 1).astype(np.int32)
        self._lib = lib
        table = self.weight.ctypes.data
        self._layer = (
            lib.conv_open(
                path.encode(),
                shape.size,
                shape.channels,
                shape.out,
                shape.kernel,
                shape.stride,
                shape.pad,
                table,
            )
            if shape.kernel
            else lib.linear_open(path.encode(), shape.channels, shape.out, table)
        )
        self.here = bool(self._layer)

    def run(self, runs: int) -> tuple[float, ctypes.c_void_p]:
        """Seconds of one run, and where its result lies."""
        result = ctypes.c_void_p()
        seconds = self._lib.full_seconds(self._layer, self.input.ctypes.data, runs, ctypes.byref(result))
        return float(seconds), result

    def output(self) -> npt.NDArray[np.generic]:
        """Sums int32 [H, W, O], or scores float32 [O]."""
        _, at = self.run(1)
        count = self.shape.out_size**2 * self.shape.out
        kind = ctypes.c_int32 if self.shape.kernel else ctypes.c_float
        assert at.value is not None
        flat = np.frombuffer((kind * count).from_address(at.value), np.dtype(kind)).copy()
        size = self.shape.out_size
        return flat.reshape(size, size, -1) if self.shape.kernel else flat

    def close(self) -> None:
        """Give the memory back."""
        if self._layer:
            self._lib.full_close(self._layer)


def torch_layer(layer: FullLayer) -> Callable[[int], float]:
    """The same layer in float32; its input is a tensor already."""
    shape = layer.shape
    weight = torch.from_numpy(layer.weight.astype(np.float32))
    if not shape.kernel:
        x = torch.from_numpy(layer.input.astype(np.float32) / 256)[None]
        return inference(torch, timed(lambda: torch.nn.functional.linear(x, weight)))
    x = torch.from_numpy(layer.input.astype(np.float32)).permute(2, 0, 1)[None]
    x = x.contiguous(memory_format=torch.channels_last)
    weight = weight.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return inference(torch, timed(lambda: torch.conv2d(x, weight, stride=shape.stride, padding=shape.pad)))


@dataclass(frozen=True)
class Row:
    """A layer on a path: milliseconds (best and median of the repetitions), milliards of
    multiply-accumulates a second and their share of the limit (of the best; None without a limit),
    torch's time over the engine's (median of the repetitions)."""

    layer: str
    path: str
    milliseconds: float
    median: float
    gmacs: float
    of_limit: float | None
    vs_torch: float


def measure(lib: ctypes.CDLL, shape: Shape, repetitions: int) -> list[Row]:
    """Every path of this processor on one layer; their outputs must be equal."""
    found = {path: FullLayer(lib, path, shape) for path in PATHS}
    layers = {path: layer for path, layer in found.items() if layer.here}
    expected = layers["plain"].output()
    for path, layer in layers.items():
        if not np.array_equal(layer.output(), expected):
            raise SystemExit(f"{path} differs from plain C on {shape.name}")
    peer = torch_layer(layers["plain"])
    times: dict[str, list[float]] = {path: [] for path in (*layers, "torch")}
    limits: dict[str, float] = dict.fromkeys(LIMITS, 0.0)
    for _ in range(repetitions):
        for name in LIMITS:
            limits[name] = max(limits[name], getattr(lib, f"limit_{name}")(TURNS))
        for path, layer in layers.items():
            times[path].append(layer.run(3)[0])
        times["torch"].append(peer(3))
    rows = []
    for path in layers:
        best = min(times[path])
        limit = limits.get(path, 0.0)
        ratio = median(t / e for t, e in zip(times["torch"], times[path], strict=True))
        rows.append(
            Row(
                shape.name,
                path,
                1e3 * best,
                1e3 * median(times[path]),
                shape.macs / best / 1e9,
                shape.macs / best / limit if limit else None,
                ratio,
            )
        )
    for layer in layers.values():
        layer.close()
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the figures as JSON on the last line")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--core", type=int, help="the core to run on (the last one allowed)")
    options = parser.parse_args()
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed) if options.core is None else options.core})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        lib = library(Path(folder))
        rows = [row for shape in SHAPES for row in measure(lib, shape, options.repetitions)]
    print("| layer | path | ms, best | median | GMAC/s | of the limit | torch fp32 |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        limit = "-" if row.of_limit is None else f"{row.of_limit:.0%}"
        times = f"{row.milliseconds:.2f} | {row.median:.2f}"
        figures = f"{times} | {row.gmacs:.1f} | {limit} | {row.vs_torch:.2f}"
        print(f"| {row.layer} | {row.path} | {figures} |")
    if options.json:
        print(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
