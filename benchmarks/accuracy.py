"""The same small network on real digits in every scheme of the papers, several seeds each.

    python -m benchmarks.accuracy [--seeds N] [--epochs N] [--jobs N] [--plot FILE] [--json]

scikit-learn's digits, 8 x 8 pixels, a quarter of them kept for the test.  Three convolutions
and two linear layers; the first and the last are in full precision in every scheme, what
lies between is as the scheme has it.  One way to train for all: Adam along a cosine, cross-entropy,
pictures moved by a pixel; each scheme has the step of its paper (latent weights centred, clipped).
Then each network is snapped, lowered, and run by the golden model on every test picture.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import xnorhw
from xnorhw import nn as xnn
from xnorhw.nn.data import Data, load_data
from xnorhw.nn.train import RECIPES, Distillation, Run, accuracy, train

WIDTH = 16
RELU_SCALE = 2.0**-5
CLASSES = 10

Layer = Callable[..., nn.Module]
Order = Literal["B-A-C-P", "C-B-A-P", "C-P-B-A"]


@dataclass(frozen=True)
class Scheme:
    """How the inner layers are made: ``conv`` and ``linear`` (inputs, outputs), the activation, the order
    of a block, the training step and its first rate."""

    name: str
    conv: Layer
    linear: Layer
    act: Callable[[], nn.Module]
    order: Order = "C-P-B-A"
    step: Literal["xnor", "connect", "none"] = "none"
    rate: float = 1e-2
    distilled: bool = False


def plain_conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def plain_linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs, bias=False)


def binary_conv(inputs: int, outputs: int, **options: Any) -> nn.Module:
    return xnn.BinaryConv2d(inputs, outputs, 3, padding=1, **options)


def connect_conv(inputs: int, outputs: int, stochastic: bool) -> nn.Module:
    weight = xnn.BinaryConnectWeight(stochastic)
    return xnn.BinaryConv2d(inputs, outputs, 3, padding=1, in_scale=RELU_SCALE, weight=weight)


def connect_linear(inputs: int, outputs: int, stochastic: bool) -> nn.Module:
    return xnn.BinaryLinear(inputs, outputs, in_scale=RELU_SCALE, weight=xnn.BinaryConnectWeight(stochastic))


def quant_conv(inputs: int, outputs: int, make: Callable[[], Any], in_scale: float = 1.0) -> nn.Module:
    return xnn.QuantConv2d(inputs, outputs, 3, padding=1, weight=make(), in_scale=in_scale)


def quant_linear(inputs: int, outputs: int, make: Callable[[], Any], in_scale: float = 1.0) -> nn.Module:
    return xnn.QuantLinear(inputs, outputs, weight=make(), in_scale=in_scale)


class ScaledBlock(nn.Module):
    """XNOR-Net's convolution with the input scale map K, which takes the sign itself."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # few bits: what K and the signs' sum make together has to be exact in float32
        self.grid = xnn.Grid(6, 3)
        self.conv = xnn.ScaledBinaryConv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(self.grid(x))
        return out


def dorefa(name: str, weights: int, activations: int) -> Scheme:
    step = xnn.QuantReLU(activations).scale
    if weights == 1:
        conv: Layer = partial(binary_conv, scale="layer", in_scale=step)
        linear: Layer = partial(xnn.BinaryLinear, scale="layer", in_scale=step)
    else:
        conv = partial(quant_conv, make=partial(xnn.DoReFaWeight, weights), in_scale=step)
        linear = partial(quant_linear, make=partial(xnn.DoReFaWeight, weights), in_scale=step)
    return Scheme(name, conv, linear, partial(xnn.QuantReLU, activations))


def abc(name: str, weights: int, activations: int) -> Scheme:
    make = partial(xnn.BasesWeight, weights, 4)
    act = partial(xnn.BasesActivation, activations, 4)
    return Scheme(name, partial(quant_conv, make=make), partial(quant_linear, make=make), act)


def connect(name: str, stochastic: bool) -> Scheme:
    conv, linear = (
        partial(connect_conv, stochastic=stochastic),
        partial(connect_linear, stochastic=stochastic),
    )
    return Scheme(name, conv, linear, partial(xnn.QuantReLU, 8, RELU_SCALE), step="connect", rate=1e-3)


def schemes() -> list[Scheme]:
    codes = partial(xnn.QuantReLU, 8, RELU_SCALE)
    scaled: dict[str, Any] = {"scale": "channel"}
    bwn_conv = partial(binary_conv, scale="channel", in_scale=RELU_SCALE)
    bwn_linear = partial(xnn.BinaryLinear, scale="channel", in_scale=RELU_SCALE)
    xnor_conv, xnor_linear = partial(binary_conv, **scaled), partial(xnn.BinaryLinear, **scaled)
    before: Order = "B-A-C-P"
    return [
        Scheme("float", plain_conv, plain_linear, nn.ReLU),
        Scheme("BWN", bwn_conv, bwn_linear, codes, step="xnor"),
        Scheme("XNOR, B-A-C-P", xnor_conv, xnor_linear, xnn.Sign, before, "xnor"),
        Scheme("XNOR without scale", binary_conv, xnn.BinaryLinear, xnn.Sign, before, "xnor"),
        Scheme("XNOR with K", ScaledBlock, xnor_linear, xnn.Sign, before, "none"),
        Scheme("XNOR, C-B-A-P", xnor_conv, xnor_linear, xnn.Sign, "C-B-A-P", "xnor"),
        connect("BinaryConnect", False),
        connect("BinaryConnect, stochastic", True),
        Scheme("BinaryNet", binary_conv, xnn.BinaryLinear, xnn.Sign, step="connect", rate=1e-3),
        dorefa("DoReFa (1, 2)", 1, 2),
        dorefa("DoReFa (1, 4)", 1, 4),
        dorefa("DoReFa (2, 2)", 2, 2),
        abc("ABC (3, 3)", 3, 3),
        abc("ABC (5, 5)", 5, 5),
        Scheme("XNOR, distilled", xnor_conv, xnor_linear, xnn.Sign, before, "xnor", distilled=True),
    ]


def network(scheme: Scheme) -> nn.Module:
    """Raw pixels [N, 1, 8, 8] -> scores [N, 10]."""
    full = scheme.conv is plain_conv
    quant = xnn.InputQuant(mean=0.5, std=0.5)
    first = (
        nn.Conv2d(1, WIDTH, 3, padding=1)
        if full
        else xnn.FullConv2d(1, WIDTH, 3, padding=1, frac=8, in_scale=quant.scale)
    )
    layers: list[nn.Module] = [quant, first]
    if scheme.order != "B-A-C-P":
        layers += [nn.BatchNorm2d(WIDTH), scheme.act()]
    for inputs, outputs in ((WIDTH, 2 * WIDTH), (2 * WIDTH, 2 * WIDTH)):
        conv = scheme.conv(inputs, outputs)
        if scheme.order == "B-A-C-P":
            # the map K takes its sign behind the grid itself
            act = [] if scheme.conv is ScaledBlock else [scheme.act()]
            layers += [nn.BatchNorm2d(inputs), *act, conv, nn.MaxPool2d(2)]
        elif scheme.order == "C-B-A-P":
            layers += [conv, nn.BatchNorm2d(outputs), scheme.act(), nn.MaxPool2d(2)]
        else:
            layers += [conv, nn.MaxPool2d(2), nn.BatchNorm2d(outputs), scheme.act()]
    if scheme.order == "B-A-C-P":
        layers += [nn.BatchNorm2d(2 * WIDTH), scheme.act()]
    layers += [nn.Flatten(), scheme.linear(8 * WIDTH, 4 * WIDTH), nn.BatchNorm1d(4 * WIDTH), nn.ReLU()]
    layers.append(
        nn.Linear(4 * WIDTH, CLASSES) if full else xnn.FullLinear(4 * WIDTH, CLASSES, frac=10, in_frac=10)
    )
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Outcome:
    """Accuracies 0..1 on the test pictures: as trained, snapped; decisions of the snapped network in torch
    that the golden model does not share (None where nothing can be built)."""

    scheme: str
    seed: int
    trained: float
    snapped: float | None
    differing: int | None


def measured(number: int, seed: int, epochs: int) -> Outcome:
    """Train scheme ``number`` once."""
    torch.set_num_threads(1)
    scheme = schemes()[number]
    data = load_data("digits", seed=seed)
    recipe = replace(RECIPES["plain"], epochs=epochs, learning_rate=scheme.rate, step=scheme.step)
    teacher = None
    if scheme.distilled:
        plain = schemes()[0]
        taught = replace(RECIPES["plain"], epochs=epochs, step="none")
        net = train(partial(network, plain), data, taught, run=Run(seed=seed, best=False)).net
        teacher = Distillation(net, "float")
        recipe = replace(recipe, soft=0.9, temperature=4.0)
    # the last epoch counts: to take the best one on the test pictures would flatter every scheme
    run = Run(seed=seed, best=False)
    result = train(partial(network, scheme), data, recipe, run=run, distillation=teacher)
    last = result.accuracy
    if settled(result.net, data):
        last = accuracy(result.net, data.test)
    if scheme.conv is plain_conv:
        return Outcome(scheme.name, seed, last, None, None)
    snapped, differing = proven(result.net, data)
    return Outcome(scheme.name, seed, last, snapped, differing)


def settled(net: nn.Module, data: Data) -> bool:
    """Batch norms of a network whose weights were drawn, measured again with the signs that are tested.

    A drawn weight's sums vary less than its sign's: the statistics of training do not fit them.
    False where nothing was drawn.
    """
    drawn = [m for m in net.modules() if isinstance(m, xnn.BinaryConnectWeight) and m.stochastic]
    if not drawn:
        return False
    for quant in drawn:
        quant.stochastic = False
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for chosen in torch.arange(len(data.train)).split(128):
            net.train()(data.train.batch(chosen).float())
    net.eval()
    return True


def proven(net: nn.Module, data: Data) -> tuple[float, int]:
    """(accuracy of the snapped network, decisions of it that golden does not share)."""
    x = data.test.batch(torch.arange(len(data.test))).float()
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        snapped = xnorhw.snap(net, samples=x)
        path = Path(folder) / "net.pt"
        xnorhw.save(snapped, path, xnorhw.Input(data.shape))
        golden = xnorhw.load(path).predict(x.numpy()).argmax(axis=1)
    with torch.inference_mode():
        mine = snapped(x).argmax(dim=1).numpy()
    return accuracy(snapped, data.test), int((golden != mine).sum())


def summary(outcomes: list[Outcome]) -> list[tuple[str, list[float], list[float], int | None]]:
    """(scheme, accuracies, snapped ones, differing decisions in all) in the order of the schemes."""
    rows = []
    for scheme in schemes():
        mine = [o for o in outcomes if o.scheme == scheme.name]
        snapped = [o.snapped for o in mine if o.snapped is not None]
        counts = [o.differing for o in mine if o.differing is not None]
        rows.append((scheme.name, [o.trained for o in mine], snapped, sum(counts) if counts else None))
    return rows


def shown(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * spread:.2f}"


def table(outcomes: list[Outcome]) -> str:
    lines = [
        "| scheme | test accuracy, % | snapped, % | torch against golden |",
        "|---|---|---|---|",
    ]
    for name, trained, snapped, differing in summary(outcomes):
        if trained:
            unlike = "" if differing is None else f"{differing} differ"
            lines.append(f"| {name} | {shown(trained)} | {shown(snapped) if snapped else ''} | {unlike} |")
    return "\n".join(lines)


def plot(outcomes: list[Outcome], path: Path) -> None:
    """Each seed a dot, each scheme's mean a bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in summary(outcomes)[::-1] if row[1]]
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for y, (_, values, _, _) in enumerate(rows):
        axes.plot([100 * v for v in values], [y] * len(values), "o", color="tab:blue", alpha=0.5)
        axes.plot([100 * float(np.mean(values))] * 2, [y - 0.35, y + 0.35], color="black")
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_xlabel("test accuracy on digits, %")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--only", help="schemes whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tasks = [
        (number, seed)
        for number, scheme in enumerate(schemes())
        if not options.only or options.only.lower() in scheme.name.lower()
        for seed in range(options.seeds)
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        found = [pool.submit(measured, n, s, options.epochs) for n, s in tasks]
        outcomes = [f.result() for f in found]
    if options.plot is not None:
        plot(outcomes, options.plot)
    print(json.dumps([asdict(o) for o in outcomes], indent=1) if options.json else table(outcomes))


if __name__ == "__main__":
    main()
