"""benchmarks/cpu.py measures what it says: equal outputs on every path, loops that agree, figures kept."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cpu, cpu_arm, full_layers
from tests.engine.library import ARM, NATIVE, X86


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    NATIVE.skip_unless_here()
    return cpu.library(tmp_path_factory.mktemp("library"), "-O1")


def by_hand(library: ctypes.CDLL, layer: cpu.EngineLayer) -> np.ndarray:
    """The 9x9x64 layer in NumPy: sums of +-1, zero padding, thresholds, bits lowest first."""

    def signs(words: np.ndarray) -> np.ndarray:
        return np.unpackbits(words.view(np.uint8), bitorder="little").astype(int) * 2 - 1

    x = np.pad(signs(layer._map(library.layer_input).copy()).reshape(9, 9, 64), ((1, 1), (1, 1), (0, 0)))
    rows = layer._weights.reshape(4, 3, 3, 2, 16).transpose(0, 4, 1, 2, 3)
    w = signs(np.ascontiguousarray(rows)).reshape(64, 3, 3, 64)
    s = sum(x[i : i + 9, j : j + 9] @ w[:, i, j].T for i in range(3) for j in range(3))
    return np.packbits(s >= layer._at, axis=-1, bitorder="little").view(np.uint32).ravel()


def test_layers_of_all_paths_are_equal(library: ctypes.CDLL) -> None:
    plain = cpu.EngineLayer(library, "plain", 9, 64)
    assert plain.here and not cpu.EngineLayer(library, "none", 9, 64).here
    for path in X86:
        layer = cpu.EngineLayer(library, path, 9, 64)
        if layer.here:
            assert np.array_equal(layer.output(), by_hand(library, layer))
            assert layer.seconds(2) > 0


def test_interleaving_leaves_a_missing_peer_out(library: ctypes.CDLL) -> None:
    layer = cpu.EngineLayer(library, "plain", 5, 32)
    times = cpu.interleave(layer, None, {"there": lambda: 1.0, "missing": lambda: None}, 3)
    assert len(times.engine) == len(times.peers["there"]) == 3
    assert (times.against("there") or 0) > 1
    assert times.against("missing") is None


def test_full_layers_are_what_they_say(tmp_path: Path) -> None:
    """Sums and scores against NumPy's, every path equal, the rows in full."""
    NATIVE.skip_unless_here()
    library = full_layers.library(tmp_path, "-O1")
    conv = full_layers.Shape("conv", 3, 20, 17, 5, 2, 2)
    layer = full_layers.FullLayer(library, "plain", conv)
    x = np.pad(layer.input.astype(np.int64), ((2, 2), (2, 2), (0, 0)))
    taken = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(0, 1))[::2, ::2]
    assert np.array_equal(layer.output(), np.einsum("hwcyx,oyxc->hwo", taken, layer.weight.astype(np.int64)))
    linear = full_layers.Shape("linear", 90, 7)
    last = full_layers.FullLayer(library, "plain", linear)
    sums = last.weight.astype(np.int64) @ last.input.astype(np.int64)
    assert np.array_equal(last.output(), sums.astype(np.float32) * np.float32(2.0**-16))
    assert conv.macs == 9 * 9 * 20 * 75 and linear.macs == 630
    for shape in (conv, linear):
        rows = full_layers.measure(library, shape, 2)
        assert {row.path for row in rows} >= {"plain"}
        assert all(row.gmacs > 0 and row.milliseconds > 0 and row.vs_torch > 0 for row in rows)


def test_inner_loop_is_the_one_that_counts() -> None:
    text = ".L2:\nvcnt.8 q0, q0\nbne .L2\n.L3:\nvcnt.8 q0, q0\nvcnt.8 q1, q1 @ two\nbgt .L3\nb .L9\n"
    assert cpu_arm.inner_loop(text) == ["vcnt.8 q0, q0", "vcnt.8 q1, q1", "bgt .L3"]


@pytest.mark.long
def test_instructions_on_arm(tmp_path: Path) -> None:
    """Counted, hence the same on every machine with this compiler's major version."""
    ARM.skip_unless_here()
    for count in cpu_arm.count(tmp_path):
        assert count.macs_an_instruction >= (20 if count.channels >= 128 else 12), count


@pytest.mark.long
def test_the_papers_loops_agree(tmp_path: Path) -> None:
    NATIVE.skip_unless_here()
    assert cpu.paper_ratio(cpu.library(tmp_path), 3) >= 58
