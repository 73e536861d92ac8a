from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xnorhw import nn as xnn


class _Reference:
    """The published loop on plain convolutions: centre, clamp, save, binarise, run, restore, correct."""

    def __init__(self, net: nn.Module) -> None:
        self.weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        self.saved: list[torch.Tensor] = []

    def prepare(self) -> None:
        for w in self.weights:
            if w.size(1) > 1:
                w.data.sub_(w.data.mean(1, keepdim=True))
            w.data.clamp_(-1, 1)

    def binarise(self) -> None:
        self.prepare()
        self.saved = [w.data.clone() for w in self.weights]
        for w in self.weights:
            alpha = w.data.abs().flatten(1).mean(1).view(-1, *[1] * (w.dim() - 1))
            w.data = torch.where(w.data >= 0, 1.0, -1.0) * alpha

    def restore_and_correct(self) -> None:
        for w, saved in zip(self.weights, self.saved, strict=True):
            w.data = saved.clone()
            assert w.grad is not None
            n = saved[0].numel()
            signs = torch.where(saved >= 0, 1.0, -1.0)
            alpha = saved.abs().flatten(1).mean(1).view(-1, *[1] * (w.dim() - 1))
            inside = w.grad * alpha * (saved.abs() <= 1)
            through = (w.grad * signs).flatten(1).sum(1).view(-1, *[1] * (w.dim() - 1)) * signs / n
            shrink = 1 - 1 / saved.size(1) if saved.size(1) > 1 else 1
            w.grad = (inside + through) * shrink * n


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_training_equals_the_published_loop(name: str) -> None:
    torch.manual_seed(2)
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3)
    ).double()
    ours = nn.Sequential(
        xnn.BinaryConv2d.from_conv(plain[0], "channel"),  # type: ignore[arg-type]
        nn.BatchNorm2d(4),
        xnn.BinaryConv2d.from_conv(plain[2], "channel"),  # type: ignore[arg-type]
        nn.Flatten(),
        xnn.BinaryLinear.from_linear(plain[4], "channel"),  # type: ignore[arg-type]
    ).double()
    make = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[name]
    rate = {"SGD": 1e-3, "Adam": 1e-2}[name]
    theirs_step, our_step = make(plain.parameters(), lr=rate), make(ours.parameters(), lr=rate)
    reference, xnor = _Reference(plain), xnn.XnorStep(ours)
    assert xnor.uncentred == ("0",)
    for _ in range(4):
        x, y = torch.randn(8, 1, 8, 8, dtype=torch.float64), torch.randint(0, 3, (8,))
        reference.binarise()
        theirs = F.cross_entropy(plain(x), y)
        theirs_step.zero_grad()
        theirs.backward()  # type: ignore[no-untyped-call]
        reference.restore_and_correct()
        theirs_step.step()
        mine = F.cross_entropy(ours(x), y)
        our_step.zero_grad()
        mine.backward()  # type: ignore[no-untyped-call]
        xnor.step(our_step)
        assert torch.allclose(theirs, mine, rtol=1e-9)
    reference.prepare()
    for index in (0, 2, 4):
        assert torch.allclose(plain[index].weight, ours[index].weight, rtol=1e-8, atol=1e-12)  # type: ignore[arg-type]


def test_weights_are_centred_and_clamped() -> None:
    layer = xnn.BinaryConv2d(16, 8, 3)
    nn.init.normal_(layer.weight, 0.3, 0.1)
    xnn.XnorStep(layer)
    assert float(layer.weight.detach().mean(1).abs().max()) < 1e-6
    nn.init.normal_(layer.weight, 0.0, 2.0)
    xnn.XnorStep(layer, centre=False)
    assert float(layer.weight.detach().abs().max()) == 1.0


def test_depthwise_layers_are_not_centred_to_zero() -> None:
    layer = xnn.BinaryConv2d(4, 4, 3, groups=4)
    before = layer.weight.detach().clone()
    step = xnn.XnorStep(nn.Sequential(layer))
    assert step.uncentred == ("0",)
    assert torch.equal(layer.weight, before)
    layer.weight.grad = torch.ones_like(layer.weight)
    step.scale_gradients()
    assert bool((layer.weight.grad == 9).all())


def test_gain_is_optional_and_missing_gradients_are_left() -> None:
    net = nn.Sequential(xnn.BinaryLinear(4, 2), xnn.BinaryLinear(2, 2))
    net[0].weight.grad = torch.ones(2, 4)  # type: ignore[union-attr]
    xnn.XnorStep(net, gain=False).scale_gradients()
    assert bool((net[0].weight.grad == 1).all())  # type: ignore[union-attr]
    xnn.XnorStep(net).scale_gradients()
    assert bool((net[0].weight.grad == 4 * (1 - 1 / 4)).all())  # type: ignore[union-attr]
    assert net[1].weight.grad is None


def test_refuses_a_network_without_binary_layers() -> None:
    with pytest.raises(ValueError, match="no BinaryConv2d"):
        xnn.XnorStep(nn.Linear(2, 2))
