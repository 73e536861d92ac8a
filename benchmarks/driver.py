"""What the C driver costs beside the accelerator: bus operations and bytes copied a frame.

    python -m benchmarks.driver BUILD [--frames N] [--batch N] [--json]

The unchanged driver runs natively on the simulated device; the shim writes down its register
accesses and cache operations, and every copy in the driver and the engine is counted.  A frame
is copied once, to where the DMA reads it: in words with /dev/mem, whose mapping takes no other access.
Polls depend on how long the accelerator takes against an access of the bus, so they stand apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.host.simulated_board import NATIVE, Board, Program, compile_shim
from xnorhw.golden.codes import random_codes
from xnorhw.sim.device import SimDevice

POLLED = (0x04, 0x34)
"""The two status registers of the DMA (PG021)."""


@dataclass(frozen=True)
class Overhead:
    """One way to run: figures a frame; ``copied`` bytes are those of copies, not of the packing itself.

    ``input_bytes`` and ``result_bytes`` are the lengths of a frame on the stream.
    """

    transport: str
    batch: int
    frames: int
    register_writes: float
    register_reads: float
    polls: float
    cache_operations: float
    copied: float
    input_bytes: int
    result_bytes: int


def compile_counting(host: Path, folder: Path) -> Path:
    """The command-line program, with every copy of driver and engine counted."""
    sources = [*sorted((host / "driver").glob("*.c")), *sorted((host / "engine").glob("*.c"))]
    flags = ["-std=c11", "-O1", "-ffp-contract=off", "-D_DEFAULT_SOURCE=1", "-D_FILE_OFFSET_BITS=64"]
    includes = [f"-I{host}", f"-I{host / 'engine'}", f"-I{host / 'driver'}"]
    count = ["-include", str(Path(__file__).with_name("driver_count.h"))]
    objects = []
    for source in sources:
        objects.append(str(folder / f"{source.parent.name}-{source.stem}.o"))
        subprocess.run(["gcc", *flags, *includes, *count, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "accel-run"
    main = str(host / "run_main.c")
    wrap = ["-Wl,--wrap=xd_copy_out", "-Wl,--wrap=xd_copy_in"]
    subprocess.run(["gcc", *flags, *includes, main, *objects, *wrap, "-lm", "-o", str(program)], check=True)
    return program


def copied_bytes(errors: str) -> int:
    """What the counting program said at its end."""
    return int(next(line for line in errors.splitlines() if line.startswith("copied ")).split()[1])


def measure(board: Board, program: Program, path: Path, frames: int, transport: str, batch: int) -> Overhead:
    """Run all frames once, then three times: half the difference is one pass without what opening costs."""
    where = board.mem if transport == "mem" else ()
    dma = board.device.addresses.dma.offset
    counts = []
    for repeat in (1, 3):
        done = board.run(
            program, *where, "--quiet", "--batch", str(batch), "--repeat", str(repeat), str(path), traced=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        lines = [line.split() for line in board.trace]
        reads = [int(line[1], 0) for line in lines if line[0] == "read"]
        polls = sum(address - dma in POLLED for address in reads)
        writes = sum(line[0] == "write" for line in lines)
        cache = sum(line[0].startswith("sync_") for line in lines)
        counts.append(np.array([writes, len(reads) - polls, polls, cache, copied_bytes(done.stderr)]))
    a_frame = (counts[1] - counts[0]) / (2 * frames)
    plan = board.device.plan
    lengths = [f.beats * f.beat_bits // 8 for f in (plan.input_frame, plan.output_frame)]
    return Overhead(transport, batch, frames, *(round(float(n), 3) for n in a_frame), *lengths)


def overheads(device: SimDevice, frames: int, batch: int) -> list[Overhead]:
    """Both transports, frame by frame and in batches."""
    host = device.stored.folder / "host"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        program = Program(compile_counting(host, folder), compile_shim(NATIVE, folder), NATIVE)
        board = Board(device, folder / "board")
        codes = random_codes(device.stored.graph, frames, seed=0)
        kind = device.stored.graph.input_tensor.type
        assert kind is not None
        path = folder / "frames.bin"
        codes.transpose(0, 2, 3, 1).astype(np.int8 if kind.min < 0 else np.uint8).tofile(path)
        return [measure(board, program, path, frames, t, b) for t in ("uio", "mem") for b in (1, batch)]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with SimDevice(options.build) as device:
        rows = overheads(device, options.frames, options.batch)
    if options.json:
        print(json.dumps({"driver": [asdict(row) for row in rows]}))
        return 0
    print("a frame: transport, batch, register writes, reads, polls, cache operations, bytes copied, in, out")
    for row in rows:
        print(
            f"{row.transport:4} {row.batch:4} {row.register_writes:7.2f} {row.register_reads:7.2f} "
            f"{row.polls:7.2f} {row.cache_operations:7.2f} {row.copied:9.1f} "
            f"{row.input_bytes:6} {row.result_bytes:6}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
