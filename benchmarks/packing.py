"""How fast the Python driver packs frames into a DMA buffer and takes results out of one.

    python -m benchmarks.packing [--repetitions N] [--json]

Times the driver's two ways of packing, in C and in NumPy, without a device: each case against
``np.copyto`` of the same input bytes, which is memory's speed at that size.  The C code is compiled
into a folder that is deleted again; XH_PATH in the environment forces one of its paths.  Needs
neither torch nor pynq, but a C compiler.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.board import load_board
from xnorhw.emit import notebook, pynq
from xnorhw.emit.engine import files as engine_files
from xnorhw.emit.store import Samples
from xnorhw.golden.codes import random_codes
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, Lookup, Product, Tensor, Term
from xnorhw.ir.types import IntType, code, type_for_range
from xnorhw.plan import make_plan

__all__ = ["Row", "measure"]

BATCHES = (1, 16, 1024)
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A kind of frame: what enters, and the table in front of the chip."""

    name: str
    given: Input
    table: Callable[[np.random.Generator, int], npt.NDArray[np.int64]] | None = None
    layout: str = "CHW"


@dataclass(frozen=True)
class Row:
    """One case at one batch size: seconds of ``np.copyto``, and how many times that the driver takes.

    ``c`` and ``numpy``: its two ways to pack.  ``check`` is the validation of the frames, which is made
    before anything is packed.
    """

    case: str
    bytes: int
    batch: int
    copy_seconds: float
    c: float
    numpy: float
    check: float


def _any(rng: np.random.Generator, channels: int) -> npt.NDArray[np.int64]:
    return rng.integers(-128, 128, (1, 256))


def _each(rng: np.random.Generator, channels: int) -> npt.NDArray[np.int64]:
    return rng.integers(-128, 128, (channels, 256))


def _less_128(rng: np.random.Generator, channels: int) -> npt.NDArray[np.int64]:
    return np.arange(-128, 128)[None]


CASES = (
    Case("codes, 8x8", Input((1, 8, 8), bits=8, signed=True, scale=1 / 128)),
    Case("codes, 3x32x32", Input((3, 32, 32), bits=8, signed=True, scale=1 / 128)),
    Case(
        "codes, 3x32x32, channels last", Input((3, 32, 32), bits=8, signed=True, scale=1 / 128), None, "HWC"
    ),
    Case("pixels less 128, 3x32x32, channels last", Input((3, 32, 32)), _less_128, "HWC"),
    Case("table, 8x8", Input((1, 8, 8)), _any),
    Case("table, 3x32x32", Input((3, 32, 32)), _any),
    Case("table, 3x32x32, channels last", Input((3, 32, 32)), _any, "HWC"),
    Case("a table a channel, 3x32x32", Input((3, 32, 32)), _each),
    Case("a table a channel, 3x32x32, channels last", Input((3, 32, 32)), _each, "HWC"),
    Case("codes, 64x16x16", Input((64, 16, 16), bits=8, signed=True, scale=1 / 128)),
    Case("bits, 784", Input((784,), encoding="bipolar")),
    Case("bits, 3x32x32", Input((3, 32, 32), encoding="bipolar")),
)


def _graph(case: Case, rng: np.random.Generator) -> IntGraph:
    """The case's input in front of one linear layer."""
    shape = case.given.shape if len(case.given.shape) == 3 else (*case.given.shape, 1, 1)
    first = last = Tensor("input", (shape[0], shape[1], shape[2]), case.given.type)
    nodes = []
    if case.table is not None:
        table = case.table(rng, shape[0]).astype(np.int32)
        last = Tensor("table", first.shape, code(8, True))
        nodes.append(IntNode(Lookup(table), "input", last))
    assert last.type is not None
    weight = rng.choice(np.array([-1, 1], np.int8), (CLASSES, *first.shape))
    reach = int(np.prod(shape)) * max(-last.type.min, last.type.max)
    kind: IntType = type_for_range(-reach, reach)
    product = Product((Term(1, weight),), WindowGeometry((shape[1], shape[2])), 1, 0)
    nodes.append(IntNode(product, last.name, Tensor("linear", (CLASSES, 1, 1), kind)))
    return IntGraph(case.given, first, tuple(nodes), "linear", (), (CLASSES,))


def _package(graph: IntGraph, folder: Path) -> Any:
    """The driver's modules as a build has them, without what imports pynq."""
    board = load_board("pynq-z2")
    plan = make_plan(graph, board)
    codes = random_codes(graph, 1, 1).astype(np.int32)
    tensors = golden.run(graph, codes)
    samples = Samples(codes, 0, None, tensors[graph.output])
    answers = pynq.Answers(tensors[plan.output_tensor], golden.scores(graph, tensors[graph.output]))
    files = pynq.files(graph, plan, board, samples, answers, 0)
    host = engine_files(graph, plan)
    files |= {
        k: v.encode() for k, v in notebook.files(host, title=board.title, package="xnorhw_accel").items()
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for name in [n for n in sys.modules if n.split(".")[0] == "xnorhw_accel"]:
        del sys.modules[name]
    package = types.ModuleType("xnorhw_accel")
    package.__path__ = [str(folder / "pynq/xnorhw_accel")]
    sys.modules["xnorhw_accel"] = package
    importlib.invalidate_caches()
    importlib.import_module("xnorhw_accel.layout")
    return package


def _seconds(subjects: list[Callable[[], object]], repetitions: int) -> list[float]:
    """The best time of each, all in turn, of enough calls at once to be told apart."""
    best = [float("inf")] * len(subjects)
    calls = [1] * len(subjects)
    for repetition in range(repetitions + 1):
        for i, subject in enumerate(subjects):
            begin = time.perf_counter()
            for _ in range(calls[i]):
                subject()
            taken = (time.perf_counter() - begin) / calls[i]
            if repetition == 0:
                calls[i] = max(1, int(1e-3 / taken))
            else:
                best[i] = min(best[i], taken)
    return best


@contextmanager
def _driver(case: Case, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """The package, its description and what lies in front of the chip and behind it."""
    with tempfile.TemporaryDirectory() as folder:
        package = _package(_graph(case, rng), Path(folder))
        known = package.description.load_description()
        front, back = package.description.load_network()
        packer = package.frames.Packer(known, front)
        moves = package.layout.Layout(known, packer.tables, cache=Path(folder) / "cache")
        yield known, package.frames.Checker(known), package.frames.Unpacker(known, back), packer, moves


def measure(repetitions: int = 30) -> tuple[list[Row], list[Row], str]:
    """Packing, a row a case and batch; taking 32-bit results out, where ``check`` is 0; the C code's path."""
    rows, results = [], []
    rng = np.random.default_rng(1)
    path = ""
    for case in CASES:
        with _driver(case, rng) as (known, checker, unpacker, packer, moves):
            path = moves.path
            for batch in BATCHES:
                x = rng.integers(known.given.low, known.given.high + 1, (batch, *checker.shape(case.layout)))
                x = (np.where(x > 0, 1, -1) if known.given.bipolar else x).astype(known.given.dtype)
                room = [np.zeros((batch, known.input.bytes), np.uint8) for _ in range(2)]
                same = np.zeros_like(x)
                subjects = [
                    functools.partial(np.copyto, same, x),
                    functools.partial(moves.pack, x, room[0], case.layout),
                    functools.partial(packer.pack, x, room[1], case.layout),
                    functools.partial(checker.check, x, case.layout),
                ]
                copied, *taken = _seconds(subjects, repetitions)
                assert np.array_equal(*room)
                rows.append(Row(case.name, x[0].size, batch, copied, *(one / copied for one in taken)))
                if case is CASES[0]:
                    results.append(_results(unpacker, moves, known, batch, repetitions))
    return rows, results, path


def _results(unpacker: Any, moves: Any, known: Any, batch: int, repetitions: int) -> Row:
    data = np.zeros((batch, known.output.bytes), np.uint8)
    sums = np.zeros((batch, *known.output.chw), np.int32)
    flat, same = np.zeros((batch, 4 * CLASSES), np.uint8), np.zeros((batch, 4 * CLASSES), np.uint8)
    subjects = [
        functools.partial(np.copyto, same, flat),
        lambda: moves.sums(unpacker.words(data), sums),
        lambda: unpacker.sums(unpacker.words(data), sums),
    ]
    copied, *taken = _seconds(subjects, repetitions)
    return Row(f"results, {CLASSES} sums", 4 * CLASSES, batch, copied, *(one / copied for one in taken), 0.0)


def main(arguments: list[str] | None = None) -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows, results, path = measure(options.repetitions)
    if options.json:
        tables = {"packing": [asdict(r) for r in rows], "results": [asdict(r) for r in results]}
        print(json.dumps({"path": path, **tables}))
        return
    print(f"NumPy {np.__version__}, C on path {path}; times np.copyto of the same bytes\n")
    print("| frame | bytes | batch | np.copyto | C | NumPy | check |\n|---|---|---|---|---|---|---|")
    for row in [*rows, *results]:
        speed = f"{row.bytes * row.batch / row.copy_seconds / 1e9:.2f} GB/s"
        check = f"{row.check:.1f}" if row.check else ""
        print(
            f"| {row.case} | {row.bytes} | {row.batch} | {speed} | {row.c:.1f} | {row.numpy:.1f} | {check} |"
        )


if __name__ == "__main__":
    main()
