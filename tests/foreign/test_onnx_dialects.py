"""Every dialect of ONNX that is read: the file's own operations against golden, every decision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.foreign import onnx_nets, onnx_reference
from xnorhw import load
from xnorhw.api import Model
from xnorhw.frontends import load_model_file, save
from xnorhw.frontends.foreign import detect, read_foreign
from xnorhw.frontends.foreign.base import Imported, Options
from xnorhw.ir import float_graph as fg

FRAMES = 1000
QUANTISERS = (fg.InputQuant, fg.BipolarQuant, fg.MultiThreshold, fg.QuantRelu, fg.Grid)
Pixels = npt.NDArray[np.uint8]


def imported(model: onnx.ModelProto, folder: Path, said: str | None) -> tuple[Model, Imported]:
    """The network of a file, through a model file, as ours."""
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    _, made = read_foreign(path, None, Options(input=said))
    save(made.net, folder / "net.pt", input=made.input)
    return load(folder / "net.pt"), made


def pixels(model: Model, frames: int = FRAMES, seed: int = 3) -> Pixels:
    shape = (frames, *model.graph.input.shape)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def quantised(model: Model) -> list[str]:
    return [n.output.name for n in model.graph.nodes if isinstance(n.op, QUANTISERS)]


def integers(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """A quantiser's values in steps of the difference of neighbours, from the smallest on."""
    found = np.unique(values)
    if len(found) == 1:
        return np.zeros(values.shape, np.int64)
    return np.rint((values - found[0]) / np.diff(found).min()).astype(np.int64)


def differing(model: Model, proto: onnx.ModelProto, x: Pixels, given: npt.NDArray[np.float32]) -> int:
    """How many decisions of the file, on ``given``, are others than ours on the pixels ``x``."""
    theirs = onnx_reference.run(proto, given)
    ours = model.trace(x.astype(np.float32))
    names = onnx_reference.activations(proto)
    assert len(names) == len(quantised(model))
    wrong = 0
    for there, here in zip(names, quantised(model), strict=True):
        if here not in ours:
            continue  # a sign in front of its pool is folded into it
        a = theirs[there]
        if a.ndim == 4 and a.shape[1:] != ours[here].shape[1:]:
            a = a.transpose(0, 3, 1, 2)
        b = ours[here].reshape(a.shape)
        wrong += int((integers(a) != integers(b)).sum())
    scores = model.predict(x.astype(np.float32))
    last = next(n for n in reversed(proto.graph.node) if n.op_type != "TopK").output[0]
    found = theirs[last].reshape(scores.shape)
    wrong += int((scores.argmax(axis=1) != found.argmax(axis=1)).sum())
    assert wrong or np.allclose(scores, found, rtol=1e-5, atol=1e-5)
    return wrong


@pytest.mark.parametrize("kind", onnx_nets.NETS)
def test_every_decision_is_the_files_own(kind: str, tmp_path: Path) -> None:
    make, said = onnx_nets.NETS[kind]
    proto = make()
    model, _ = imported(proto, tmp_path, said)
    x = pixels(model)
    assert differing(model, proto, x, fed(kind, x)) == 0


def fed(kind: str, x: Pixels) -> npt.NDArray[np.float32]:
    """What the file takes for pixels [N, C, H, W]: as they are, divided by 255, channels last."""
    values = x.astype(np.float32)
    if kind != "finn":
        values = values / np.float32(255)
    return values.transpose(0, 2, 3, 1) if kind == "qkeras" else values


@pytest.mark.parametrize("kind", ["brevitas-torchscript", "brevitas-dynamo", "qkeras", "qcdq"])
def test_a_wrong_input_is_noticed(kind: str, tmp_path: Path) -> None:
    make, said = onnx_nets.NETS[kind]
    assert said is not None
    proto = make()
    model, _ = imported(proto, tmp_path, said.replace("std=1", "std=0.7"))
    x = pixels(model, 50)
    assert differing(model, proto, x, fed(kind, x)) > 0


def test_other_weights_are_noticed(tmp_path: Path) -> None:
    # the comparison itself can fail: one weight of the first layer has another sign
    proto = onnx_nets.finn()
    model, _ = imported(proto, tmp_path, None)
    weight = next(t for t in proto.graph.initializer if t.name == "w0")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[3, 2] *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w0"))
    x = pixels(model, 100)
    assert differing(model, proto, x, fed("finn", x)) > 0


def test_the_kind_is_detected_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "renamed.pt"
    path.write_bytes(onnx_nets.finn().SerializeToString())
    found = detect(path)
    assert [kind.name for kind, _ in found] == ["onnx"]
    assert "finn.custom_op.general" in found[0][1]


def test_what_was_decided_is_said(tmp_path: Path) -> None:
    _, made = imported(onnx_nets.finn(), tmp_path, None)
    told = {d.what: d.value for d in made.decisions}
    assert "UINT8" in next(d.why for d in made.decisions if d.what == "input")
    assert told["layers"] == "2 of 1 bit"
    assert any("TopK" in what for what in told)
    _, made = imported(onnx_nets.qkeras(), tmp_path, "2x5x5,mean=0,std=1")
    assert {d.what: d.value for d in made.decisions}["layout"] == "channels first"


def test_modules_are_named_after_the_files(tmp_path: Path) -> None:
    model, _ = imported(onnx_nets.brevitas_torchscript(), tmp_path, "3x4x4,mean=0,std=1")
    names = [n.output.name for n in model.graph.nodes]
    assert {"features.0", "features.2", "features.3", "features.4"} <= set(names)


def test_ternary_activations_are_read_bit_by_bit(tmp_path: Path) -> None:
    model, _ = imported(onnx_nets.brevitas_dynamo(), tmp_path, "3x8x8,mean=0,std=1")
    kinds = [str(n.output.type) for n in model.integer.nodes]
    assert any(kind.startswith("thermometer:u2") for kind in kinds)
    # so every layer is one that the chip has
    assert model.plan("pynq-z2").jobs


def test_scales_are_folded_behind_the_sum(tmp_path: Path) -> None:
    # a learned input scale that is no power of two
    model, _ = imported(onnx_nets.qcdq(input_scale=0.0298), tmp_path, "3x4x4,mean=0,std=1")
    first = next(n.op for n in model.graph.nodes if isinstance(n.op, fg.BasesConv2d))
    assert first.in_scale == float(np.float32(0.0298))
    assert first.weight.shape[0] == 5 and first.scale is not None and first.scale.shape == (7,)


def test_a_relu_in_front_of_the_first_quantiser(tmp_path: Path) -> None:
    # of pixels from -1 to 1 it leaves those above 0, and the quantiser behind it is signed
    m = onnx_nets.Maker(4)
    x = m.quant(m("Relu", ["x"]), "q", 2.0**-3, 4)
    proto = m.model((1, 6), m("MatMul", [x, m.bipolar(m.const("w", m.latent(6, 4)), "s")]), (1, 4))
    model, _ = imported(proto, tmp_path, "6,mean=0.5,std=0.5")
    x = pixels(model)
    given = (x.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    assert differing(model, proto, x, given) == 0
    table = next(n.op.table for n in model.graph.nodes if isinstance(n.op, fg.InputQuant))
    assert table.min() == 0 and table.max() == 7


@pytest.mark.parametrize(("rounding", "bits", "window", "scale", "apart"), [
    ("FLOOR", 4, 4, 0.2160856, 1.0), ("FLOOR", 2, 2, 0.2160856, 1.0), ("ROUND", 3, 2, 0.1, 1.0),
    ("ROUND", 4, 3, 0.3, 1.0), ("FLOOR", 5, 8, 0.25, 1.0),
    ("FLOOR", 4, 7, 0.29, 1.0), ("FLOOR", 4, 4, 0.25, 0.9), ("ROUND", 4, 4, 0.25, 1.2),
])  # fmt: skip
def test_bits_cut_off_behind_an_average(
    rounding: str, bits: int, window: int, scale: float, apart: float, tmp_path: Path
) -> None:
    proto = onnx_nets.truncated(1, rounding, bits, window, scale, apart)
    model, _ = imported(proto, tmp_path, "3x10x10,mean=0,std=1")
    x = pixels(model, 400)
    assert model.integer.nodes
    assert differing(model, proto, x, fed("brevitas-trunc", x)) == 0
    # the comparison can fail: the other rounding
    swapped = {"FLOOR": "ROUND", "ROUND": "FLOOR"}[rounding]
    other = onnx_nets.truncated(1, swapped, bits, window, scale, apart)
    assert differing(model, other, x, fed("brevitas-trunc", x)) > 0


def test_the_model_file_is_the_same_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        imported(onnx_nets.qcdq(), tmp_path / name, "3x4x4,mean=0,std=1")
    assert (tmp_path / "a/net.pt").read_bytes() == (tmp_path / "b/net.pt").read_bytes()
    assert load_model_file(tmp_path / "a/net.pt").graph.input.shape == (3, 4, 4)


def far_from_a_threshold(
    model: Model, proto: onnx.ModelProto, x: Pixels, given: npt.NDArray[np.float32]
) -> int:
    """How many decisions differ although the file's value is not within float32's rounding of a threshold.

    A frame counts up to its first decision that differs: behind it the values are others.
    """
    theirs = onnx_reference.run(proto, given)
    ours = model.trace(x.astype(np.float32))
    makers = {node.output[0]: node for node in proto.graph.node}
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    same = np.ones(len(x), bool)
    far = 0
    for there, here in zip(onnx_reference.activations(proto), quantised(model), strict=True):
        node = makers[there]
        scale = float(scales[node.input[1]])
        while node.op_type != "QuantizeLinear":
            node = makers[node.input[0]]
        value = theirs[node.input[0]].astype(np.float64) / scale
        codes = np.rint(theirs[there] / np.float64(scale))
        wrong = (ours[here].reshape(codes.shape) != codes) & same.reshape(-1, *[1] * (codes.ndim - 1))
        near = np.abs(value - np.floor(value) - 0.5) <= 2.0**-20 * np.abs(value).max()
        far += int((wrong & ~near).sum())
        same &= ~wrong.reshape(len(x), -1).any(axis=1)
    assert far or same.mean() > 0.99
    return far


@pytest.mark.parametrize(("input_scale", "step"), [(1 / 255, 0.3), (0.3 / 255, 51 / 255), (1 / 255, 0.25)])
def test_scales_that_float32_has_not_exactly(input_scale: float, step: float, tmp_path: Path) -> None:
    proto = onnx_nets.qcdq(2, input_scale, step, unit=0.3)
    model, _ = imported(proto, tmp_path, "3x4x4,mean=0,std=1")
    x = pixels(model)
    assert far_from_a_threshold(model, proto, x, fed("qcdq", x)) == 0
    # the comparison itself can fail: one part in a thousand is no rounding
    other = onnx_nets.qcdq(2, input_scale, step, unit=0.3 * 1.001)
    assert far_from_a_threshold(model, other, x, fed("qcdq", x)) > 0
