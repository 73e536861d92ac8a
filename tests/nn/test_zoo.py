"""The zoo: every network is built, counted and run; the small ones are proven against the golden model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from benchmarks import zoo as zoo_benchmark
from benchmarks.varied import varied
from xnorhw import nn as xnn
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator
from xnorhw.golden import run as golden_run
from xnorhw.golden.codes import codes_of
from xnorhw.ir.errors import XnorhwError
from xnorhw.nn import zoo
from xnorhw.nn.train import RECIPES
from xnorhw.nn.zoo.residual import ResNet18, resnet18

SMALL = ("digits", "lenet5", "nin", "cnv", "mlp-1024", "nao-xnor", "nao-fire")
LARGE = tuple(name for name in zoo.NAMES if name not in SMALL)
# the weights and the binary ones that were counted on the papers' own tables
KNOWN = {
    "alexnet-xnor": (62_367_776, 58_236_928),
    "alexnet-bwn": (62_367_776, 58_236_928),
    "alexnet-dorefa": (60_961_280, 56_823_808),
    "bnn-cifar10": (14_022_016, 14_022_016),
    "nin": (965_568, 949_248),
    "lenet5": (430_500, 425_000),
    "sentibank-xnor": (65_415_200, 56_823_808),
}


def test_names_entries_and_what_they_refer_to() -> None:
    assert zoo.NAMES == tuple(zoo.ENTRIES)
    for name, entry in zoo.ENTRIES.items():
        assert entry.name == name and entry.title and entry.source
        assert entry.recipe in RECIPES
        assert entry.accuracy == zoo.NOT_VERIFIED or "%" in entry.accuracy
    for name, numbers in KNOWN.items():
        figures = zoo.ENTRIES[name].figures
        assert (figures.weights, figures.binary_bits) == numbers, name
    # a network whose table was not found does not carry its paper's accuracy
    for name in ("wide13", "nao-xnor", "nao-fire", "extraction-bwn"):
        assert zoo.ENTRIES[name].accuracy == zoo.NOT_VERIFIED and "paper" in zoo.ENTRIES[name].deviates


def test_unknown_names_and_no_classes() -> None:
    for name in ("nothing", "nothing-float"):
        with pytest.raises(XnorhwError, match="nothing: there is no such network"):
            zoo.build(name)
    with pytest.raises(XnorhwError, match="lenet5: 1 classes leave nothing to decide"):
        zoo.build("lenet5", 1)


@pytest.mark.parametrize("name", SMALL)
def test_figures_of_small_networks(name: str) -> None:
    net, given = zoo.build(name)
    assert given == xnorhw.Input(zoo.ENTRIES[name].shape) and net.training
    assert zoo.counted(net, given.shape) == zoo.ENTRIES[name].figures


@pytest.mark.long
@pytest.mark.parametrize("name", LARGE)
def test_figures_of_large_networks(name: str) -> None:
    net, given = zoo.build(name)
    assert zoo.counted(net, given.shape) == zoo.ENTRIES[name].figures


def test_figures_by_hand() -> None:
    net = nn.Sequential(
        xnn.FullConv2d(1, 4, 3),
        xnn.Sign(),
        xnn.BinaryConv2d(4, 6, 3),
        xnn.QuantReLU(2),
        xnn.QuantConv2d(6, 2, 1, weight=xnn.DoReFaWeight(3)),
        nn.Flatten(),
        xnn.BasesActivation(3),
        xnn.QuantLinear(2 * 16, 5, weight=xnn.BasesWeight(2)),
    )
    found = zoo.counted(net, (1, 8, 8))
    assert found == zoo.Figures(
        layers=4,
        weights=36 + 216 + 12 + 160,
        binary_bits=216 + 3 * 12 + 2 * 160,
        macs_1bit=216 * 16 + 160 * 2 * 3,
        macs_kbit=12 * 16,
        macs_full=36 * 36,
    )
    assert net.training


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_train_and_take_other_classes(name: str) -> None:
    net, given = zoo.build(name, 3)
    torch.manual_seed(0)
    scores = net(torch.randint(0, 256, (4, *given.shape)).float())
    assert scores.shape == (4, 3)
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 0])).backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(torch.isfinite(parameter.grad).all()), parameter_name


@pytest.mark.parametrize("name", ["digits-float", "nao-xnor-float", "alexnet-xnor-float"])
def test_teachers(name: str) -> None:
    net, given = zoo.build(name, 7)
    assert net.eval()(torch.zeros(1, *given.shape)).shape == (1, 7)
    assert not any("Binary" in type(m).__name__ for m in net.modules())


def prove(net: nn.Module, given: xnorhw.Input, path: Path, frames: int) -> dict[str, np.ndarray]:
    """Save, load, lower; every tensor of golden and torch is equal. The golden tensors."""
    torch.manual_seed(1)
    x = torch.randint(0, 256, (frames, *given.shape)).float()
    snapped = xnorhw.snap(varied(net, x), samples=x)
    xnorhw.save(snapped, path, given, samples=x.numpy())
    model = xnorhw.load(path)
    codes = codes_of(model.integer, x.numpy())
    tensors = golden_run(model.integer, codes)
    link = check_torch(model.integer, TorchEvaluator(model.graph), codes, tensors)
    assert link.comparison.mismatches == 0, link.comparison.first
    assert link.comparison.tensors > 4
    return dict(tensors)


@pytest.mark.parametrize("name", ["lenet5", "nao-xnor", "nao-fire"])
def test_golden_equals_torch_on_every_tensor(name: str, tmp_path: Path) -> None:
    net, given = zoo.build(name)
    tensors = prove(net, given, tmp_path / "net.pt", 8)
    signs = [t for t in tensors.values() if set(np.unique(t)) == {-1, 1}]
    assert signs and any(0.05 < (t == 1).mean() < 0.95 for t in signs), "activations vary"


SLOW = pytest.mark.long  # thousands of steps a channel are searched, three times


@pytest.mark.parametrize(
    "scheme", [pytest.param("abc", marks=SLOW), "bireal", pytest.param("bwn", marks=SLOW), "xnor"]
)
def test_narrow_resnets_equal_golden(scheme: str, tmp_path: Path) -> None:
    """The blocks of the zoo's ResNet-18 with a sixteenth of the channels on pictures of 32 pixels."""
    prove(resnet18(5, scheme, width=4), xnorhw.Input((3, 32, 32)), tmp_path / "net.pt", 4)


def test_every_sum_of_a_resnet_is_of_numbers_on_a_grid() -> None:
    for scheme in ("abc", "bireal", "bwn", "xnor"):
        net = resnet18(10, scheme, width=4)
        assert isinstance(net, ResNet18)
        seen: list[torch.Tensor] = []
        keep = seen.append
        hooks = [b.register_forward_hook(lambda m, x, y, keep=keep: keep(y)) for b in net.blocks]
        varied(net, torch.randint(0, 256, (2, 3, 32, 32)).float())(torch.zeros(1, 3, 32, 32))
        for hook in hooks:
            hook.remove()
        for out in seen[-len(hooks) :]:
            steps = out.double() * 2**6
            assert torch.equal(steps, steps.round()), scheme


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["nin", "cnv", "mlp-1024", "bnn-svhn", "bnn-cifar10", "alexnet-xnor", "resnet18-xnor"]
)
def test_golden_equals_torch_on_larger_networks(name: str, tmp_path: Path) -> None:
    net, given = zoo.build(name)
    prove(net, given, tmp_path / "net.pt", 2)


@pytest.mark.long
def test_sentibank_gives_its_feature_by_name(tmp_path: Path) -> None:
    """``Model.trace`` holds the 4,096 numbers that DeepSentiBank's users read at fc7."""
    net, given = zoo.build("sentibank-xnor")
    tensors = prove(net, given, tmp_path / "net.pt", 2)
    assert tensors["fc7"].reshape(2, -1).shape == (2, 4096) and len(np.unique(tensors["fc7"])) > 100
    model = xnorhw.load(tmp_path / "net.pt")
    assert np.array_equal(model.trace(model.samples)["fc7"], tensors["fc7"].reshape(2, -1))


def test_the_benchmark_says_why_there_is_no_rtl(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise XnorhwError("it has no unit", module="conv2", remedy="Use another")

    monkeypatch.setattr(zoo_benchmark, "small_plan", refusing)
    line = zoo_benchmark.run("digits", None, 1, 0, True)
    assert line.links["c"].endswith(" 0 differ") and "rtl" not in line.links
    assert line.chip.startswith("fits pynq-z2, ") and "no RTL: conv2: it has no unit" in line.chip


@pytest.mark.long
def test_the_benchmark_takes_a_whole_network_through_rtl() -> None:
    line = zoo_benchmark.run("digits", None, 2, 0, True)
    assert set(line.links) == {"golden", "rom", "c", "hls", "rtl"}
    assert all(found.endswith(" 0 differ") for found in line.links.values())
    assert "; compared: " in line.chip and line.chip.endswith(" clocks a frame, pynq-z2")
