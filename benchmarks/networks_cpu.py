"""Whole networks on one core: the generated C against torch in float32, time and memory.

    python -m benchmarks.networks_cpu [FOLDER] [--model digits.pt] [--repetitions N] [--cpu N]

FOLDER holds the arrays of the two trained networks (`benchmarks/networks.py` says which).  A
and B take turns on the same core; each figure is the median over the repetitions.  torch runs
the same network as plain modules in float32, channels last, batch 1.  The resident memory is
the largest of a process that opens the network and runs one frame; of torch's, what the
interpreter with torch takes without any network is given beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import xnorhw
from benchmarks.float_network import float_network
from benchmarks.networks import INPUTS, NETWORKS, load
from xnorhw.emit import engine
from xnorhw.frontends import load_model_file
from xnorhw.golden.codes import codes_of, random_codes, values_of
from xnorhw.plan.engine import engine_network
from xnorhw.plan.engine_model import EngineNetwork, FullStep, LevelsStep, LookupStep, ProductStep, SignStep
from xnorhw.sim.engine_run import compile_engine, engine_paths, input_bytes, run_program

FRAMES = 8
SEED = 1


@dataclass(frozen=True)
class Row:
    """A network: milliseconds a frame on each path and in torch, memory in bytes."""

    name: str
    milliseconds: dict[str, float]
    torch_milliseconds: float
    weights: int
    torch_weights: int
    resident: int
    torch_resident: int
    agree: int


def _engine_bytes(network: EngineNetwork) -> int:
    """What the layers' tables take in the program: weights, thresholds, lookup tables."""
    total = 0
    for layer in network.layers:
        step = layer.step
        if isinstance(step, ProductStep):
            arrays = (a for term in step.terms for a in (term.bits, term.lanes) if a is not None)
            total += sum({id(a): a.nbytes for a in arrays}.values())
            total += step.sign.at.nbytes if step.sign is not None else 0
        elif isinstance(step, SignStep):
            total += step.sign.at.nbytes
        elif isinstance(step, LevelsStep):
            total += step.at.nbytes
        elif isinstance(step, FullStep):
            total += step.weight.nbytes
        elif isinstance(step, LookupStep):
            total += step.op.table.nbytes
    return total


def _resident(command: list[str]) -> int:
    """The largest resident set of a process that ends well, in bytes, as /proc tells while it runs.

    The kernel's account at its end would count what this process held when it was forked.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    largest = 0
    while process.poll() is None:
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found is not None:
            largest = int(found[1]) * 1024
    if process.returncode or not largest:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return largest


def _torch_milliseconds(net: torch.nn.Module, frames: list[torch.Tensor]) -> float:
    times = []
    for frame in frames:
        begin = time.perf_counter()
        net(frame)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def measure(model_file: Path, repetitions: int, work: Path) -> Row:
    """One network: engine and torch in turns."""
    file = load_model_file(model_file)
    graph = xnorhw.load(model_file).integer
    codes = random_codes(graph, FRAMES, SEED)
    if file.samples is not None:
        own = codes_of(graph, file.samples)
        codes[: len(own)] = own[:FRAMES]
    net = float_network(file.graph)
    values = values_of(graph, codes)
    frames = [torch.from_numpy(v[None]) for v in values]
    if values.ndim == 4:
        frames = [f.to(memory_format=torch.channels_last) for f in frames]
    program = compile_engine(engine.engine_files(graph), work)
    paths = engine_paths(program)
    taken: dict[str, list[float]] = {path: [] for path in (*paths, "torch")}
    scores: npt.NDArray[np.float32] = np.zeros(0, np.float32)
    with torch.inference_mode():
        torch_scores = torch.cat([net(f) for f in frames]).numpy()
        for _ in range(repetitions):
            for path in paths:
                run = run_program(
                    program, graph, codes, work, path=path, trace=False, options=("--repeat", "5")
                )
                taken[path].append(run.milliseconds)
                if scores.size and not np.array_equal(run.scores.view(np.uint32), scores.view(np.uint32)):
                    raise SystemExit(f"{model_file.stem}: {path} has other scores than the path before it")
                scores = run.scores
            taken["torch"].append(_torch_milliseconds(net, frames))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    (work / "frame.bin").write_bytes(input_bytes(graph, codes[:1]))
    child = [sys.executable, "-m", "benchmarks.networks_cpu", "--resident", str(model_file)]
    return Row(
        model_file.stem,
        {path: medians[path] for path in paths},
        medians["torch"],
        _engine_bytes(engine_network(graph)),
        sum(p.numel() * p.element_size() for p in net.parameters()),
        _resident([str(program), "--quiet", "--repeat", "10000", str(work / "frame.bin")]),
        _resident(child),
        int((scores.reshape(FRAMES, -1).argmax(1) == torch_scores.reshape(FRAMES, -1).argmax(1)).sum()),
    )


def _one_frame(model_file: Path) -> None:
    """What the process does whose memory is measured."""
    file = load_model_file(model_file)
    net = float_network(file.graph)
    with torch.inference_mode():
        net(torch.zeros(1, *file.graph.input.shape))


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def _print(rows: list[Row], empty: int) -> None:
    paths = list(rows[0].milliseconds)
    print(f"| network | {' | '.join(paths)} | torch fp32 | ratio | same class |")
    print("|" + "---|" * (len(paths) + 4))
    for row in rows:
        times = " | ".join(f"{row.milliseconds[p]:.3f}" for p in paths)
        ratio = row.torch_milliseconds / row.milliseconds[paths[0]]
        agree = f"{row.agree} of {FRAMES}"
        print(f"| {row.name} | {times} | {row.torch_milliseconds:.3f} | {ratio:.1f} | {agree} |")
    print()
    print("| network | engine's tables | torch's parameters | ratio | process | torch's process |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        ratio = row.torch_weights / row.weights
        print(
            f"| {row.name} | {_size(row.weights)} | {_size(row.torch_weights)} | {ratio:.1f} | "
            f"{_size(row.resident)} | {_size(row.torch_resident)} |"
        )
    print(f"\nMilliseconds a frame, one core. Python with torch and no network: {_size(empty)} resident.")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--cpu", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--resident", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.resident is not None:
        _one_frame(options.resident)
        return 0
    os.sched_setaffinity(0, {options.cpu})
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        models = list(options.model)
        for name in sorted(NETWORKS) if options.folder is not None else ():
            arrays = load(options.folder, name)
            image = arrays["image_u8"].astype(np.float32).reshape(1, *INPUTS[name].shape)
            xnorhw.save(NETWORKS[name](arrays), work / f"{name}.pt", INPUTS[name], samples=image)
            models.append(work / f"{name}.pt")
        if not models:
            parser.error("give FOLDER, --model, or both")
        rows = [measure(model, options.repetitions, work) for model in models]
        _print(rows, _resident([sys.executable, "-c", "import torch, xnorhw.frontends, benchmarks.networks"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
