"""What other importers get wrong, and what exporters leave in their files: one test each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.foreign import onnx_reference
from tests.foreign.onnx_nets import Maker
from tests.foreign.test_onnx_dialects import differing, imported
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

FRAMES = 300
SHAPE = (1, 3, 5, 5)
FED = "3x5x5,bipolar"


def binary(m: Maker, x: str, inner: int, outer: int, module: str, scale: object = 1.0, **conv: object) -> str:
    weight = m.bipolar(m.const(f"{module}.weight", m.latent(outer, inner, 3, 3)), f"{module}.q", scale)
    return m("Conv", [x, weight], module, kernel_shape=[3, 3], **conv)


def ended(m: Maker, x: str, features: int, shape: tuple[int, ...] = SHAPE) -> onnx.ModelProto:
    """Flatten and a binary linear layer behind ``x``."""
    x = m("Flatten", [x], axis=1)
    x = m("Gemm", [x, m.bipolar(m.const("fc.weight", m.latent(4, features)), "fc.q")], "fc", transB=1)
    return m.model(shape, x, (1, 4))


def compared(proto: onnx.ModelProto, folder: Path) -> int:
    model, _ = imported(proto, folder, FED)
    x = np.random.default_rng(5).choice([-1, 1], (FRAMES, *SHAPE[1:]))
    return differing(model, proto, x, x.astype(np.float32))


def small(
    norm: Callable[[Maker, str], str], scale: object = 1.0, bias: bool = False, **conv: object
) -> onnx.ModelProto:
    m = Maker(1)
    x = binary(m, "x", 3, 6, "conv", scale, **conv)
    if bias:
        m.nodes[-1].input.append(m.const("conv.bias", np.linspace(-2, 2, 6)))
    x = norm(m, x)
    x = m.bipolar(x, "sign")
    size = 25 if conv.get("pads") else 9
    return ended(m, x, 6 * size)


def halves(gamma: object) -> Callable[[Maker, str], str]:
    """A batch norm that is exact in binary: its thresholds lie on whole sums, and ties happen."""

    def norm(m: Maker, x: str) -> str:
        parts = [np.full(6, gamma) if np.ndim(gamma) == 0 else gamma, np.zeros(6), np.arange(6) - 3.0]
        inputs = [m.const(f"bn.{i}", p) for i, p in enumerate([*parts, np.full(6, 1 - 2.0**-17)])]
        return m("BatchNormalization", [x, *inputs], "bn", epsilon=2.0**-17)

    return norm


# --- the five faults of hls4ml ---------------------------------------------------------------


def test_a_negative_gamma_turns_the_comparison(tmp_path: Path) -> None:
    gamma = np.array([0.5, -0.5, 0.25, -2.0, -0.125, 1.0])
    assert compared(small(halves(gamma)), tmp_path) == 0
    unsigned = small(halves(np.abs(gamma)))
    model, _ = imported(unsigned, tmp_path, FED)
    x = np.random.default_rng(5).choice([-1, 1], (FRAMES, *SHAPE[1:]))
    assert differing(model, small(halves(gamma)), x, x.astype(np.float32)) > 0


def test_a_threshold_on_a_whole_sum_is_reached_by_it(tmp_path: Path) -> None:
    # sums of 27 signs are odd, the means -3 .. 2: every other channel has sums that tie
    proto = small(halves(1.0))
    assert compared(proto, tmp_path) == 0
    x = np.random.default_rng(5).choice([-1, 1], (FRAMES, *SHAPE[1:])).astype(np.float32)
    normed = onnx_reference.run(proto, x)[next(n.output[0] for n in proto.graph.node if n.name == "/bn/"
                                               "BatchNormalization")]  # fmt: skip
    assert (normed == 0).any()


def test_zero_padding_is_zero_and_not_minus_one(tmp_path: Path) -> None:
    assert compared(small(halves(1.0), pads=[1, 1, 1, 1]), tmp_path) == 0
    model, _ = imported(small(halves(1.0), pads=[1, 1, 1, 1]), tmp_path, FED)
    op = model.graph.node("conv").op
    assert isinstance(op, fg.BinaryConv2d) and op.pad_value == 0


def test_a_convolutions_bias_is_added_to_the_sum(tmp_path: Path) -> None:
    assert compared(small(halves(-1.0), bias=True), tmp_path) == 0


def test_a_scale_for_each_channel(tmp_path: Path) -> None:
    scale = (2.0 ** np.arange(-3, 3)).reshape(6, 1, 1, 1)
    assert compared(small(halves(1.0), scale), tmp_path) == 0


# --- the traps of QONNX ----------------------------------------------------------------------


def test_max_pool_in_front_of_a_falling_norm(tmp_path: Path) -> None:
    m = Maker(1)
    x = binary(m, "x", 3, 6, "conv", pads=[1, 1, 1, 1])
    x = m("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = halves(np.array([1.0, -1.0, 0.5, -0.5, 1.0, -1.0]))(m, x)
    assert compared(ended(m, m.bipolar(x, "sign"), 24), tmp_path) == 0


@pytest.mark.parametrize("scale", [np.inf, 0.0, -1.0, np.nan])
def test_a_scale_that_is_none_is_refused_by_name(scale: float, tmp_path: Path) -> None:
    # an integer quantiser of one bit comes out of Brevitas as a BipolarQuant with the scale inf
    proto = small(lambda m, x: m.bipolar(x, "features.3/act_quant", scale))
    with pytest.raises(ModelError, match=r"features\.3.*scale.*finite and positive"):
        imported(proto, tmp_path, FED)


def test_weights_of_a_scale_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="conv.q.*finite and positive"):
        imported(small(halves(1.0), np.inf), tmp_path, FED)


@pytest.mark.parametrize("alpha", [0.0, -0.75])
def test_a_layers_alpha_may_be_zero_or_negative(alpha: float, tmp_path: Path) -> None:
    def scaled(m: Maker, x: str) -> str:
        x = m("Mul", [x, m.const("alpha", np.array([alpha, 1, 1, -2, 1, 1]).reshape(1, 6, 1, 1))], "alpha")
        return halves(1.0)(m, x)

    assert compared(small(scaled), tmp_path) == 0


def test_one_scale_for_each_input_channel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="scales differ inside of one output"):
        imported(small(halves(1.0), np.array([1, 2, 4.0]).reshape(1, 3, 1, 1)), tmp_path, FED)


def test_float_bias_goes_into_the_threshold(tmp_path: Path) -> None:
    assert compared(small(lambda m, x: x, bias=True), tmp_path) == 0


def test_sign_of_onnx_is_zero_at_zero(tmp_path: Path) -> None:
    m = Maker(1)
    x = binary(m, "x", 3, 6, "conv")
    x = m("Add", [x, m.const("odd", 1.0)], "odd")
    x = m("Sign", [x], "sign")
    proto = ended(m, x, 54)
    assert compared(proto, tmp_path) == 0
    model, _ = imported(proto, tmp_path, FED)
    assert isinstance(model.graph.node("sign").op, fg.MultiThreshold)


def test_padding_with_a_number_of_its_own(tmp_path: Path) -> None:
    m = Maker(1)
    sides = m.const("sides", [0, 0, 1, 0, 0, 0, 0, 1], np.int64)
    x = m("Pad", ["x", sides, m.const("value", -1.0)], "pad", mode="constant")
    x = binary(m, x, 3, 6, "conv")
    model, _ = imported(ended(m, m.bipolar(x, "sign"), 6 * 4 * 4), tmp_path, FED)
    op = model.graph.node("conv").op
    assert isinstance(op, fg.BinaryConv2d) and op.pad_value == -1
    pads = op.geometry.pads
    assert (pads.left, pads.right, pads.top, pads.bottom) == (0, 1, 1, 0)


def test_groups_and_strides(tmp_path: Path) -> None:
    m = Maker(2)
    x = m.bipolar(halves(1.0)(m, binary(m, "x", 3, 6, "conv")), "s")
    x = binary(m, x, 3, 4, "grouped", group=2, strides=[2, 2], pads=[1, 1, 1, 1])
    assert compared(ended(m, m.bipolar(x, "s2"), 16), tmp_path) == 0


@pytest.mark.parametrize("bits", range(1, 9))
def test_weights_and_activations_of_every_width(bits: int, tmp_path: Path) -> None:
    m = Maker(bits)
    weight = m.quant(m.const("conv.weight", m.latent(6, 3, 3, 3)), "conv.q", 2.0**-bits, bits)
    x = m("Conv", ["x", weight], "conv", kernel_shape=[3, 3])
    x = m("Relu", [halves(0.25)(m, x)], "relu")
    x = m.quant(x, "act", 2.0**-4, bits, signed=0)
    proto = ended(m, x, 54)
    assert compared(proto, tmp_path) == 0


@pytest.mark.parametrize(("bits", "narrow"), [(2, 0), (2, 1), (3, 1), (4, 0), (8, 0)])
def test_signed_activations(bits: int, narrow: int, tmp_path: Path) -> None:
    m = Maker(bits)
    x = halves(0.25)(m, binary(m, "x", 3, 6, "conv"))
    x = m.quant(x, "act", 2.0**-3, bits, narrow=narrow, rounding="FLOOR")
    assert compared(ended(m, x, 54), tmp_path) == 0


def test_a_residual_sum_of_one_scale(tmp_path: Path) -> None:
    m = Maker(3)
    x = m.quant(halves(0.25)(m, binary(m, "x", 3, 6, "conv")), "a", 0.3, 4, signed=0)
    y = m.quant(binary(m, x, 6, 6, "conv2", pads=[1, 1, 1, 1]), "b", 0.3, 4, signed=0)
    x = m("Add", [x, y], "sum")
    x = m.bipolar(m("Sub", [x, m.const("c", 2.0)], "less"), "sign")
    assert compared(ended(m, x, 54), tmp_path) == 0


def test_a_residual_sum_of_two_scales_is_refused(tmp_path: Path) -> None:
    m = Maker(3)
    x = m.quant(binary(m, "x", 3, 6, "conv"), "a", 0.3, 4, signed=0)
    y = m.quant(binary(m, x, 6, 6, "conv2", pads=[1, 1, 1, 1]), "b", 0.4, 4, signed=0)
    with pytest.raises(ModelError, match=r"sum.*\(Add\).*worth 0.3 and 0.4"):
        imported(ended(m, m("Add", [x, y], "sum"), 54), tmp_path, FED)


@pytest.mark.parametrize("flat", [False, True])
def test_pixels_that_are_only_scaled_are_integers(flat: bool, tmp_path: Path) -> None:
    # no quantiser in front: the first layer sums 0 .. 255 and 1 / 255 is multiplied behind the sum
    m = Maker(4)
    x = m("Div", ["x", m.const("d", 256.0)], "div")
    if flat:
        x = m("Flatten", [x], "flatten", axis=1)
        weight = m.bipolar(m.const("first.weight", m.latent(6, 75)), "first.q")
        x = m("Gemm", [x, weight], "first", transB=1)
        x = m("Sub", [x, m.const("c", 0.3)], "sub")
        proto = ended(m, m.bipolar(x, "sign"), 6)
    else:
        x = m.bipolar(halves(0.5)(m, binary(m, x, 3, 6, "first")), "sign")
        proto = ended(m, x, 54)
    model, _ = imported(proto, tmp_path, "3x5x5,bits=8")
    first = model.graph.node("first").op
    assert isinstance(first, fg.BinaryConv2d | fg.BinaryLinear) and first.in_scale == 1 / 256
    x8 = np.random.default_rng(5).integers(0, 256, (FRAMES, *SHAPE[1:])).astype(np.uint8)
    assert differing(model, proto, x8, x8.astype(np.float32)) == 0


def test_pixels_that_are_moved_are_refused(tmp_path: Path) -> None:
    m = Maker(4)
    x = m("Sub", [m("Div", ["x", m.const("d", 255.0)]), m.const("half", 0.5)])
    proto = ended(m, m.bipolar(binary(m, x, 3, 6, "first"), "sign"), 54)
    with pytest.raises(ModelError, match="first.*reads real numbers.*QuantIdentity"):
        imported(proto, tmp_path, "3x5x5,bits=8")


@pytest.mark.parametrize("between", ["", "Identity"])
@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_what_two_nodes_read_is_changed_for_one_alone(op: str, between: str, tmp_path: Path) -> None:
    # the constant could be taken into the convolution, were it not read by another branch
    m = Maker(6)
    conv = halfway = binary(m, "x", 3, 6, "conv")
    if between:
        halfway = m(between, [conv], "between")
    constant = np.array([-1.0, 2, -3, 1, -1, 1]) if op == "Mul" else np.array([5.0, -5, 7, -7, 3, -3])
    first = m.bipolar(m(op, [halfway, m.const("c", constant.reshape(6, 1, 1))], "changed"), "sign1")
    second = m.bipolar(conv, "sign2")
    proto = ended(m, m("Concat", [first, second], "both", axis=1), 108)
    assert compared(proto, tmp_path) == 0
