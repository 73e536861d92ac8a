"""Every distinct layer of the zoo's networks by itself, in RTL and C++, at its true channel counts.

    python -m benchmarks.layer_configurations [NAME ...] [--work FOLDER] [--models FOLDER] [--list] [--json]

Each network's integer graph is cut into its binary layers, and into the blocks that join tensors
(``benchmarks.cuts``), with the network's own weights and thresholds and a smaller map.  Cuts of one
text are one configuration, whatever networks they are from; the first one met is run.  It is planned
for the first board that holds it, sent through the RTL in Verilator (back to back, and with random
pauses on both sides) and through the C++ core, and every tensor that leaves a unit is compared with
the golden model.

A sweep can be broken off and goes on where it was: FOLDER holds the cuts, and a result for each
configuration that ran.  Remove its ``results`` to run all again.  Exits with 1 where something differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from benchmarks import cuts
from benchmarks.folded import boards, small_plan
from xnorhw import golden
from xnorhw.check.compare import Comparison, compare
from xnorhw.emit import hls
from xnorhw.emit.sim import observed_edges
from xnorhw.golden.codes import codes_of
from xnorhw.ir import float_graph, geometry, int_graph, types
from xnorhw.ir.errors import FitError, XnorhwError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.serial import decode, dump_npz, encode, load_npz
from xnorhw.nn import zoo
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan.model import Plan
from xnorhw.sim.compiled import CompiledRun, Stalls
from xnorhw.sim.hls_run import HlsRun, run_hls
from xnorhw.sim.multi import MultiModel, multi_model

__all__ = ["Case", "Configuration", "Result", "collected", "configurations", "measured", "planned", "table"]

FRAMES = 4
STEADY = 21
CLOCKS = 4_000_000
"""Frames go back to back up to ``STEADY`` of them, fewer where they would take more clocks."""

PAUSES = 30
BATCH = 8
"""Configurations in one Verilated model: its runtime takes longer to compile than a layer."""

Values = npt.NDArray[Any]
Run = Union[CompiledRun, HlsRun]
_CLASSES = tuple(
    kind
    for module in (float_graph, geometry, int_graph, types)
    for kind in vars(module).values()
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")
)


@dataclass(frozen=True)
class Configuration:
    """One configuration: its words, and where it was met as (network, tensor)."""

    key: str
    words: str
    places: tuple[tuple[str, str], ...]

    @property
    def networks(self) -> str:
        """The networks that have it."""
        return ", ".join(dict.fromkeys(name for name, _ in self.places))


@dataclass(frozen=True)
class Result:
    """What was run: where it fits, its foldings as (PE, SIMD), counts by link, clocks a frame."""

    board: str
    shape: tuple[int, int, int]
    foldings: tuple[tuple[int, int], ...]
    frames: int
    tensors: int
    rtl: tuple[int, int]
    hls: tuple[int, int]
    planned: int
    simulated: float

    @property
    def exact(self) -> bool:
        """True where no value differs."""
        return self.rtl[1] == 0 == self.hls[1]


# --- collecting ------------------------------------------------------------------------------


def collected(name: str, models: Path | None, work: Path) -> list[tuple[str, str, str]]:
    """(key, words, tensor) of each cut of a network; the cuts that are new are written to ``work``."""
    listing = work / "networks" / f"{name}.json"
    if listing.is_file():
        return [(key, words, tensor) for key, words, tensor in json.loads(listing.read_text())]
    graph, tensors = _network(name, models)
    found = []
    for part in cuts.parts(graph):
        words = cuts.text(part)
        key = hashlib.sha256(words.encode()).hexdigest()[:16]
        path = work / "cuts" / f"{key}.npz"
        if not path.is_file():
            small, x = cuts.cut(part, tensors[part.source.name], FRAMES, seed=0)
            _write(path, _bytes(small, x))
        found.append((key, words, part.nodes[0].output.name))
    _write(listing, json.dumps(found, indent=1).encode())
    return found


def _network(name: str, models: Path | None) -> tuple[IntGraph, Mapping[str, Values]]:
    """A network's integer graph and golden's tensors of two pictures."""
    from benchmarks.zoo import model_of

    with tempfile.TemporaryDirectory() as folder:
        model, _ = model_of(name, models, Path(folder), 2)
        graph = model.integer
        assert model.samples is not None
        return graph, golden.run(graph, codes_of(graph, model.samples[:2]))


def configurations(listings: Mapping[str, list[tuple[str, str, str]]]) -> list[Configuration]:
    """The distinct ones, in the order in which they are met."""
    found: dict[str, Configuration] = {}
    for name, listing in listings.items():
        for key, words, tensor in listing:
            known = found.get(key, Configuration(key, words, ()))
            found[key] = replace(known, places=(*known.places, (name, tensor)))
    return list(found.values())


def _bytes(graph: IntGraph, x: Values) -> bytes:
    arrays: dict[str, Values] = {}
    tree = encode(graph, arrays)
    return dump_npz(tree, {**arrays, "frames": x})


def _read(path: Path) -> tuple[IntGraph, Values]:
    tree, arrays = load_npz(path.read_bytes())
    graph = decode(tree, arrays, _CLASSES)
    assert isinstance(graph, IntGraph)
    return graph, arrays["frames"].astype(np.int64)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a sweep may be broken off at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(data)
    fresh.replace(path)


# --- running ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A cut with its frames, the plan for it, and the board that holds that."""

    graph: IntGraph
    x: Values
    plan: Plan
    board: str


def planned(graph: IntGraph, x: Values) -> Case:
    """A small design of a cut for the first board that holds it.

    Raises ModelError where the chip does not run it, FitError where no folding is slow enough.
    """
    unfit: FitError | None = None
    for name, board in boards():
        try:
            return Case(graph, x, small_plan(graph, board), name)
        except FitError as error:
            unfit = error
    assert unfit is not None
    raise unfit


def measured(cases: Sequence[Case], work: Path) -> Iterator[Result]:
    """Run cuts one after the other, their RTL as one Verilated model; programs are kept in ``work``."""
    model = multi_model([(case.plan, case.graph) for case in cases])
    for index, case in enumerate(cases):
        yield _measured(model, index, case, work)


def _measured(model: MultiModel, index: int, case: Case, work: Path) -> Result:
    plan, graph = case.plan, case.graph
    tensors = golden.run(graph, case.x)
    count = max(len(case.x), min(STEADY, CLOCKS // plan.figures.cycles_per_frame))
    again = {name: np.resize(values, (count, *values.shape[1:])) for name, values in tensors.items()}
    pauses = Stalls(1, PAUSES, PAUSES)
    few = frames_of(plan, graph, tensors)

    steady = model.run_compiled(index, frames_of(plan, graph, again), work)
    stalled = model.run_compiled(index, few, work, stalls=pauses)
    in_rtl = compared("rtl", case, again, steady) + compared("rtl", case, tensors, stalled)

    files = hls.files(plan, graph)
    bounded = run_hls(files, plan, few, work, stalls=pauses)
    csim = run_hls(files, plan, few, work, csim=True)
    in_hls = compared("hls", case, tensors, bounded) + compared("hls", case, tensors, csim)

    assert steady.cycles_per_frame is not None
    return Result(
        case.board,
        graph.input_tensor.shape,
        tuple((layer.pe, layer.simd) for layer in plan.layers),
        count,
        in_rtl.tensors,
        (in_rtl.values, in_rtl.mismatches),
        (in_hls.values, in_hls.mismatches),
        plan.figures.cycles_per_frame,
        steady.cycles_per_frame,
    )


def frames_of(plan: Plan, graph: IntGraph, tensors: Mapping[str, Values]) -> npt.NDArray[np.uint8]:
    """The frames as the accelerator takes them."""
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    return pack_frames(plan, tensors[plan.input_tensor], kind)


def compared(link: str, case: Case, tensors: Mapping[str, Values], run: Run) -> Comparison:
    """What a run observed against golden, tensor by tensor."""
    plan, graph = case.plan, case.graph
    found: dict[str, Values] = {}
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        found[name] = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
    found[plan.output_tensor] = unpack_results(plan, run.results, graph.tensor(plan.output_tensor).shape)
    names = [node.output.name for node in graph.nodes if node.output.name in found]
    return compare(link, names, dict(tensors), found)


# --- the table -------------------------------------------------------------------------------

HEAD = (
    "| configuration | networks | input | board | PE x SIMD | RTL | C++ | clocks: simulated / planned |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(configuration: Configuration, result: Result) -> str:
    """A row of the table."""
    folding = ", ".join(f"{pe} x {simd}" for pe, simd in result.foldings)
    shape = " x ".join(str(n) for n in result.shape)
    counts = [f"{values:,} values, {unlike} differ" for values, unlike in (result.rtl, result.hls)]
    clocks = f"{result.simulated:,.0f} / {result.planned:,}"
    cells = (configuration.words, configuration.networks, shape, result.board, folding, *counts, clocks)
    return f"| {' | '.join(cells)} |"


def table(found: Sequence[tuple[Configuration, Result]]) -> str:
    """All that ran, and their sum."""
    lines = [HEAD, *(row(configuration, result) for configuration, result in found)]
    values = [sum(r.rtl[0] for _, r in found), sum(r.hls[0] for _, r in found)]
    unlike = [sum(r.rtl[1] for _, r in found), sum(r.hls[1] for _, r in found)]
    slowest = max((r.simulated / r.planned for _, r in found), default=1.0)
    lines.append(
        f"\n{len(found)} configurations: RTL {values[0]:,} values, {unlike[0]} differ; C++ {values[1]:,} "
        f"values, {unlike[1]} differ; clocks at most {slowest:.3f} times the planned ones"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("work/layer_configurations"), metavar="FOLDER")
    parser.add_argument("--models", type=Path, help="Folder of trained networks, NAME.pt.")
    parser.add_argument("--list", action="store_true", help="The configurations alone.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    listings, refused = {}, []
    for name in options.names or zoo.NAMES:
        try:
            listings[name] = collected(name, options.models, options.work)
        except XnorhwError as error:
            refused.append((name, "not lowered", str(error)))
    found = configurations(listings)
    if options.list:
        print("\n".join(f"{c.words}  [{c.networks}]" for c in found))
        return
    sweep = Sweep(options.work)
    # the heavy ones last
    order = sorted(found, key=lambda c: (options.work / "cuts" / f"{c.key}.npz").stat().st_size)
    for configuration in order:
        sweep.take(configuration, last=configuration is order[-1])
    refused += sweep.refused
    ran = [(c, sweep.ran[c.key]) for c in found if c.key in sweep.ran]
    if options.json:
        print(json.dumps({"ran": [[asdict(c), asdict(r)] for c, r in ran], "refused": refused}, indent=1))
    else:
        print(table(ran))
        for networks, words, reason in refused:
            print(f"\nrefused, of {networks}: {words}\n    {reason}")
    if sweep.failed or not all(result.exact for _, result in ran):
        raise SystemExit(1)


class Sweep:
    """Configurations one after the other, ``BATCH`` in one Verilated model.

    ``ran`` by key; ``refused`` as (networks, words, reason), with what ``failed`` in simulation.
    """

    def __init__(self, work: Path) -> None:
        self.ran: dict[str, Result] = {}
        self.refused: list[tuple[str, str, str]] = []
        self.failed = 0
        self._work = work
        self._waiting: list[tuple[Configuration, Case]] = []

    def take(self, configuration: Configuration, *, last: bool) -> None:
        """One more; it runs when a batch is full or it is the last."""
        kept = self._kept(configuration)
        if kept.is_file():
            self.ran[configuration.key] = _result(json.loads(kept.read_text()))
        else:
            try:
                case = planned(*_read(self._work / "cuts" / f"{configuration.key}.npz"))
                self._waiting.append((configuration, case))
            except XnorhwError as error:
                self.refused.append((configuration.networks, configuration.words, str(error)))
        if len(self._waiting) == BATCH or last:
            waiting, self._waiting = self._waiting, []
            self._run(waiting)

    def _run(self, batch: list[tuple[Configuration, Case]]) -> None:
        done = 0
        with tempfile.TemporaryDirectory(prefix="compiled-", dir=self._work) as folder:
            try:
                for result in measured([case for _, case in batch], Path(folder)) if batch else ():
                    self._keep(batch[done][0], result)
                    done += 1
                return
            except XnorhwError as error:
                reason = str(error)
        if len(batch) == 1:
            self.failed += 1
            configuration, _ = batch[0]
            self.refused.append((configuration.networks, configuration.words, f"FAILED: {reason}"))
            return
        # the model may not have compiled, by the fault of any of them
        for one in batch[done:]:
            self._run([one])

    def _keep(self, configuration: Configuration, result: Result) -> None:
        self.ran[configuration.key] = result
        print(row(configuration, result), file=sys.stderr, flush=True)
        if result.exact:
            _write(self._kept(configuration), json.dumps(asdict(result)).encode())

    def _kept(self, configuration: Configuration) -> Path:
        return self._work / "results" / f"{configuration.key}.json"


def _result(tree: dict[str, Any]) -> Result:
    tree["foldings"] = tuple((pe, simd) for pe, simd in tree["foldings"])
    for name in ("shape", "rtl", "hls"):
        tree[name] = tuple(tree[name])
    return Result(**tree)


if __name__ == "__main__":
    main()
