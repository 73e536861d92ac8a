"""Brevitas' own networks: by both exporters against qonnx's executor, and its modules in save.

It needs Brevitas with its examples, qonnx and onnxoptimizer in the environment of the tests:
pip install "brevitas==0.13.*" qonnx onnx onnxoptimizer
"""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnorhw import Input, load
from xnorhw.frontends import save
from xnorhw.frontends.foreign import read_foreign
from xnorhw.frontends.foreign.base import Options
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

PACKAGES = ("onnx", "brevitas", "brevitas_examples", "qonnx", "onnxoptimizer")
_MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(bool(_MISSING), reason=f"needs the packages {', '.join(_MISSING)}"),
]
SHAPES = {"TFC_1W1A": (1, 28, 28), "CNV_1W1A": (3, 32, 32), "CNV_1W2A": (3, 32, 32), "CNV_2W2A": (3, 32, 32)}
QUANTISERS = (fg.InputQuant, fg.BipolarQuant, fg.MultiThreshold)


def network(name: str) -> torch.nn.Module:
    """The network with seeded random weights, and batch norms of which half of the gammas are negative."""
    from brevitas_examples.bnn_pynq.models import model_with_cfg

    torch.manual_seed(7)
    net, _ = model_with_cfg(name, pretrained=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.normal_(0, 1)
                module.bias.normal_(0, 0.5)
                module.running_mean.normal_(0, 3)
                module.running_var.uniform_(0.5, 20)
    return net.eval()


def exported(name: str, dynamo: bool, folder: Path) -> Path:
    from brevitas.export import export_qonnx

    path = folder / "net.onnx"
    x = torch.zeros(1, *SHAPES[name])
    export_qonnx(copy.deepcopy(network(name)), args=x, export_path=str(path), dynamo=dynamo)
    return path


def qonnx_tensors(path: Path, x: np.ndarray) -> tuple[list[str], list[dict[str, Any]]]:
    """qonnx's own executor: (the quantised tensors in order, all tensors of each frame)."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(str(path))
    constants = {t.name for t in model.graph.initializer}
    for given in list(model.graph.input):
        if given.name in constants:
            model.graph.input.remove(given)
    model = model.transform(InferShapes())
    names = [
        n.output[0]
        for n in model.graph.node
        if n.op_type in ("Quant", "BipolarQuant") and n.input[0] not in constants
    ]
    given = model.graph.input[0].name
    frames = [execute_onnx(model, {given: frame[None]}, return_full_exec_context=True) for frame in x]
    names.append(model.graph.output[0].name)
    return names, frames


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize(
    "name", ["TFC_1W1A", *(pytest.param(n, marks=pytest.mark.long) for n in SHAPES if n != "TFC_1W1A")]
)
def test_every_decision_is_that_of_qonnx(name: str, dynamo: bool, tmp_path: Path) -> None:
    path = exported(name, dynamo, tmp_path)
    shape = SHAPES[name]
    said = f"{'x'.join(map(str, shape))},mean=0,std=1"
    _, made = read_foreign(path, None, Options(input=said))
    save(made.net, tmp_path / "net.pt", input=made.input)
    model = load(tmp_path / "net.pt")
    frames = 40 if name == "TFC_1W1A" else 4
    pixels = np.random.default_rng(1).integers(0, 256, (frames, *shape))
    x = pixels.astype(np.float32) / np.float32(255)
    *names, result = (theirs := qonnx_tensors(path, x))[0]
    ours = model.trace(pixels.astype(np.float32))
    mine = [n.output.name for n in model.graph.nodes if isinstance(n.op, QUANTISERS)]
    assert len(mine) == len(names)
    for here, there in zip(mine, names, strict=True):
        found = np.concatenate([frame[there] for frame in theirs[1]])
        op = model.graph.node(here).op
        codes = found * 128 if isinstance(op, fg.InputQuant) and op.bits == 8 else found
        values = ours[here].reshape(codes.shape)
        if isinstance(op, fg.MultiThreshold):
            codes = codes + 1  # -1, 0, +1 are read as how many thresholds they reach
        assert np.array_equal(codes, values), here
    scores = np.concatenate([frame[result] for frame in theirs[1]])
    assert np.array_equal(scores.argmax(axis=1), model.predict(pixels.astype(np.float32)).argmax(axis=1))


@pytest.mark.parametrize("name", ["TFC_1W1A", pytest.param("CNV_2W2A", marks=pytest.mark.long)])
def test_modules_of_brevitas_are_saved(name: str, tmp_path: Path) -> None:
    net, shape = network(name), SHAPES[name]
    pixels = np.random.default_rng(2).integers(0, 256, (20, *shape))
    save(net, tmp_path / "net.pt", input=Input(shape, scale=1 / 255), samples=pixels[:3] / 255)
    model = load(tmp_path / "net.pt")
    with torch.no_grad():
        wanted = net(torch.from_numpy(pixels).float() / 255).argmax(dim=1).numpy()
    assert np.array_equal(model.predict(pixels.astype(np.float32)).argmax(axis=1), wanted)
    assert model.samples is not None and np.array_equal(model.samples, pixels[:3])
    # without its scale it is fed 0 .. 255, and decides something else
    save(net, tmp_path / "raw.pt", input=Input(shape))
    assert not np.array_equal(load(tmp_path / "raw.pt").predict(pixels.astype(np.float32)).argmax(1), wanted)


def test_saving_changes_nothing_in_the_network(tmp_path: Path) -> None:
    # Brevitas clamps the weights of constant-scale layers in place in every forward
    net = network("TFC_1W1A")
    with torch.no_grad():
        for module in net.modules():
            if hasattr(module, "weight_quant"):
                module.weight.mul_(5)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    save(net, tmp_path / "net.pt", input=Input((1, 28, 28), scale=1 / 255))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_training_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="training mode"):
        save(network("TFC_1W1A").train(), tmp_path / "net.pt", input=Input((1, 28, 28), scale=1 / 255))


@pytest.mark.long
@pytest.mark.parametrize(("name", "seen"), [("CNV_1W1A", 11), ("CNV_1W2A", 19), ("CNV_2W2A", 19)])
def test_a_cnv_through_every_form(name: str, seen: int, tmp_path: Path) -> None:
    """Some minutes each: the CPU engine, the C++ core and the RTL in Verilator, every tensor.

    Nine layers and two pools; in front of codes the sums are seen as well, in front of signs they
    never leave the matrix unit.
    """
    said = f"{'x'.join(map(str, SHAPES[name]))},mean=0,std=1"
    _, made = read_foreign(exported(name, False, tmp_path), None, Options(input=said))
    save(made.net, tmp_path / "net.pt", input=made.input)
    built = load(tmp_path / "net.pt").build(
        "zcu104", tmp_path / "out", target_fps=3000, verify="full", frames=2
    )
    verdict = json.loads((built.folder / "verify.json").read_text())
    assert verdict["passed"] and verdict["mismatches"] == 0 and verdict["rounding_dependent_channels"] == 0
    assert {"golden", "c", "hls", "rtl"} <= set(verdict["links"])
    assert all(link["tensors"] >= seen for link in verdict["links"].values())
    assert verdict["cycles_per_frame"] == verdict["bound_cycles"]
