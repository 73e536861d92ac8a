"""Checkpoints of PyTorch projects: the project's own forward against the golden model of the import."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import xnorhw
from tests.foreign.projects import binarynet, bnn_zoo, dorefanet, packed, xnor_net
from tests.foreign.projects.common import (
    decided,
    differing,
    last_layer,
    normalised,
    pixels,
    scores_of,
    settle,
    trained,
)
from xnorhw.frontends.foreign import Options, read_foreign
from xnorhw.frontends.foreign.models import foreign_model

MNIST: dict[str, Any] = {"mean": 0.1307, "std": 0.3081}
COLOUR: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
GREY = "1x28x28,mean=0.1307,std=0.3081"
SMALL = "3x32x32,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
LARGE = "3x67x67,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"


def xnor(net: nn.Module) -> None:
    """The state in which XNOR-Net-PyTorch tests: binarised."""
    xnor_net.BinOp(net).binarization()


def packed_binarised(net: nn.Module) -> None:
    packed.BinOp(net).binarization()


def packed_form(net: nn.Module) -> None:
    op = packed.BinOp(net)
    op.binarization()
    op.restore()
    packed.pack(net)


class Case:
    """A network, what is done to its weights before they are stored, and before it is run."""

    def __init__(
        self,
        net: nn.Module,
        fed: str,
        stored: Any = None,
        run: Any = None,
        frames: int = 1000,
        wraps: str | None = "state_dict",
        **options: Any,
    ) -> None:
        self.net, self.fed, self.frames, self.wraps = net, fed, frames, wraps
        self.stored, self.run, self.options = stored, run, options

    def write(self, path: Path, frames: int) -> tuple[Any, Any]:
        """(the project's scores, the pixels); the checkpoint lies at ``path``."""
        shape = tuple(int(n) for n in self.fed.split(",")[0].split("x"))
        norm = MNIST if self.fed == GREY else COLOUR
        x = pixels(shape, frames)
        net = trained(self.net)
        twin = copy.deepcopy(net)
        for change in (self.stored, self.run):
            if change is not None:
                change(twin)
        settle(twin, normalised(x[:200], **norm))
        last_layer(net).bias.data.copy_(last_layer(twin).bias.data)  # type: ignore[union-attr]
        found = {n: v for n, v in twin.state_dict().items() if n.endswith(("running_mean", "running_var"))}
        net.load_state_dict(found, strict=False)
        if self.stored is not None:
            self.stored(net)
        state = {name: value.clone() for name, value in net.state_dict().items()}
        torch.save({self.wraps: state, "epoch": 3} if self.wraps else state, path)
        if self.run is not None:
            self.run(net)
        return scores_of(net, normalised(x, **norm)), x


CASES = {
    "xnor lenet5": lambda: Case(xnor_net.LeNet5(6, 8, 32), GREY, run=xnor),
    "xnor nin": lambda: Case(xnor_net.Nin(8), SMALL, run=xnor, frames=200),
    "xnor alexnet": lambda: Case(xnor_net.AlexNet(6, 1, 24, 10), LARGE, run=xnor, frames=100),
    "xnor alexnet, groups": lambda: Case(xnor_net.AlexNet(6, 1, 24, 10, 2), LARGE, run=xnor, frames=100),
    "binarynet vgg": lambda: Case(binarynet.Vgg(4, 24), SMALL, frames=150),
    "binarynet alexnet": lambda: Case(binarynet.AlexNet(5, 1, 24), LARGE, frames=100),
    "binarynet mnist": lambda: Case(binarynet.Mnist(48), GREY),
    "zoo mlp": lambda: Case(bnn_zoo.Mlp(32, 24), GREY, stored=bnn_zoo.latent),
    "zoo nin": lambda: Case(bnn_zoo.Nin(8), SMALL, stored=bnn_zoo.latent, frames=200),
    "zoo caffenet": lambda: Case(bnn_zoo.CaffeNet(6), SMALL, stored=bnn_zoo.latent, frames=150),
    "packed lenet": lambda: Case(packed.LeNet(6, 8, 24), GREY, stored=packed_form, wraps=None),
    "packed lenet in training": lambda: Case(packed.LeNet(6, 8, 24), GREY, run=packed_binarised, wraps=None),
    "packed vgg": lambda: Case(
        packed.Vgg(6, ["M", 8, "M", 8, 10, "M", "M", 12, "M"]),
        SMALL,
        stored=packed_form,
        frames=300,
        wraps=None,
    ),
    "packed nin": lambda: Case(packed.Nin(8), SMALL, stored=packed_form, frames=60, wraps=None),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions_are_the_projects(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    theirs, x = case.write(tmp_path / "theirs.pth", case.frames)
    assert decided(theirs) >= 3
    assert differing(tmp_path / "theirs.pth", theirs, x, input=case.fed) == 0


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n, made in CASES.items() if made().frames < 1000])
def test_decisions_on_a_thousand_frames(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    theirs, x = case.write(tmp_path / "theirs.pth", 1000)
    assert differing(tmp_path / "theirs.pth", theirs, x, input=case.fed) == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("xnor lenet5", {"recentre": False}),
        ("xnor lenet5", {"eps": 0.5}),
        ("xnor nin", {"pad": -1, "sign0": 1}),
        ("binarynet vgg", {"pad": 1}),
        ("binarynet mnist", {"eps": 0.5}),
        ("zoo mlp", {"recentre": False}),
        ("zoo caffenet", {"pad": -1}),
        ("packed vgg", {"pad": 0}),
        ("packed lenet in training", {"recentre": False}),
    ],
)
def test_a_wrong_option_is_noticed(name: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    case = CASES[name]()
    theirs, x = case.write(tmp_path / "theirs.pth", 200)
    assert differing(tmp_path / "theirs.pth", theirs, x, input=case.fed, **wrong) > 0


def test_what_the_chip_takes(tmp_path: Path) -> None:
    """Padded pixels are numbers of 24 bits, which the CPU computes; bits=8 makes codes of them."""
    case = CASES["binarynet vgg"]()
    case.write(tmp_path / "theirs.pth", 10)
    with pytest.raises(xnorhw.ModelError, match="24 bits"):
        xnorhw.load(tmp_path / "theirs.pth", input=SMALL).plan("pynq-z2")
    xnorhw.load(tmp_path / "theirs.pth", input=f"{SMALL},bits=8", sign0=1).plan("pynq-z2")


@pytest.mark.long
@pytest.mark.parametrize("name", ["binarynet vgg", "xnor nin", "packed vgg"])
def test_the_engine_computes_grids_of_24_bits(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    _, x = case.write(tmp_path / "theirs.pth", 20)
    model = xnorhw.load(tmp_path / "theirs.pth", input=case.fed)
    build = model.build(board="cpu", out=tmp_path / "out", verify="none", frames=4)
    assert np.array_equal(build.predict(x, on="c"), model.predict(x))


def test_a_wrong_normalisation_is_noticed(tmp_path: Path) -> None:
    case = CASES["xnor lenet5"]()
    theirs, x = case.write(tmp_path / "theirs.pth", 200)
    assert differing(tmp_path / "theirs.pth", theirs, x, input="1x28x28,mean=0.5,std=0.5") > 0


@pytest.mark.parametrize(("name", "right", "wrong"), [("binarynet mnist", 0, 1), ("packed lenet", -1, 1)])
def test_sign_of_zero_is_the_projects(name: str, right: int, wrong: int, tmp_path: Path) -> None:
    """Channels whose norm is dead: what stands there is exactly 0."""
    case = CASES[name]()
    stored = case.stored

    def dead(net: nn.Module) -> None:
        if stored is not None:
            stored(net)
        with torch.no_grad():
            for norm in (m for n, m in net.named_modules() if n in ("bn1", "bn2", "fc1.bn")):
                norm.weight[::3] = 0  # type: ignore[union-attr, index]
                norm.bias[::3] = 0  # type: ignore[union-attr, index]

    case.stored = dead
    theirs, x = case.write(tmp_path / "theirs.pth", 300)
    path = tmp_path / "theirs.pth"
    assert differing(path, theirs, x, input=case.fed) == 0
    assert differing(path, theirs, x, input=case.fed, sign0=right) == 0
    assert differing(path, theirs, x, input=case.fed, sign0=wrong) > 0


def test_both_ages_of_binarynet_are_one_model(tmp_path: Path) -> None:
    case = CASES["binarynet mnist"]()
    case.write(tmp_path / "new.pth", 10)
    binarynet.as_before_2023(case.net)
    torch.save({"state_dict": case.net.state_dict()}, tmp_path / "old.pth")
    new, old = (foreign_model(tmp_path / f"{age}.pth", None, Options(input=GREY)) for age in ("new", "old"))
    assert new.data == old.data
    assert [str(d) for d in new.decisions] != [str(d) for d in old.decisions]


def test_binarised_weights_are_told_from_latent_ones(tmp_path: Path) -> None:
    case = CASES["xnor lenet5"]()
    case.stored = xnor
    case.run = None
    theirs, x = case.write(tmp_path / "theirs.pth", 300)
    assert differing(tmp_path / "theirs.pth", theirs, x, input=GREY) == 0
    _, imported = read_foreign(tmp_path / "theirs.pth", None, Options(input=GREY))
    assert any(d.what == "weights" and d.value.startswith("binarised already") for d in imported.decisions)


def test_data_parallel_and_both_containers(tmp_path: Path) -> None:
    case = CASES["xnor lenet5"]()
    theirs, x = case.write(tmp_path / "theirs.pth", 100)
    state = torch.load(tmp_path / "theirs.pth", weights_only=True)["state_dict"]
    wrapped = {f"module.{name}": value for name, value in state.items()}
    content = {
        "state_dict": wrapped,
        "best_accuracy": np.float64(99.1),
        "criterion": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.Adam(case.net.parameters()).state_dict(),
    }
    for new in (True, False):
        path = tmp_path / f"wrapped{new}.pth.tar"
        torch.save(content, path, _use_new_zipfile_serialization=new)
        if new and not hasattr(torch.serialization, "safe_globals"):
            # torch before 2.5 reads archives of tensors and plain values alone
            with pytest.raises(xnorhw.ModelError, match="it was not run") as caught:
                read_foreign(path, None, Options(input=GREY))
            assert "write its weights alone" in caught.value.remedy
            continue
        assert differing(path, theirs, x, input=GREY) == 0
    _, imported = read_foreign(path, None, Options(input=GREY))
    assert any(d.what == "names" and "module." in d.value for d in imported.decisions)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("net", "arch"),
    [
        (bnn_zoo.LeNet5(5, 6, 20), None),
        (dorefanet.AlexNetQ(1, 2, 5, 1, 16), "alexnet:1,2"),
        (dorefanet.AlexNetQ(3, 1, 5, 1, 16), "alexnet:3,1"),
        (dorefanet.AlexNetQ(2, 32, 5, 1, 16), "alexnet:2,32"),
    ],
    ids=["zoo lenet5", "dorefa 1,2", "dorefa 3,1", "dorefa 2,32"],
)
def test_real_activations_are_kept_for_calibrate(net: nn.Module, arch: str | None, tmp_path: Path) -> None:
    """The network in torch decides as the project's; a build names calibrate; the calibrated one is exact."""
    fed = GREY if arch is None else LARGE
    case = Case(net, fed, stored=bnn_zoo.latent, wraps=None)
    frames = 1000 if arch is None else 300
    theirs, x = case.write(tmp_path / "theirs.pth", frames)
    assert decided(theirs) >= 3
    _, imported = read_foreign(tmp_path / "theirs.pth", None, Options(input=fed, arch=arch))
    ours = scores_of(imported.net, torch.from_numpy(x))
    assert (ours.argmax(1) == theirs.argmax(1)).all()
    xnorhw.save(imported.net, tmp_path / "real.pt", imported.input)
    with pytest.raises(xnorhw.ModelError, match="real-valued activations") as error:
        _ = xnorhw.load(tmp_path / "real.pt").integer
    assert f"in the place of features.{2 if arch is None else 3}" in error.value.remedy
    assert "xnorhw calibrate" in error.value.remedy
    codes = xnorhw.calibrate(imported.net, x[:64], bits=8)
    xnorhw.save(codes, tmp_path / "codes.pt", imported.input)
    golden = xnorhw.load(tmp_path / "codes.pt").predict(x[:64])
    assert (golden.argmax(1) == scores_of(codes, torch.from_numpy(x[:64])).argmax(1)).all()
