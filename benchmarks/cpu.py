"""``python -m benchmarks.cpu [--json] [--lce PYTHON]``: the CPU engine against its limit and its peers.

Single thread, one core, the engine and each peer in turn in every repetition.  The engine goes
from packed bits to thresholded packed bits; so does Larq Compute Engine.  torch is given its
input as float32 (int8) already and stops at the comparison (the requantisation).
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import cpu_arm
from xnorhw.resources import path as resource

LAYERS = ((56, 64), (28, 128), (14, 256), (7, 512))
"""(map, channels) of the 3x3 layers, 231.2 million operations each."""
LCE_PROCESSES = 3
"""LCE's time moves from process to process: several take turns."""
HERE = Path(__file__).parent
NOT_HERE = "not measured on this CPU"


def operations(size: int, channels: int) -> float:
    """Operations of a layer, two a multiply-accumulate, padded taps included."""
    return 2.0 * size * size * channels * channels * 9


def compiled(work: Path, name: str, optimize: str) -> ctypes.CDLL:
    """The engine's sources and ``name``.c of this folder as one shared library."""
    folder = resource("templates/engine")
    target = work / f"{name}.so"
    flags = [optimize, "-std=c11", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    sources = [str(HERE / f"{name}.c"), *map(str, sorted(folder.glob("*.c")))]
    subprocess.run(["gcc", *flags, f"-I{folder}", *sources, "-lm", "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def library(work: Path, optimize: str = "-O3") -> ctypes.CDLL:
    """The kernels that are measured here."""
    lib = compiled(work, "cpu_kernels", optimize)
    lib.layer_open.restype = ctypes.c_void_p
    lib.layer_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    for name in ("layer_input", "layer_output"):
        getattr(lib, name).restype = ctypes.c_void_p
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    lib.layer_seconds.restype = ctypes.c_double
    lib.layer_seconds.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.limit_macs.restype = ctypes.c_double
    for name in ("paper_float", "paper_bits"):
        getattr(lib, name).restype = ctypes.c_double
        getattr(lib, name).argtypes = [ctypes.c_void_p] * 3
    return lib


class EngineLayer:
    """One layer on one path, with seeded random weights, thresholds and input."""

    def __init__(self, lib: ctypes.CDLL, path: str, size: int, channels: int) -> None:
        rng = np.random.default_rng(size)
        blocks, words = channels // 16, channels // 32
        count = blocks * 9 * words * 16
        raw = np.empty(count + 16, np.uint32)
        skip = -raw.ctypes.data % 64 // 4  # the engine's weights start on 64 bytes
        self._weights = raw[skip : skip + count]
        self._weights[:] = rng.integers(0, 1 << 32, count, np.uint32)
        self._at = rng.integers(-20, 20, channels).astype(np.int32)
        self._lib = lib
        self._layer = lib.layer_open(
            path.encode(), size, channels, self._weights.ctypes.data, self._at.ctypes.data
        )
        self.here = bool(self._layer)
        if self.here:
            self._count = size * size * words
            self._map(lib.layer_input)[:] = rng.integers(0, 1 << 32, self._count, np.uint32)

    def _map(self, where: Any) -> npt.NDArray[np.uint32]:
        kind = ctypes.c_uint32 * self._count
        return np.frombuffer(kind.from_address(where(self._layer)), np.uint32)

    def seconds(self, runs: int) -> float:
        """Seconds of one run."""
        return float(self._lib.layer_seconds(self._layer, runs))

    def output(self) -> npt.NDArray[np.uint32]:
        """The packed output of one run."""
        self.seconds(1)
        return self._map(self._lib.layer_output).copy()


class Peers:
    """A process of cpu_peers.py."""

    def __init__(self, python: str, family: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / "cpu_peers.py"), family],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    def seconds(self, kind: str, size: int, channels: int, runs: int) -> float | None:
        """Seconds of one layer, or None where the process cannot run it."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(f"{kind} {size} {channels} {runs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self._process.stdout.readline()
        return float(answer) if answer else None

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()


@dataclass
class Times:
    """Seconds of each repetition, side by side."""

    engine: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)
    limit: list[float] = field(default_factory=list)

    def against(self, peer: str) -> float | None:
        """How many times faster the engine is: the median over the repetitions of the ratio."""
        times = self.peers.get(peer)
        return median(p / e for p, e in zip(times, self.engine, strict=True)) if times else None


def interleave(
    engine: EngineLayer,
    limit: Callable[[], float] | None,
    peers: dict[str, Callable[[], float | None]],
    repetitions: int,
) -> Times:
    """All of them in turn, ``repetitions`` times; a peer that does not answer is left out."""
    result = Times()
    peers = {name: call for name, call in peers.items() if call() is not None}
    engine.seconds(5)
    for _ in range(repetitions):
        if limit:
            result.limit.append(limit())
        engine.seconds(1)  # not counted, as no peer's first call is
        result.engine.append(engine.seconds(10))
        for name, call in peers.items():
            seconds = call()
            assert seconds is not None
            result.peers.setdefault(name, []).append(seconds)
    return result


def paper_ratio(lib: ctypes.CDLL, repetitions: int) -> float:
    """The plain float loop's time over that of 64-bit XNOR and popcount; both results checked."""
    rng = np.random.default_rng(58)
    bits_in = rng.integers(0, 2, (16, 16, 256), np.uint8)
    bits_w = rng.integers(0, 2, (256, 3, 3, 256), np.uint8)
    floats = [np.ascontiguousarray(2.0 * b - 1, np.float32) for b in (bits_in, bits_w)]
    words = [np.packbits(b, axis=-1, bitorder="little").view(np.uint64) for b in (bits_in, bits_w)]
    results = [np.empty((14, 14, 256), np.float32) for _ in range(2)]
    ratios = []
    for _ in range(repetitions):
        slow = lib.paper_float(floats[0].ctypes.data, floats[1].ctypes.data, results[0].ctypes.data)
        fast = min(
            lib.paper_bits(words[0].ctypes.data, words[1].ctypes.data, results[1].ctypes.data)
            for _ in range(3)
        )
        ratios.append(slow / fast)
    if not np.array_equal(results[0], results[1]):
        raise SystemExit("the paper's two loops differ")
    return median(ratios)


def measure(
    lib: ctypes.CDLL, repetitions: int, lce: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the best path, and of AVX2 against torch held to AVX2."""
    torch_peer = Peers(sys.executable, "torch")
    held = Peers(sys.executable, "torch", ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2")
    lce_peers = [
        Peers(lce, "lce", TF_CPP_MIN_LOG_LEVEL="3", TF_USE_LEGACY_KERAS="1")
        for _ in range(LCE_PROCESSES if lce else 0)
    ]
    rows, avx2_rows = [], []
    for size, channels in LAYERS:
        plain = EngineLayer(lib, "plain", size, channels).output()
        shape = f"{size}x{size}x{channels}"
        for path, table in (("avx512", rows), ("avx2", avx2_rows)):
            engine = EngineLayer(lib, path, size, channels)
            if not engine.here:
                table.append({"shape": shape})
                continue
            if not np.array_equal(engine.output(), plain):
                raise SystemExit(f"{path} differs from plain C on {shape}")
            ops = operations(size, channels)
            if path == "avx2":
                peers = {"torch_fp32": lambda s=size, c=channels: held.seconds("fp32", s, c, 3)}
                times = interleave(engine, None, peers, repetitions)
                table.append(
                    {
                        "shape": shape,
                        "gops": ops / min(times.engine) / 1e9,
                        "vs_torch_fp32": times.against("torch_fp32"),
                    }
                )
                continue
            peers = {
                "torch_fp32": lambda s=size, c=channels: torch_peer.seconds("fp32", s, c, 3),
                "torch_int8": lambda s=size, c=channels: torch_peer.seconds("int8", s, c, 5),
            }
            if lce_peers:
                turns = itertools.cycle(lce_peers)
                peers["lce"] = lambda t=turns, s=size, c=channels: next(t).seconds("lce", s, c, 4)
            times = interleave(engine, lambda: 2 * lib.limit_macs(20000), peers, repetitions)
            limit = max(times.limit)
            table.append(
                {
                    "shape": shape,
                    "gops": ops / min(times.engine) / 1e9,
                    "of_limit_best": ops / min(times.engine) / limit,
                    "of_limit_median": ops / median(times.engine) / limit,
                    "vs_torch_fp32": times.against("torch_fp32"),
                    "vs_torch_int8": times.against("torch_int8"),
                    "vs_lce": times.against("lce"),
                }
            )
    for process in (torch_peer, held, *lce_peers):
        process.close()
    return rows, avx2_rows


def show(rows: list[dict[str, Any]], columns: dict[str, str], missing: str) -> None:
    """A table; a figure that is not there says so."""
    print("  ".join(f"{title:>12}" for title in columns))
    for row in rows:
        if len(row) == 1:
            print(f"{row['shape']:>12}  {missing}")
            continue
        cells = []
        for key in columns:
            value = row.get(key)
            if isinstance(value, str):
                cells.append(value)
            elif value is None:
                cells.append("-")
            else:
                cells.append(
                    f"{value:.0%}"
                    if key.startswith("of_")
                    else f"{value:.0f}"
                    if key == "gops"
                    else f"{value:.1f}x"
                )
        print("  ".join(f"{cell:>12}" for cell in cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the figures as JSON on the last line")
    parser.add_argument(
        "--lce", metavar="PYTHON", help="an interpreter that has larq-compute-engine and tensorflow"
    )
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--core", type=int, help="the core to run on (the last one allowed)")
    options = parser.parse_args()
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed) if options.core is None else options.core})
    with tempfile.TemporaryDirectory() as folder:
        lib = library(Path(folder))
        rows, avx2 = measure(lib, options.repetitions, options.lce)
        ratio = paper_ratio(lib, options.repetitions)
    columns = {
        "shape": "3x3 layer",
        "gops": "GOP/s",
        "of_limit_best": "limit best",
        "of_limit_median": "median",
        "vs_torch_fp32": "torch fp32",
        "vs_torch_int8": "torch int8",
        "vs_lce": "LCE",
    }
    print("AVX-512 VPOPCNTDQ path, one core; the limit is xor + popcnt + add on registers alone")
    show(rows, columns, NOT_HERE)
    ratios = [row["vs_lce"] for row in rows if row.get("vs_lce")]
    if options.lce and len(ratios) < sum(len(row) > 1 for row in rows):
        raise SystemExit(f"{options.lce} did not run LCE: try it with benchmarks/cpu_peers.py lce")
    print(
        f"LCE, geometric mean: {geometric_mean(ratios):.1f}x"
        if ratios
        else "LCE: not measured (give --lce PYTHON)"
    )
    print("\nAVX2 path against torch held to AVX2")
    show(avx2, {key: columns[key] for key in ("shape", "gops", "vs_torch_fp32")}, NOT_HERE)
    print(f"\nThe paper's own comparison, scalar XNOR-popcount against a plain float loop: {ratio:.0f}x.")
    print("It holds against a loop that nobody runs: against a tuned library the gain is the table above.\n")
    cpu_arm.report()
    if options.json:
        names = (
            "shape",
            "gops",
            "of_limit_best",
            "of_limit_median",
            "vs_torch_fp32",
            "vs_torch_int8",
            "vs_lce",
        )
        layers = [{name: row.get(name) for name in names} for row in rows]
        print(json.dumps({"layers": layers, "paper_ratio": ratio}))


if __name__ == "__main__":
    main()
