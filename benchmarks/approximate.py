"""What `--approximate` changes in networks that were not snapped: hidden decisions and classes.

    python -m benchmarks.approximate [NAME ...] [--epochs N] [--inputs N] [--seed N] [--json]

Each network of the zoo with a layer in full precision, and each ResNet in a quarter of its size, is
trained for a few epochs (NIN for one) on pictures that the project has or draws, or, where it is too
large for that and with ``--epochs 0``, initialised with batch norms as varied as trained ones, and taken
as it is then, its weights in full precision included.  `--approximate` rounds these to the finest grid that
stays exact (31 bits, 16 of a last layer), and makes lines of integers of the batch norms in front of a
grid where nothing else expresses them.  Every sign, code and number on a grid
that the network decides on N pictures that it was not trained on (random pixels, where it was
initialised) is compared with what the rounded network decides there, and so is the class.  The rounded
network is lowered, too, to see that it can be built.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import xnorhw
from benchmarks.varied import varied
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.rounding import approximated, changed
from xnorhw.frontends.trace import trace
from xnorhw.ir.errors import XnorhwError
from xnorhw.ir.float_graph import BasesQuant, BipolarQuant, FloatGraph, Grid, QuantRelu
from xnorhw.ir.grid import round_to_grid
from xnorhw.lower import lower
from xnorhw.nn import zoo
from xnorhw.nn.data import Arrays, Data, load_data, robots, scenes
from xnorhw.nn.train import RECIPES, Run, train
from xnorhw.nn.zoo.residual import resnet18

Floats = npt.NDArray[np.float32]

Values = dict[str, Tensor]

CHUNK = 50
"""Small pictures at once."""
VARIED = 64
"""Pictures whose statistics the batch norms of an initialised network take."""
INITIALISED = "initialised"
QUANTISERS = (BipolarQuant, QuantRelu, Grid, BasesQuant)
CLASSES, SIDE, WIDTH = 4, 32, 16
"""The reduced ResNets: a quarter of the channels on pictures of 32 pixels."""
PICTURES = 2000


@dataclass(frozen=True)
class Network:
    """How it is made for a number of classes (its own if None), on which data it learns, and how long."""

    make: Callable[[int | None], nn.Module]
    shape: tuple[int, int, int]
    data: str
    epochs: int = 5


def _zoo(name: str, data: str, epochs: int = 5) -> Network:
    return Network(lambda classes: zoo.build(name, classes)[0], zoo.ENTRIES[name].shape, data, epochs)


def _resnet(scheme: str) -> Network:
    make = partial(resnet18, scheme=scheme, width=WIDTH)
    return Network(lambda classes: make(classes or CLASSES), (3, SIDE, SIDE), "scenes")


TRAINED = {
    "lenet5": _zoo("lenet5", "digits"),
    "nao-xnor": _zoo("nao-xnor", "robots"),
    "nao-fire": _zoo("nao-fire", "robots"),
    "nin": _zoo("nin", "scenes", epochs=1),
    **{f"resnet18-{scheme}, a quarter": _resnet(scheme) for scheme in ("xnor", "bireal", "bwn", "abc")},
}
NETWORKS = TRAINED | {name: _zoo(name, "", epochs=0) for name in zoo.ENTRIES if name not in TRAINED}


@dataclass(frozen=True)
class Line:
    """A network: rounded layers, decisions and classes compared and differing, whether it is built.

    Signs, codes and bases are decisions; numbers on a grid, of which one in thousands of steps is the
    next, are counted by themselves.  ``own``: decisions that would differ on the layers' own grids,
    not counted for an initialised network; ``seen``: how many classes are decided.
    """

    name: str
    state: str
    rounded: tuple[str, ...]
    decisions: int
    differing: int
    worst: str
    own: int | None
    numbers: int
    moved: int
    inputs: int
    classes: int
    seen: int
    built: str

    @property
    def markdown(self) -> str:
        """A row of the table."""
        if not self.rounded:
            dashes = "- | " * 6
            return f"| {self.name} | {self.state} | nothing: the same network | {dashes}{self.built} |"
        share = f"{self.differing:,} of {self.decisions:,} ({_percent(self.differing, self.decisions)})"
        few = self.rounded if len(self.rounded) < 4 else (*self.rounded[:2], f"{len(self.rounded) - 2} more")
        rounded = ", ".join(few)
        own = "-" if self.own is None else _percent(self.own, self.decisions)
        return (
            f"| {self.name} | {self.state} | {rounded} | {share} | {self.worst} | "
            f"{own} | {_percent(self.moved, self.numbers)} | "
            f"{self.classes} of {self.inputs:,} | {self.seen} | {self.built} |"
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.4f} %" if whole else "-"


HEAD = (
    "| network | state | rounded | hidden decisions that differ | most in | on the layers' own grids | "
    "numbers on a grid that differ | classes that differ | classes seen | build |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def pictures(name: str, shape: tuple[int, int, int], inputs: int, seed: int) -> Data:
    """The data set with at least ``inputs`` pictures to test on."""
    if name == "digits":
        whole = load_data(name, seed=seed)
        # its own test set is smaller: the pictures to compare on are taken from those to train on
        every = [part.batch(torch.arange(len(part))).numpy() for part in (whole.train, whole.test)]
        pixels = np.concatenate(every)
        labels = np.concatenate([np.asarray(part.labels) for part in (whole.train, whole.test)])
        left = len(pixels) - inputs
        parts = Arrays(pixels[:left], labels[:left]), Arrays(pixels[left:], labels[left:])
        return Data(name, whole.classes, whole.shape, *parts).sized(shape)
    draw = robots if name == "robots" else scenes
    return draw(PICTURES, inputs, seed=seed, channels=shape[0], size=min(shape[1:])).sized(shape)


def graph_of(network: Network, epochs: int | None, inputs: int, seed: int) -> tuple[FloatGraph, Floats, str]:
    """The network as its training left it, the pictures to compare on, and what it is."""
    given = xnorhw.Input(network.shape)
    epochs = network.epochs if epochs is None else epochs
    if epochs == 0 or not network.data:
        torch.manual_seed(seed)
        x = torch.from_numpy(random_inputs(given, VARIED, seed=seed + 1))
        graph = trace(varied(network.make(None if not network.data else CLASSES), x, seed), given)
        return graph, random_inputs(given, inputs, seed=seed + 2), INITIALISED
    data = pictures(network.data, network.shape, inputs, seed)
    recipe = replace(RECIPES["plain"], epochs=epochs)
    result = train(lambda: network.make(len(data.classes)), data, recipe, run=Run(seed=seed))
    state = f"{network.data}, {100 * result.accuracy:.1f} %"
    return trace(result.net, given), data.samples(inputs)[0].astype(np.float32), state


def measure(name: str, epochs: int | None, inputs: int, seed: int) -> Line:
    """Compare a network with its rounded form."""
    graph, values, state = graph_of(NETWORKS[name], epochs, inputs, seed)
    rounded = approximated(graph)
    if rounded is graph:
        return Line(name, state, (), 0, 0, "-", None, 0, 0, len(values), 0, 0, _built(graph))
    before, after = TorchEvaluator(graph), TorchEvaluator(rounded)
    coarse = None if state == INITIALISED else TorchEvaluator(round_to_grid(graph))
    quantisers = {n.output.name: n.op for n in graph.nodes if isinstance(n.op, QUANTISERS)}
    differing, counted, own = (dict.fromkeys(quantisers, 0) for _ in range(3))
    classes, seen = 0, set[int]()
    # of large pictures one: what it has in common with the network it is compared with is not run twice
    size = CHUNK if max(values.shape[2:]) <= SIDE else 1
    for start in range(0, len(values), size):
        x = torch.from_numpy(np.ascontiguousarray(values[start : start + size]))
        given = run(before, x)
        found = run(after, x, given, before)
        for key in quantisers:
            differing[key] += _apart(given[key], found[key])
            counted[key] += given[key].numel()
        if coarse is not None:
            found_on_own = run(coarse, x, given, before)
            for key in quantisers:
                own[key] += _apart(given[key], found_on_own[key])
        decisions, others = (_decided(v[graph.output]) for v in (given, found))
        classes += int((decisions != others).sum())
        seen |= set(decisions.tolist())
    grids = [key for key, op in quantisers.items() if isinstance(op, Grid)]
    decided = [key for key in quantisers if key not in grids]
    worst = max(decided, key=lambda key: differing[key] / counted[key])
    return Line(
        name,
        state,
        changed(graph, rounded),
        sum(counted[key] for key in decided),
        sum(differing[key] for key in decided),
        f"{worst}, {_percent(differing[worst], counted[worst])}" if differing[worst] else "-",
        None if coarse is None else sum(own[key] for key in decided),
        sum(counted[key] for key in grids),
        sum(differing[key] for key in grids),
        len(values),
        classes,
        len(seen),
        _built(rounded),
    )


def run(
    evaluator: TorchEvaluator,
    x: Tensor,
    known: Values | None = None,
    known_of: TorchEvaluator | None = None,
) -> Values:
    """Every value of a network on a batch.

    ``known``: the values of another one of the same nodes, ``known_of``.  Where an operation is that
    one's own and what it reads is equal, so is what it makes.
    """
    values: Values = {FloatGraph.INPUT_NAME: x}
    same = {FloatGraph.INPUT_NAME}
    others = {} if known_of is None else {node.output.name: node.op for node in known_of.graph.nodes}
    with torch.inference_mode():
        for node in evaluator.graph.nodes:
            name = node.output.name
            if known is not None and others[name] is node.op and same.issuperset(node.inputs):
                values[name] = known[name]
                same.add(name)
                continue
            values[name] = evaluator.module(name)(*(values[read] for read in node.inputs))
            if known is not None and torch.equal(values[name], known[name]):
                same.add(name)
    return values


def _apart(a: Tensor, b: Tensor) -> int:
    return 0 if a is b else int((a != b).sum())


def _decided(scores: Tensor) -> npt.NDArray[np.int64]:
    return np.asarray(scores.reshape(len(scores), -1).argmax(dim=1).numpy(), np.int64)


def _built(graph: FloatGraph) -> str:
    try:
        lower(graph, TorchEvaluator(graph))
    except XnorhwError as error:
        return f"refused: {error.module}"
    return "exact from there on"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(NETWORKS))
    parser.add_argument("--epochs", type=int, metavar="N", help="without it 5, of NIN 1, of the wide ones 0")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        if name not in NETWORKS:
            parser.error(f"{name} is none of {'; '.join(NETWORKS)}")
    lines = []
    if not options.json:
        print(HEAD)
    for name in options.names or NETWORKS:
        line = measure(name, options.epochs, options.inputs, options.seed)
        lines.append(asdict(line))
        if not options.json:
            print(line.markdown, flush=True)
    if options.json:
        print(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
