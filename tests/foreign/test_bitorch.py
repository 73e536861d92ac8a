"""Networks of bitorch's layers, saved by replacing these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import xnorhw
from tests.foreign.projects import bitorch
from tests.foreign.projects.common import decided, scores_of, trained
from xnorhw.frontends.foreign.bitorch import replacements

CODES = xnorhw.Input((1, 12, 12), bits=4, signed=True)


def frames(count: int) -> np.ndarray:
    """Integers with many zeros, of which bitorch's sign is +1."""
    return np.random.default_rng(0).integers(-2, 3, (count, 1, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("pad_value", [None, 1.0, 0.0])
def test_decisions_are_bitorchs(pad_value: float | None, tmp_path: Path) -> None:
    net = trained(bitorch.Net(pad_value))
    xnorhw.save(net, tmp_path / "net.pt", CODES, replace=replacements(net))
    x = frames(1000)
    theirs = scores_of(net, torch.from_numpy(x))
    assert decided(theirs) >= 3
    ours = xnorhw.load(tmp_path / "net.pt").predict(x)
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))


def test_the_padding_matters(tmp_path: Path) -> None:
    net, other = trained(bitorch.Net()), trained(bitorch.Net(1.0))
    xnorhw.save(net, tmp_path / "net.pt", CODES, replace=replacements(net))
    x = frames(200)
    theirs = scores_of(other, torch.from_numpy(x))
    assert (xnorhw.load(tmp_path / "net.pt").predict(x).argmax(1) != theirs.argmax(1)).any()


def test_another_quantisation_is_refused() -> None:
    with pytest.raises(xnorhw.ModelError, match=r"body\.2: quantises by bitorch's weightdorefa"):
        replacements(bitorch.Net(activation=bitorch.WeightDoReFa()))


def test_what_is_inside_a_layer_is_replaced_with_it() -> None:
    assert sorted(str(name) for name in replacements(bitorch.Net())) == [
        "body.0",
        "body.2",
        "body.5",
        "body.7",
        "head",
    ]
