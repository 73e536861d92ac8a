"""Every network of the zoo, one line each: what ran, with counts, and where it fits.

    python -m benchmarks.zoo [NAME ...] [--models FOLDER] [--frames N] [--decisions N] [--rtl] [--json]

A network is taken from FOLDER/NAME.pt if it lies there (`xnorhw train NAME -o FOLDER/NAME.pt`),
else it is initialised with seeded weights and batch norms as varied as trained ones.  It is
snapped, lowered, and run: torch against the golden model on every tensor, the generated C against
golden.  With ``--decisions`` torch and golden classify as many random pictures.  Then the boards
are asked; with ``--rtl`` a small design of the whole network is built for the first one that holds
it, or for one of unlimited size where none does, and verified through RTL and HLS.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import xnorhw
from benchmarks.folded import BOARDS, LIMITLESS, boards, small_plan
from benchmarks.varied import varied
from xnorhw.api.model import Model
from xnorhw.check.verdict import Verdict
from xnorhw.frontends import TorchEvaluator
from xnorhw.ir.errors import FitError, XnorhwError
from xnorhw.nn import zoo
from xnorhw.plan import folding_of

ROWS = 64
RTL_FRAMES = 2


@dataclass(frozen=True)
class Line:
    """What is known of a network after its run; counts of compared tensors, values and mismatches by link."""

    name: str
    state: str
    frames: int
    links: dict[str, str]
    decisions: str
    chip: str
    seconds: float

    @property
    def markdown(self) -> str:
        """A row of the table."""
        links = " | ".join(self.links.get(link, "not run") for link in ("golden", "c", "hls", "rtl"))
        return f"| {self.name} | {self.state} | {self.frames} | {links} | {self.decisions} | {self.chip} |"


HEAD = (
    "| network | state | frames | torch = golden | C | HLS | RTL | decisions | chip |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def model_of(name: str, models: Path | None, folder: Path, frames: int) -> tuple[Model, str]:
    """The network and whether it was trained."""
    if models is not None and (models / f"{name}.pt").is_file():
        return xnorhw.load(models / f"{name}.pt"), "trained"
    torch.manual_seed(0)
    net, given = zoo.build(name)
    x = torch.randint(0, 256, (max(frames, 2), *given.shape)).float()
    with contextlib.redirect_stdout(io.StringIO()):
        snapped = xnorhw.snap(varied(net, x), samples=x)
    path = folder / f"{name}.pt"
    xnorhw.save(snapped, path, given, samples=x.numpy())
    return xnorhw.load(path), "initialised"


def run(name: str, models: Path | None, frames: int, inputs: int, rtl: bool) -> Line:
    """Everything about one network."""
    started = time.monotonic()
    links: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            model, state = model_of(name, models, folder, frames)
            build = model.build("cpu", folder / "cpu", frames=frames, verify="none")
        except XnorhwError as error:
            return Line(name, "refused", 0, {}, "", str(error), time.monotonic() - started)
        links |= compared(build.compare(frames=frames))
        decided = decisions(model, inputs) if inputs else "not counted"
        chip = fits(model)
        if rtl:
            found, design = simulated(model, folder, frames)
            # the links that the CPU's build has, too, saw more frames there
            links = found | links
            chip += f"; {design}" if design else ""
    return Line(name, state, frames, links, decided, chip, time.monotonic() - started)


def simulated(model: Model, folder: Path, frames: int) -> tuple[dict[str, str], str]:
    """Counts by link of a small design of the whole network, and what it is; nothing where there is none."""
    for name, board in boards():
        try:
            built = model.build(
                board,
                folder / f"chip-{name}",
                folding=folding_of(small_plan(model.integer, board)),
                frames=min(frames, RTL_FRAMES),
                verify="none",
            )
        except FitError:
            continue
        except XnorhwError as error:
            return {}, f"no RTL: {error}"
        links = compared(built.compare(frames=min(frames, RTL_FRAMES)))
        where = "no board holds it" if name == LIMITLESS else name
        lanes, clocks = built.plan.figures.lanes, built.plan.figures.cycles_per_frame
        return links, f"compared: {lanes:,} lanes, {clocks:,} clocks a frame, {where}"
    return {}, ""


def compared(verdict: Verdict) -> dict[str, str]:
    """Counts by link of a verification."""
    found = {}
    for link in verdict.links:
        if link.ran:
            found[link.name] = f"{link.tensors} tensors, {link.values:,} values, {link.mismatches} differ"
    return found


def fits(model: Model) -> str:
    """The first board that takes it, or why none does."""
    reason = ""
    for board in BOARDS:
        try:
            plan = model.plan(board)
        except XnorhwError as error:
            reason = reason or str(error)
            continue
        return f"fits {board}, {model.estimate(plan).to_json()['fps']:,.0f} frames/s by formula"
    return reason[:240]


def decisions(model: Model, inputs: int) -> str:
    """How many of ``inputs`` random pictures golden puts into another class than torch."""
    evaluator = TorchEvaluator(model.graph)
    random = np.random.default_rng(0)
    unlike = 0
    for start in range(0, inputs, ROWS):
        x = random.integers(0, 256, (min(ROWS, inputs - start), *model.graph.input.shape)).astype(np.float32)
        says = evaluator.run(torch.from_numpy(x)).argmax(dim=1).numpy()
        unlike += int((model.predict(x).argmax(axis=1) != says).sum())
    return f"{unlike} of {inputs:,} differ"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--models", type=Path, help="Folder of trained networks, NAME.pt.")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--decisions", type=int, default=0, metavar="N")
    parser.add_argument("--rtl", action="store_true", help="RTL and HLS of a small design; minutes each.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = []
    if not options.json:
        print(HEAD)
    for name in options.names or zoo.NAMES:
        line = run(name, options.models, options.frames, options.decisions, options.rtl)
        lines.append(asdict(line))
        if not options.json:
            print(line.markdown, flush=True)
    if options.json:
        print(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
