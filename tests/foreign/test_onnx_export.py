"""Our networks as QONNX: the file computes the same, and comes back as the same network."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.command_line import called, refused
from tests.foreign import onnx_reference
from xnorhw import load
from xnorhw import nn as xnn
from xnorhw.frontends import load_model_file, save
from xnorhw.frontends.foreign import read_foreign
from xnorhw.frontends.onnx.export import export_onnx, onnx_model
from xnorhw.golden.codes import random_codes, values_of
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError
from xnorhw.nn.foreign import Affine, MultiThreshold, sign_at_zero


def norm(channels: int, rank: int = 2, affine: bool = True) -> nn.Module:
    made = (nn.BatchNorm2d if rank == 2 else nn.BatchNorm1d)(channels, eps=1e-4, affine=affine)
    assert made.running_mean is not None and made.running_var is not None
    with torch.no_grad():
        made.running_mean.normal_(0, 3)
        made.running_var.uniform_(0.5, 9)
        if affine:
            made.weight.normal_(0, 1)
            made.bias.normal_(0, 0.5)
    return made


class Residual(nn.Module):
    """A sum and a concatenation, calls of functions and of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.BinaryConv2d(2, 4, 3, padding=1, in_scale=0.5)
        self.bn = norm(4)
        self.grid = xnn.Grid(8, 4)
        self.second = xnn.BinaryConv2d(4, 4, 3, padding=1)
        self.bn2 = norm(4, affine=False)
        self.grid2 = xnn.Grid(8, 3)
        self.sign = xnn.Sign()
        self.act = xnn.QuantReLU(3, 0.25)
        self.last = xnn.BinaryLinear(8, 3, scale="channel", bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grid(self.bn(self.first(x)))
        y = self.grid2(self.bn2(self.second(self.sign(x))))
        z = self.act(torch.relu(x + y))
        z = torch.cat([z, self.act(x)], dim=1)
        z = nn.functional.max_pool2d(z, 4)
        return self.last(torch.flatten(z, 1))


def networks() -> dict[str, tuple[nn.Module, fg.Input]]:
    torch.manual_seed(0)
    codes = fg.Input((2, 4, 4), bits=4, signed=True, scale=0.125)
    return {
        "signs": (
            nn.Sequential(
                xnn.InputQuant(mean=0.3, std=0.2),
                xnn.BinaryConv2d(1, 6, 3, padding=1, pad_value=0, scale="channel", in_scale=0.0123),
                nn.MaxPool2d(2),
                norm(6),
                xnn.Sign(),
                xnn.BinaryConv2d(6, 5, 3, padding=1, pad_value=-1, scale="layer", bias=True),
                norm(5, affine=False),
                nn.Hardtanh(),
                xnn.Sign(),
                nn.Flatten(),
                xnn.BinaryLinear(45, 4, scale="channel"),
                norm(4, rank=1),
            ),
            fg.Input((1, 6, 6)),
        ),
        "bits": (
            nn.Sequential(
                xnn.QuantConv2d(2, 5, 3, weight=xnn.DoReFaWeight(3), in_scale=0.5),
                norm(5),
                xnn.QuantReLU(2),
                xnn.QuantConv2d(5, 4, 1, weight=xnn.BasesWeight(3), in_scale=1 / 3, bias=True),
                norm(4),
                xnn.QuantReLU(6, 0.07),
                nn.AvgPool2d(2),
                xnn.Sign(),
                nn.Flatten(),
                xnn.QuantLinear(4, 3, weight=xnn.DoReFaWeight(2)),
            ),
            codes,
        ),
        "residual": (Residual(), codes),
        "full": (
            nn.Sequential(
                xnn.FullConv2d(2, 4, 3, frac=4, in_scale=0.5),
                norm(4),
                xnn.Sign(),
                xnn.BinaryConv2d(4, 4, 2),
                norm(4),
                nn.ReLU(),
                nn.Flatten(),
                xnn.FullLinear(4, 3, frac=5, in_frac=6),
            ),
            codes,
        ),
        "bases": (
            nn.Sequential(
                xnn.InputQuant(np.array([255 - np.arange(256), np.arange(256)]) // 2, bits=7, signed=False),
                xnn.BinaryConv2d(2, 4, 3),
                norm(4),
                bases(3),
                xnn.BinaryConv2d(4, 4, 2, scale="channel"),
                norm(4),
                bases(1),
                nn.Flatten(),
                xnn.BinaryLinear(4, 3),
            ),
            fg.Input((2, 4, 4)),
        ),
        "foreign": (
            nn.Sequential(
                xnn.BinaryConv2d(2, 4, 3),
                Affine([0.3, -0.5, 1.0, 2.0], [0.25, 0.5, 1.0, -1.0], divide=True),
                MultiThreshold([[-1.0, 0.0, 0.5, 2.0]] * 4, 1.0, -2.0),
                xnn.BinaryConv2d(4, 4, 1),
                Affine([0.3, -0.5, 1.5, 2.0]),
                sign_at_zero(0),
                nn.Flatten(),
                xnn.BinaryLinear(16, 3, in_scale=0.7),
            ),
            fg.Input((2, 4, 4), encoding="bipolar"),
        ),
    }


NAMES = ("signs", "bits", "residual", "full", "bases", "foreign")


def bases(count: int) -> xnn.BasesActivation:
    """ABC-Net's activation with betas of both signs and shifts that are no short numbers."""
    rng = np.random.default_rng(count)
    betas = torch.tensor([-45, 70, 20][:count])
    shifts = torch.from_numpy(rng.normal(0.4, 0.7, count).astype(np.float32))
    return xnn.BasesActivation.from_frozen(betas, shifts, 7)


def ones_of(op: fg.BasesQuant, values: np.ndarray) -> np.ndarray:
    """How many of the bases are +1, for each of their sums."""
    steps = [int(op.betas[:ones].sum() - op.betas[ones:].sum()) for ones in range(len(op.betas) + 1)]
    assert len(set(steps)) == len(steps)
    found = np.rint(np.ldexp(values, op.frac)).astype(int)
    return np.vectorize(steps.index)(found)


def on_grids(net: nn.Module) -> nn.Module:
    """Full-precision weights that a build takes."""
    for module in net.modules():
        if isinstance(module, xnn.FullConv2d | xnn.FullLinear):
            with torch.no_grad():
                module.weight.copy_(torch.round(module.weight * 2.0**module.frac) * 2.0**-module.frac)
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    for name, (net, declared) in networks().items():
        save(on_grids(net), folder / f"{name}.pt", input=declared)
        load(folder / f"{name}.pt").export(folder / f"{name}.onnx")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_it_comes_back_as_the_same_network(name: str, files: Path, tmp_path: Path) -> None:
    _, made = read_foreign(files / f"{name}.onnx")
    save(made.net, tmp_path / "back.pt", input=made.input)
    assert (tmp_path / "back.pt").read_bytes() == (files / f"{name}.pt").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_computes_the_same(name: str, files: Path) -> None:
    model = load(files / f"{name}.pt")
    kind, scale = model.integer.input_tensor.type, model.graph.input.scale
    assert kind is not None
    rng = np.random.default_rng(1)
    shape = (500, *model.graph.input.shape)
    x = rng.choice([-1, 1], shape) if kind.is_bipolar else rng.integers(kind.min, kind.max + 1, shape) * scale
    found = onnx_reference.run(onnx.load_model(str(files / f"{name}.onnx")), x)
    ours = model.trace(x)
    compared = 0
    for node in model.graph.nodes:
        if node.output.name not in ours or ours[node.output.name].dtype.kind != "i":
            continue
        tensor = next(n.output for n in model.integer.nodes if n.output.name == node.output.name)
        assert tensor.type is not None
        theirs = found[node.output.name]
        if isinstance(node.op, fg.MultiThreshold) and tensor.type.min == 0:
            theirs = (theirs - node.op.out_bias) / node.op.out_scale  # read as a count
        if isinstance(node.op, fg.BasesQuant):
            theirs = ones_of(node.op, theirs)
        if isinstance(node.op, fg.BinaryConv2d | fg.BinaryLinear) or hasattr(node.op, "coefficients"):
            continue  # the sums have no tensor of their own where a scale follows
        if isinstance(node.op, fg.AvgPool2d | fg.FullConv2d):
            continue
        assert np.array_equal(theirs * 2.0**tensor.type.point, ours[node.output.name])
        compared += 1
    assert compared >= 1
    scores = found[model.graph.output]
    assert np.allclose(scores.reshape(500, -1), model.predict(x).reshape(500, -1), rtol=1e-5, atol=1e-5)


def test_the_same_build_byte_for_byte(files: Path, tmp_path: Path) -> None:
    folders = []
    for name in ("signs.pt", "signs.onnx"):
        out = tmp_path / name.replace(".", "_")
        load(files / name).build("pynq-z2", out, verify="none")
        folders.append(out)
    first, second = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders)
    first.pop(Path("build.log")), second.pop(Path("build.log"))
    assert first.keys() == second.keys() and len(first) > 20
    assert [str(p) for p in first if first[p] != second[p]] == []


def test_the_same_bytes_twice(files: Path, tmp_path: Path) -> None:
    graph = load_model_file(files / "signs.pt").graph
    export_onnx(graph, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (files / "signs.onnx").read_bytes()


def test_a_changed_file_is_another_network(files: Path, tmp_path: Path) -> None:
    proto = onnx.load_model(str(files / "signs.onnx"))
    scale = next(t for t in proto.graph.initializer if t.name == "1:scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(2), "1:scale"))
    onnx.save_model(proto, str(tmp_path / "changed.onnx"))
    op = read_foreign(tmp_path / "changed.onnx")[1].net.get_submodule("1")
    was = load_model_file(files / "signs.pt").graph.node("1").op
    assert isinstance(was, fg.BinaryConv2d) and was.scale is not None
    assert np.array_equal(op.scale.numpy(), was.scale * 2)


def test_a_note_that_is_wrong_is_not_believed(files: Path, tmp_path: Path) -> None:
    # the scale in the note is another than that of the node: the node decides
    proto = onnx.load_model(str(files / "bits.onnx"))
    node = next(n for n in proto.graph.node if n.doc_string.startswith("QuantReLU"))
    node.doc_string = 'QuantReLU {"scale": 0.5}'
    onnx.save_model(proto, str(tmp_path / "changed.onnx"))
    assert isinstance(read_foreign(tmp_path / "changed.onnx")[1].net.get_submodule(node.name), MultiThreshold)


def test_onnx_checks_it(files: Path) -> None:
    for name in NAMES:
        onnx.checker.check_model(onnx.load_model(str(files / f"{name}.onnx")))


@pytest.mark.parametrize("name", NAMES)
def test_qonnx_computes_the_same(name: str, files: Path) -> None:
    if importlib.util.find_spec("qonnx") is None:
        pytest.skip("needs the package qonnx")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    proto = onnx.load_model(str(files / f"{name}.onnx"))
    wrapped = ModelWrapper(proto).transform(InferShapes())
    given = proto.graph.input[0]
    model = load(files / f"{name}.pt")
    x = values_of(model.integer, random_codes(model.integer, 1, seed=2))
    mine = onnx_reference.run(proto, x)[proto.graph.output[0].name]
    theirs = execute_onnx(wrapped, {given.name: x})[proto.graph.output[0].name]
    assert np.allclose(mine.reshape(-1), theirs.reshape(-1), rtol=1e-5, atol=1e-5)


def test_what_has_no_exact_form_is_refused(tmp_path: Path) -> None:
    scaled = nn.Sequential(
        xnn.BinaryConv2d(2, 4, 3), norm(4), xnn.Grid(8, 4), xnn.ScaledBinaryConv2d(4, 3, 1), nn.Flatten()
    )
    save(scaled.eval(), tmp_path / "k.pt", input=fg.Input((2, 3, 3), encoding="bipolar"))
    with pytest.raises(
        ModelError, match=r"3: \(ScaledBinaryConv2d\) has no exact form.*xnn\.BinaryConv2d\(\.\.\., scale"
    ):
        load(tmp_path / "k.pt").export(tmp_path / "k.onnx")
    assert not (tmp_path / "k.onnx").exists()


def test_a_table_that_rises_and_falls_is_refused() -> None:
    table = np.arange(256) % 100
    op = fg.InputQuant(np.array([table], np.int32), 8, False, 1.0)
    value = fg.Value("q", (1, 4, 4), "CHW")
    graph = fg.FloatGraph(fg.Input((1, 4, 4)), (fg.FloatNode(op, "input", value),), "q")
    with pytest.raises(ModelError, match=r"has a table that rises and falls.*xnorhw\.Input"):
        onnx_model(graph)
    for rows in (np.sort(op.table, axis=1), -np.sort(-op.table, axis=1)):
        made = dataclasses.replace(op, table=rows)
        proto = onnx_model(dataclasses.replace(graph, nodes=(fg.FloatNode(made, "input", value),)))
        pixels = np.arange(256).repeat(16).reshape(256, 1, 4, 4)
        found = onnx_reference.run(proto, pixels)["q"]
        assert np.array_equal(found[:, 0, 0, 0], rows[0])


@pytest.mark.parametrize(("op", "what", "words"), [
    ("MultiThreshold", "half", "-1 and \\+1 at the threshold 0.5"),
    ("Mul", "beta_1", "no multiples of 2\\^-7"),
    ("Add", "shift_1", ""),
])  # fmt: skip
def test_bases_are_read_by_their_own_constants(
    op: str, what: str, words: str, files: Path, tmp_path: Path
) -> None:
    proto = onnx.load_model(str(files / "bases.onnx"))
    tensor = next(t for t in proto.graph.initializer if t.name == f"3:{what}")
    values = onnx.numpy_helper.to_array(tensor) + np.float32(0.001)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save_model(proto, str(tmp_path / "changed.onnx"))
    if words:
        with pytest.raises(ModelError, match=words):
            read_foreign(tmp_path / "changed.onnx")
        return
    module = read_foreign(tmp_path / "changed.onnx")[1].net.get_submodule("3")
    assert isinstance(module, xnn.BasesActivation)
    assert np.float32(module.shifts[1].item()) == values


def test_a_part_of_bases_is_read_by_nothing_else(files: Path, tmp_path: Path) -> None:
    proto = onnx.load_model(str(files / "bases.onnx"))
    for name, other in (("4", "3:sign_0"), ("3_sum_1", "2"), ("4", "3:sum_1")):
        changed = onnx.ModelProto()
        changed.CopyFrom(proto)
        node = next(n for n in changed.graph.node if n.name == name)
        node.input[0] = other
        onnx.save_model(changed, str(tmp_path / "changed.onnx"))
        with pytest.raises(ModelError, match="part of a BasesActivation|adds bases|two tensors"):
            read_foreign(tmp_path / "changed.onnx")


def test_the_verb(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = called(capsys, "export", files / "signs.pt", "-o", tmp_path / "net.onnx", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert (tmp_path / "net.onnx").read_bytes() == (files / "signs.onnx").read_bytes()
    out = tmp_path / "no" / "net.onnx"
    refused(called(capsys, "export", files / "signs.pt", "-o", out), "cannot be written", "net.onnx")
    refused(called(capsys, "export", files / "signs.pt", "-o", "."), "is a folder")
    again = tmp_path / "net.onnx"
    refused(called(capsys, "export", again, "-o", again), "take the place")


def test_an_interrupted_export_leaves_nothing(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    model = load(files / "signs.pt")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.export(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
