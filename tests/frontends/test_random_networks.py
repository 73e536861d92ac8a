"""Seeded random networks: traced, saved, loaded and run node by node, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save
from xnorhw.frontends.prove import random_inputs
from xnorhw.ir import float_graph as fg

SCALES = (None, "channel", "layer")


def random_network(seed: int) -> tuple[nn.Sequential, fg.Input]:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    def flip(p: float = 0.5) -> bool:
        return bool(rng.random() < p)

    groups = int(rng.integers(1, 3))
    channels = groups * int(rng.integers(1, 4))
    height, width = (int(v) for v in rng.integers(5, 12, 2))
    layers: list[nn.Module] = []
    shape = (channels, height, width)
    if flip(0.3):
        declared = fg.Input(shape)
        layers.append(
            xnn.InputQuant(mean=rng.random(channels).tolist(), std=0.3, bits=int(rng.integers(2, 9)))
        )
    elif flip():
        declared = fg.Input(shape, encoding="bipolar")
    else:
        declared = fg.Input(shape, int(rng.integers(1, 9)), flip(), 2.0 ** int(rng.integers(-8, 3)))
    in_scale = layers[0].scale if layers else float(rng.choice([1.0, 1 / 3]))
    for _ in range(int(rng.integers(1, 4))):
        outputs = groups * int(rng.integers(1, 5))
        kernel = (int(rng.integers(1, min(4, height + 1))), int(rng.integers(1, min(4, width + 1))))
        padding = tuple(int(v) for v in rng.integers(0, 3, 4)) if flip() else int(rng.integers(0, 2))
        layers.append(
            xnn.BinaryConv2d(
                channels,
                outputs,
                kernel,
                stride=int(rng.integers(1, 3)),
                padding=padding,
                groups=groups,
                bias=flip(),
                scale=SCALES[rng.integers(3)],
                in_scale=in_scale,  # type: ignore[arg-type]
            )  # fmt: skip
        )
        chain: list[nn.Module] = [
            nn.BatchNorm2d(outputs, affine=flip(0.8), eps=float(rng.choice([1e-3, 1e-5])))
        ]
        if flip(0.4):
            chain.append(nn.ReLU(inplace=flip()))
        if flip(0.3):
            chain.append(nn.Hardtanh(-0.5, 2.0))
        rng.shuffle(chain)  # type: ignore[arg-type]
        layers.extend([*chain, nn.Dropout(0.1), xnn.Sign()])
        probe = torch.from_numpy(random_inputs(declared, 1, seed))
        shape = tuple(nn.Sequential(*layers).eval()(probe).shape[1:])
        if min(shape[1:]) >= 2 and flip():
            pool = nn.MaxPool2d(
                2, stride=int(rng.integers(1, 3)), padding=int(rng.integers(0, 2)), ceil_mode=flip()
            )
            layers.insert(len(layers) - int(rng.integers(0, 3)), pool)
            shape = tuple(nn.Sequential(*layers).eval()(probe).shape[1:])
        channels, height, width = shape
        in_scale = 1.0
    layers += [nn.Flatten(), xnn.BinaryLinear(int(np.prod(shape)), 4, flip(), SCALES[rng.integers(3)])]  # type: ignore
    net = nn.Sequential(*layers).eval()
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 9)
            if module.affine:
                module.weight.data.normal_()
                module.bias.data.normal_()
    return net, declared


@pytest.mark.parametrize("seed", range(60))
def test_random_network(seed: int, tmp_path: Path) -> None:
    net, declared = random_network(seed)
    x = random_inputs(declared, 6, seed=seed + 1)
    save(net, tmp_path / "m.pt", declared, x)
    file = load_model_file(tmp_path / "m.pt")
    evaluator = TorchEvaluator(file.graph)
    values = evaluator.trace(x)
    assert np.array_equal(values[":scores"], net(torch.from_numpy(x.copy())).detach().numpy())
    for node in file.graph.nodes:
        name = node.output.name
        source = values.get(f"{node.input}:out", values[node.input])
        out = values.get(f"{name}:out", values[name])
        assert out.shape[1:] == node.output.shape
        assert np.array_equal(evaluator.call(name, source), out)
        if isinstance(node.op, fg.BinaryConv2d | fg.BinaryLinear):
            assert np.array_equal(evaluator.after_sum(name, values[name]), out)
            _check_sums(node.op, source, values[name])


def _check_sums(op: fg.BinaryConv2d | fg.BinaryLinear, x: np.ndarray, sums: np.ndarray) -> None:
    weight = op.weight.astype(np.float64)
    exact = x.astype(np.float64)
    if isinstance(op, fg.BinaryLinear):
        expected = exact @ weight.T
    else:
        p, g = op.geometry.pads, op.geometry
        padded = np.pad(exact, ((0, 0), (0, 0), (p.top, p.bottom), (p.left, p.right)))
        view = np.lib.stride_tricks.sliding_window_view(padded, g.kernel, axis=(2, 3))
        view = view[:, :, :: g.stride[0], :: g.stride[1]]
        inputs = np.split(view, op.groups, axis=1)
        kernels = np.split(weight, op.groups, axis=0)
        parts = [np.einsum("nchwyx,ocyx->nohw", v, k) for v, k in zip(inputs, kernels, strict=True)]
        expected = np.concatenate(parts, axis=1)
    assert np.array_equal(sums, expected)
