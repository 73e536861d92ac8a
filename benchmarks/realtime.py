"""Whole networks of the zoo on a CPU, batch 1: the generated C on each path against torch in float32.

    python -m benchmarks.realtime [NAME ...] [--repetitions N] [--threads N] [--json]

NAME: of `xnorhw zoo`; alexnet-xnor and resnet18-xnor if left out.  Networks are initialised, not
trained: batch norms get seeded factors and the statistics of random frames.  The engine's scores
are compared with golden's, bit for bit.  torch runs the same network as plain float32 modules,
channels last; its table of the input is not timed.  All take turns; medians of the repetitions.
The slowest layers are those of the path "avx2".  With qemu-x86_64 installed the instructions of a
frame on the path "ssse3", as a robot's Atom has it, are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import xnorhw
from benchmarks.cpu_arm import counted, counting_plugin
from benchmarks.float_network import float_network
from benchmarks.varied import varied
from xnorhw import golden
from xnorhw.emit import engine
from xnorhw.frontends import load_model_file
from xnorhw.golden.codes import random_codes, values_of
from xnorhw.ir.float_graph import InputQuant
from xnorhw.nn import zoo
from xnorhw.sim.engine_run import compile_engine, engine_paths, input_bytes, run_program

NAMES = ("alexnet-xnor", "resnet18-xnor")
PROFILED = "avx2"
SHOWN = 4
TIMED = ("--repeat", "5")


@dataclass(frozen=True)
class Row:
    """Milliseconds a frame by (path or torch, threads); the slowest layers of one path.

    ``instructions`` of a frame on the path "ssse3", None where they were not counted.
    """

    name: str
    milliseconds: dict[tuple[str, int], float]
    slowest: tuple[tuple[float, str], ...]
    instructions: int | None


def made(name: str, folder: Path) -> Path:
    """The model file of zoo network ``name``, initialised and snapped."""
    torch.manual_seed(0)
    net, declared = zoo.build(name)
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, *declared.shape), generator=generator).float()
    exact = xnorhw.snap(varied(net, frames))
    path = folder / f"{name}.pt"
    xnorhw.save(exact, path, declared)
    return path


def _torch_milliseconds(net: nn.Module, frame: torch.Tensor, threads: int) -> float:
    torch.set_num_threads(threads)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        net(frame)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def _slowest(program: Path, frame: Path) -> tuple[tuple[float, str], ...]:
    done = subprocess.run(
        [program, "--profile", "--repeat", "10", frame],
        env=dict(os.environ, XH_PATH=PROFILED),
        text=True,
        capture_output=True,
        check=True,
    )
    rows = re.findall(r"^\s*([0-9.]+)\s+[0-9.]+\s+(\S.*)$", done.stdout, re.MULTILINE)
    found = [(float(ms), layer.partition(":")[0]) for ms, layer in rows]
    return tuple(sorted(found, reverse=True)[:SHOWN])


def _instructions(program: Path, frame: Path, work: Path) -> int | None:
    """Of one frame: the difference between eleven frames and one, over ten."""
    if shutil.which("qemu-x86_64") is None:
        return None
    qemu = ["qemu-x86_64", "-cpu", "Nehalem", "-plugin", str(counting_plugin(work))]
    environment = dict(os.environ, XH_PATH="ssse3")
    one, eleven = (
        counted([*qemu, str(program), "--quiet", "--repeat", str(n), str(frame)], environment)
        for n in (1, 11)
    )
    return (eleven - one) // 10


def measure(name: str, repetitions: int, threads: int, work: Path) -> Row:
    """One network, everything in turns."""
    path = made(name, work)
    file = load_model_file(path)
    graph = xnorhw.load(path).integer
    codes = random_codes(graph, 1, seed=2)
    expected = golden.scores(graph, golden.run(graph, codes)[graph.output])
    program = compile_engine(engine.engine_files(graph), work, arguments=("THREADS=1",))
    paths = engine_paths(program)
    net = float_network(file.graph)
    frame = torch.from_numpy(values_of(graph, codes)).to(memory_format=torch.channels_last)
    steps = list(net.steps)
    if isinstance(file.graph.nodes[0].op, InputQuant):
        frame = steps[0](frame).contiguous(memory_format=torch.channels_last)
        net.steps[0] = nn.Identity()
    taken: dict[tuple[str, int], list[float]] = {}
    counts = sorted({1, threads})
    with torch.inference_mode():
        for _ in range(repetitions):
            for count in counts:
                for one in paths:
                    run = run_program(
                        program,
                        graph,
                        codes,
                        work,
                        path=one,
                        trace=False,
                        options=(*TIMED, "--threads", str(count)),
                    )
                    if not np.array_equal(run.scores.view(np.uint32), expected.view(np.uint32)):
                        raise SystemExit(f"{name}: {one} has other scores than the golden model")
                    taken.setdefault((one, count), []).append(run.milliseconds)
                taken.setdefault(("torch fp32", count), []).append(_torch_milliseconds(net, frame, count))
    (work / "frame.bin").write_bytes(input_bytes(graph, codes))
    slowest = _slowest(program, work / "frame.bin") if PROFILED in paths else ()
    medians = {key: statistics.median(times) for key, times in taken.items()}
    return Row(name, medians, slowest, _instructions(program, work / "frame.bin", work))


def _print(rows: list[Row]) -> None:
    columns = list(dict.fromkeys(form for row in rows for form, _ in row.milliseconds))
    print(f"| network | threads | {' | '.join(columns)} |")
    print("|" + "---|" * (len(columns) + 2))
    for row in rows:
        for count in sorted({count for _, count in row.milliseconds}):
            cells = [f"{row.milliseconds[form, count]:.2f}" for form in columns]
            print(f"| {row.name} | {count} | {' | '.join(cells)} |")
    for row in rows:
        layers = ", ".join(f"{layer} {ms:.2f} ms" for ms, layer in row.slowest)
        if layers:
            frames = 1e3 / row.milliseconds[PROFILED, 1]
            print(f"\n{row.name}: {frames:.0f} frames a second, one core, {PROFILED}; slowest: {layers}")
        if row.instructions is not None:
            print(f"{row.name}: {row.instructions / 1e6:.3f} M instructions a frame on the path ssse3 (qemu)")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="a last line for machines")
    options = parser.parse_args()
    rows = []
    for name in options.names:
        with tempfile.TemporaryDirectory() as temporary:
            rows.append(measure(name, options.repetitions, options.threads, Path(temporary)))
    _print(rows)
    if options.json:
        tree = [
            {
                "network": row.name,
                "ssse3_instructions": row.instructions,
                "ms": {f"{form} x{count}": ms for (form, count), ms in row.milliseconds.items()},
            }
            for row in rows
        ]
        print(json.dumps(tree))
    return 0


if __name__ == "__main__":
    sys.exit(main())
