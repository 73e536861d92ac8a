"""Full-precision first and last layers: torch equals golden on every tensor, or is refused by name."""

from __future__ import annotations

import importlib

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.lower.lowering import Lowered, batch_norm, conv, equal, lowered
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.golden.run import full
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatGraph, Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import FullProduct, HostFull, Lookup, MaxPool, Product, Threshold
from xnorhw.lower import lower
from xnorhw.nn.snap import snapped
from xnorhw.plan.stages import chip_layers, chip_output

RUN = importlib.import_module("xnorhw.golden.run")  # golden.run is its function
SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)

DECLARED = [
    Input((4, 6, 6), bits=8),
    Input((4, 6, 6), bits=8, signed=True, scale=1 / 128),
    Input((4, 6, 6), bits=3, signed=True),
    Input((4, 6, 6), bits=1),
    Input((4, 6, 6), encoding="bipolar"),
]


def filled(layer: nn.Module, seed: int, spread: float = 0.5) -> nn.Module:
    """Seeded weights on the layer's grid, and a bias."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, spread, tuple(parameter.shape))))
    assert isinstance(layer, xnn.FullConv2d | xnn.FullLinear)
    return snapped(layer)


def full_conv(inputs: int, outputs: int, seed: int = 0, **options: object) -> nn.Module:
    return filled(xnn.FullConv2d(inputs, outputs, 3, **options), seed)  # type: ignore[arg-type]


def full_linear(inputs: int, outputs: int, seed: int = 0, **options: object) -> nn.Module:
    return filled(xnn.FullLinear(inputs, outputs, **options), seed)  # type: ignore[arg-type]


def maps(net: nn.Sequential, declared: Input) -> tuple[int, ...]:
    with torch.inference_mode():
        return tuple(net.eval()(torch.zeros(1, *declared.shape)).shape[1:])


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Sequential, Input]:
    """A full-precision layer, one or two binary ones, and one of two full-precision ends."""
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    declared = draw(st.sampled_from(DECLARED))
    net = nn.Sequential()
    scale = 1.0
    if declared.bits == 8 and not declared.signed and declared.encoding == "code" and draw(st.booleans()):
        quant = xnn.InputQuant(mean=0.45, std=0.25)
        scale = quant.scale
        net.append(quant)
    flat = draw(st.booleans())
    if flat:
        net.append(nn.Flatten())
        net.append(full_linear(144, 8, seed, frac=draw(st.integers(0, 20)), in_scale=scale))
    else:
        net.append(
            full_conv(
                4,
                8,
                seed,
                stride=draw(st.integers(1, 2)),
                padding=tuple(draw(st.integers(0, 2)) for _ in range(4)),
                dilation=draw(st.integers(1, 2)),
                groups=draw(st.sampled_from([1, 2, 4])),
                bias=draw(st.booleans()),
                frac=draw(st.integers(0, 20)),
                in_scale=scale,
            )
        )
    pooled = draw(st.sampled_from(["", "before", "behind"])) if not flat else ""
    if pooled == "before" and min(maps(net, declared)[1:]) >= 2:
        net.append(nn.MaxPool2d(2))
    rank = 2 if flat else 4
    # gammas of both signs and zero; means on the sums' grid, so that sums meet thresholds exactly
    gamma = [float(rng.choice([1, -1, 0.5, -2, 0.37, 0])) for _ in range(8)]
    net.append(batch_norm(gamma, mean=list(rng.integers(-8, 9, 8) / 4), beta=0.0, rank=rank))
    net.append(xnn.Sign())
    if pooled == "behind" and min(maps(net, declared)[1:]) >= 2:
        net.append(nn.MaxPool2d(2, stride=1))
    if flat:
        net.append(xnn.BinaryLinear(8, 6))
    else:
        net.append(conv(8, 6, seed=seed + 1, padding=1))
    net.append(batch_norm([1.0, -0.5, 2.0, 0.3, -1.0, 0.25], mean=[0, 1, -2, 3, 0, 1], rank=rank))
    if draw(st.booleans()):
        net.append(xnn.Sign())
        features = int(np.prod(maps(net, declared)))
        net.append(nn.Flatten())
        net.append(full_linear(features, 5, seed + 2, frac=draw(st.integers(0, 16))))
    else:
        between: list[nn.Module] = [nn.ReLU() if draw(st.booleans()) else nn.Hardtanh(-3.0, 7.5)]
        if not flat and min(maps(net, declared)[1:]) >= 2 and draw(st.booleans()):
            between.insert(draw(st.integers(0, 1)), nn.MaxPool2d(2, stride=1))
        net.extend(between)
        features = int(np.prod(maps(net, declared)))
        net.append(nn.Flatten())
        net.append(full_linear(features, 5, seed + 2, frac=6, in_frac=draw(st.integers(0, 12))))
        if draw(st.booleans()):
            net.append(batch_norm([0.5, -1.0, 2.0, 0.3, 1.0], mean=0.7, rank=2))
            net.append(full_linear(5, 4, seed + 3, in_frac=8))
    return net, declared


@SETTINGS
@given(networks())
def test_torch_equals_golden(drawn: tuple[nn.Sequential, Input]) -> None:
    found = equal(*drawn, frames=6)
    assert any(isinstance(n.op, FullProduct) for n in found.graph.nodes)
    assert any(isinstance(n.op, Product) for n in found.graph.nodes)


def ends() -> nn.Sequential:
    """Full precision at both ends, behind signs: every sum is an integer."""
    quant = xnn.InputQuant(mean=0.5, std=0.25)
    return nn.Sequential(
        quant,
        full_conv(4, 8, 1, padding=1, frac=10, in_scale=quant.scale),
        nn.MaxPool2d(2),
        batch_norm([1.0, -1.0] * 4, mean=0.25),
        xnn.Sign(),
        conv(8, 6, seed=2, padding=1),
        batch_norm([1.0] * 6, mean=2.0),
        xnn.Sign(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        full_linear(6, 5, 3, frac=7),
    )


def real_end(in_frac: int = 6) -> nn.Sequential:
    """A last layer in full precision on real values."""
    return nn.Sequential(
        conv(4, 8, seed=1),
        batch_norm([0.3, -1.1] * 4, mean=0.2),
        nn.ReLU(),
        nn.Flatten(),
        full_linear(8 * 9, 5, 2, in_frac=in_frac),
    )


def test_ends_are_integer_products_around_the_chain() -> None:
    graph = equal(ends(), Input((4, 6, 6))).graph
    kinds = [type(n.op) for n in graph.nodes]
    assert kinds == [
        Lookup,
        FullProduct,
        Threshold,
        MaxPool,
        Product,
        Threshold,
        MaxPool,
        FullProduct,
    ]
    first, last = graph.node("1").op, graph.node("10").op
    assert isinstance(first, FullProduct) and isinstance(last, FullProduct)
    assert first.frac == 10 and first.geometry.pads.left == 1 and first.pad_value == 0
    assert last.weight.shape == (5, 6, 1, 1) and last.weight.dtype == np.int32
    pool = graph.node("4").op
    assert isinstance(pool, MaxPool) and pool.minimum.tolist() == [False, True] * 4


def test_a_pool_on_real_values_pools_the_sums() -> None:
    """Channel 1 falls, channel 2 is flat: their pools take the smallest sum, or any."""
    net = nn.Sequential(
        conv(4, 3, seed=1, padding=1),
        batch_norm([0.5, -0.5, 0.0], mean=0.25),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1, padding=1),
        nn.Flatten(),
        full_linear(27, 4, 2, in_frac=5),
    )
    graph = equal(net, frames=32).graph
    assert [type(n.op) for n in graph.nodes] == [Product, MaxPool, MaxPool]
    pool = graph.nodes[1].op
    assert isinstance(pool, MaxPool) and pool.minimum.tolist() == [False, True, False]
    assert (graph.output, graph.nodes[1].output.name) == ("4:sums", "2:sums")
    assert [layer.name for layer in chip_layers(graph)] == ["0"] and chip_output(graph).name == "0"
    # the last layer's pools, without a layer in full precision
    ends = nn.Sequential(conv(4, 3, seed=1), nn.MaxPool2d(2), batch_norm([1.0, -1.0, 2.0]), nn.Flatten())
    assert equal(ends, frames=32).graph.output == "1:sums"


def test_a_linear_layer_behind_a_map_has_its_kernel() -> None:
    net = nn.Sequential(
        conv(4, 3, seed=1), batch_norm([1.0] * 3), xnn.Sign(), nn.Flatten(), full_linear(27, 2, 2)
    )
    op = equal(net).graph.nodes[-1].op
    assert isinstance(op, FullProduct)
    assert op.geometry == WindowGeometry(kernel=(3, 3)) and op.weight.shape == (2, 3, 3, 3)


def test_weights_are_the_real_ones_in_steps() -> None:
    net = real_end()
    op = lowered(net).host[-1]
    assert isinstance(op, HostFull)
    layer = net[4]
    assert isinstance(layer, xnn.FullLinear)
    assert np.array_equal(op.weight * 2.0**-op.frac, layer.weight.detach().numpy().astype(np.float64))
    assert (op.frac, op.in_frac) == (8, 6)


def test_ranges_past_two_to_the_sixteen_are_searched_exactly() -> None:
    """Sums of 8-bit codes with weights of 20 fraction bits: the step stands between two integers."""
    layer = xnn.FullLinear(3, 2, bias=False, frac=20)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1 + 2.0**-20, 0.5, 0.25], [-1.0, 2.0**-20, 0.5]]))
    net = nn.Sequential(
        layer, batch_norm([1.0, -1.0], mean=100.0, rank=2), xnn.Sign(), xnn.BinaryLinear(2, 2)
    )
    graph = equal(net, Input((3,)), frames=64).graph
    op = graph.nodes[1].op
    assert isinstance(op, Threshold)
    # float32(s * 2^-20) reaches 100 at the first sum that rounds up to it: 2^-18 is float32's step below 128
    step = 100 * 2**20
    for channel in range(2):
        t = int(op.table[0, channel, 0])
        rounded = [float(np.float32(s * 2.0**-20)) for s in (t - 1, t, t + 1)]
        if op.direction[channel] > 0:
            assert rounded[0] < 100 <= rounded[1]
        else:
            assert rounded[1] <= 100 < rounded[2]
        assert abs(t - step) <= 4
    assert op.direction.tolist() == [1, -1]


def halves(in_frac: int) -> tuple[HostFull, npt.NDArray[np.float32]]:
    weight = np.eye(7, dtype=np.int32)
    x = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4999]], np.float32) * np.float32(2.0**-in_frac)
    return HostFull("fc", weight, 0, in_frac, None), x[:, :, None, None]


@pytest.mark.parametrize("in_frac", [0, 5])
def test_real_inputs_round_half_to_even(in_frac: int) -> None:
    op, x = halves(in_frac)
    y = full(op, x)[0, :, 0, 0] * 2.0**in_frac
    assert y.tolist() == [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 0.0]
    layer = xnn.FullLinear(7, 7, bias=False, frac=0, in_frac=in_frac).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(7))
        assert np.array_equal(layer(torch.from_numpy(x[:, :, 0, 0])).numpy(), full(op, x)[:, :, 0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda op, x: full(op, np.floor(x * 2.0**op.in_frac + 0.5).astype(np.float32) * 2.0**-op.in_frac),
        lambda op, x: full(op, x) + np.float32(2.0 ** -(op.in_frac + op.frac)),
        lambda op, x: full(HostFull(op.name, op.weight, op.frac + 1, op.in_frac, op.bias), x),
    ],
    ids=["half_up", "one_step", "grid"],
)
def test_a_fault_in_the_golden_model_is_noticed(monkeypatch: pytest.MonkeyPatch, wrong: object) -> None:
    net = nn.Sequential(*real_end(0))
    with torch.no_grad():
        # halves on purpose: sums of 36 signs are even, a is 1/4
        net[1] = batch_norm([0.25] * 8)
    equal(net)
    monkeypatch.setattr(RUN, "full", wrong)
    with pytest.raises(AssertionError):
        equal(net)


def test_a_wrong_full_product_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = RUN._convolve

    def wrong(op: Product | FullProduct, weight: npt.NDArray[np.int32], x: npt.NDArray[np.int64]) -> object:
        sums = own(op, weight, x)
        return np.float32(sums).astype(np.int64) + 1 if isinstance(op, FullProduct) else sums

    monkeypatch.setattr(RUN, "_convolve", wrong)
    with pytest.raises(ModelError, match="after the rewrite 'start'"):
        equal(ends(), Input((4, 6, 6)))


def test_the_golden_model_asserts_its_own_limit() -> None:
    op = HostFull("fc", np.full((1, 2), 2**30, np.int32), 0, 30, None)
    with pytest.raises(AssertionError, match="float64"):
        full(op, np.full((1, 2, 1, 1), 2.0**10, np.float32))


# --- refusals ---------------------------------------------------------------------------------


def refusal(net: nn.Module, declared: Input) -> ModelError:
    with pytest.raises(ModelError) as caught:
        lowered(net, declared)
    assert caught.value.remedy
    return caught.value


MAP = Input((4, 6, 6))


def test_weights_off_the_grid_are_refused() -> None:
    net = ends()
    with torch.no_grad():
        net[1].weight[3, 2, 1, 0] += 2.0**-12  # type: ignore[operator, union-attr]
    error = refusal(net, MAP)
    assert error.module == "1" and "2^-10: 1 of 288" in error.reason
    assert "snap" in error.remedy and "--approximate" in error.remedy


def test_weights_of_more_than_32_bits_are_refused() -> None:
    net = ends()
    with torch.no_grad():
        net[10].weight[0, 0] = 2.0**24  # type: ignore[operator, union-attr]
    error = refusal(net, MAP)
    assert error.module == "10" and "no 32 bits" in error.reason


def test_sums_past_two_to_the_53_are_refused() -> None:
    """Codes of up to 255 and weights of 1.5 in steps of 2^-30: 2^14 of them stay below, 2^15 do not."""

    def net(inputs: int) -> nn.Sequential:
        layer = xnn.FullLinear(inputs, 2, frac=30)
        with torch.no_grad():
            layer.weight.fill_(1.5)
        return nn.Sequential(layer, batch_norm([1.0] * 2, rank=2), xnn.Sign(), xnn.BinaryLinear(2, 2))

    assert 2**14 * 255 * 1.5 * 2.0**30 < 2**53 < 2**15 * 255 * 1.5 * 2.0**30
    equal(net(2**14), Input((2**14,)), frames=2)
    error = refusal(net(2**15), Input((2**15,)))
    assert error.module == "0" and "2^53" in error.reason


def test_real_sums_past_two_to_the_53_are_refused() -> None:
    net = real_end(in_frac=30)
    with torch.no_grad():
        net[1].weight.fill_(2.0**20)  # type: ignore[operator, union-attr]
    error = refusal(net, Input((4, 5, 5), encoding="bipolar"))
    assert error.module == "4" and "2^53" in error.reason


def test_the_bound_goes_through_a_linear_layer() -> None:
    last = filled(xnn.FullLinear(5, 3, frac=30, in_frac=30), 4, spread=0.1)
    net = nn.Sequential(
        *real_end(), nn.Hardtanh(-1.0, 1.0), filled(xnn.FullLinear(5, 3, frac=20, in_frac=30), 4)
    )
    equal(net, Input((4, 5, 5), encoding="bipolar"))
    error = refusal(nn.Sequential(*real_end(), last), Input((4, 5, 5), encoding="bipolar"))
    assert error.module == "5" and "2^53" in error.reason


def test_a_convolution_on_real_values_is_refused() -> None:
    net = nn.Sequential(conv(4, 4), nn.ReLU(), full_conv(4, 3))
    error = refusal(net, MAP)
    assert error.module == "2" and "takes real values" in error.reason


def test_a_linear_layer_on_real_values_needs_its_grid() -> None:
    net = real_end()
    net[4] = full_linear(72, 5)
    error = refusal(net, Input((4, 5, 5), encoding="bipolar"))
    assert error.module == "4" and "in_frac" in error.remedy


@pytest.mark.parametrize(
    "behind",
    [
        [xnn.Sign(), xnn.BinaryLinear(5, 3)],
        [batch_norm([1.0] * 5, rank=2), xnn.Sign(), full_linear(5, 3)],
    ],
    ids=["binary", "full"],
)
def test_signs_behind_a_layer_on_real_values_are_refused(behind: list[nn.Module]) -> None:
    error = refusal(nn.Sequential(*real_end(), *behind), Input((4, 5, 5), encoding="bipolar"))
    assert error.module == "4" and "takes real values" in error.reason


def test_a_real_layer_in_front_is_refused() -> None:
    """It keeps the input's shape, so that only its kind tells that no table expresses it."""
    net = nn.Sequential(
        batch_norm([1.0] * 6, rank=2), full_linear(6, 6, in_frac=4), xnn.Sign(), xnn.BinaryLinear(6, 3)
    )
    error = refusal(net, Input((6,)))
    assert error.module == "1" and "takes real values" in error.reason


def test_rounding_coarser_than_the_input_is_refused() -> None:
    tail = [batch_norm([1.0] * 8, rank=2), xnn.Sign(), xnn.BinaryLinear(8, 3)]
    declared = Input((6,), bits=8, signed=True, scale=1 / 16)
    error = refusal(nn.Sequential(full_linear(6, 8, in_frac=3), *tail), declared)
    assert error.module == "0" and "coarser" in error.reason
    equal(nn.Sequential(full_linear(6, 8, in_frac=4), *tail), declared)


def test_a_network_of_full_layers_alone_is_refused() -> None:
    net = nn.Sequential(full_conv(4, 3), batch_norm([1.0] * 3), xnn.Sign(), nn.Flatten(), full_linear(48, 2))
    assert "no binary layer" in refusal(net, MAP).reason


def test_a_network_that_ends_in_a_sign_is_refused() -> None:
    net = nn.Sequential(*ends(), xnn.Sign())
    assert "ends in signs" in refusal(net, MAP).reason


def test_a_batch_norm_behind_a_layer_on_real_values_is_by_channel() -> None:
    net = nn.Sequential(*real_end(), batch_norm([0.5, -1.0, 2.0, 0.3, 1.0], mean=0.3, rank=2))
    found: Lowered = equal(net, Input((4, 5, 5), encoding="bipolar"))
    assert [type(op).__name__ for op in found.graph.host][-2:] == ["HostFull", "HostBatchNorm"]


def test_a_trace_gives_the_integers_of_scaled_inputs() -> None:
    net = nn.Sequential(
        full_conv(4, 3, frac=5), batch_norm([1.0] * 3), xnn.Sign(), nn.Flatten(), xnn.BinaryLinear(48, 2)
    )
    found = equal(net, Input((4, 6, 6), bits=8, signed=True, scale=1 / 64))
    first = found.graph.nodes[0]
    assert isinstance(first.op, FullProduct)
    by_hand = nn.functional.conv2d(
        torch.from_numpy(found.x).double() * 64, torch.from_numpy(first.op.weight).double()
    )
    assert np.array_equal(found.tensors["0"], by_hand.numpy().astype(np.int64))


def test_lowering_is_deterministic() -> None:
    graph: FloatGraph = trace(ends().eval(), MAP)
    first, second = (lower(graph, TorchEvaluator(graph)) for _ in range(2))
    for a, b in zip(first.nodes, second.nodes, strict=True):
        if isinstance(a.op, Threshold) and isinstance(b.op, Threshold):
            assert np.array_equal(a.op.table, b.op.table)
