"""Model and Build: what a user calls."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import xnorhw
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import codes_of, values_of
from xnorhw.ir.float_graph import Input
from xnorhw.sim.tools import missing_tools

from .conftest import small_net


@pytest.fixture(scope="module")
def model(small_model: Path) -> xnorhw.Model:
    return xnorhw.load(small_model)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 1, 6, 6)).astype(np.float32)


def test_predict_is_torch(model: xnorhw.Model, pixels: np.ndarray) -> None:
    with torch.inference_mode():
        expected = small_net()(torch.from_numpy(pixels)).numpy()
    found = model.predict(pixels)
    assert found.dtype == np.float32 and found.shape == (5, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.predict(pixels.astype(np.int64)), found)
    np.testing.assert_array_equal(model.predict(pixels.tolist()), found)


def test_trace_names_torch_tensors(model: xnorhw.Model, pixels: np.ndarray) -> None:
    net = small_net()
    tensors = model.trace(pixels)
    with torch.inference_mode():
        x = torch.from_numpy(pixels)
        for name, module in net.named_children():
            x = module(x)
            if name in ("3", "7"):
                assert tensors[name].dtype == np.int64
                np.testing.assert_array_equal(tensors[name], x.numpy())
    assert tensors["9"].shape == (5, 4)  # the sums, in torch's layout
    np.testing.assert_array_equal(tensors["input"], pixels)


def test_summary(model: xnorhw.Model) -> None:
    summary = model.summary()
    assert summary.binary_bits == 6 * 9 + 8 * 6 * 9 + 4 * 72
    assert summary.macs == 6 * 9 * 36 + 8 * 54 * 36 + 4 * 72
    assert summary.binarised_macs == summary.macs - 6 * 9 * 36
    by_name = {layer.name: layer for layer in summary.layers}
    assert by_name["1"].input_bits == 8 and by_name["4"].input_bits == 1
    assert by_name["2"].other_bits == 4 * 6 * 32


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 6, 6)), r"x\[None\] makes one"),
        (np.zeros((2, 1, 6, 7)), "has shape"),
        (np.zeros((0, 1, 6, 6)), "empty"),
        (np.full((1, 1, 6, 6), np.nan), "NaN or infinity"),
        (np.full((1, 1, 6, 6), np.inf), "NaN or infinity"),
        (np.full((1, 1, 6, 6), 0.5), "no integer times the scale"),
        (np.full((1, 1, 6, 6), 256), "256"),
        (np.full((1, 1, 6, 6), -1), "-1"),
        (np.full((1, 1, 6, 6), 1e300), "outside"),
        (np.full((1, 1, 6, 6), "a"), "not numbers"),
        (np.full((1, 1, 6, 6), 1j), "not numbers"),
        (np.full((1, 1, 6, 6), None), "not numbers"),
    ],
)
def test_predict_refuses(model: xnorhw.Model, x: np.ndarray, message: str) -> None:
    with pytest.raises(xnorhw.ModelError, match=message):
        model.predict(x)


def test_codes_are_values_over_scale() -> None:
    from xnorhw import nn as xnn

    net = torch.nn.Sequential(torch.nn.Flatten(), xnn.BinaryLinear(8, 2)).eval()
    from xnorhw.frontends import TorchEvaluator
    from xnorhw.frontends.trace import trace
    from xnorhw.lower import lower

    graph = trace(net, Input((2, 2, 2), bits=4, signed=True, scale=1 / 8))
    lowered = lower(graph, TorchEvaluator(graph))
    codes = np.arange(-8, 8).reshape(2, 2, 2, 2)
    np.testing.assert_array_equal(codes_of(lowered, codes / 8), codes)
    np.testing.assert_array_equal(values_of(lowered, codes), codes / 8)
    with pytest.raises(xnorhw.ModelError, match="no integer times the scale"):
        codes_of(lowered, np.full((1, 2, 2, 2), 1 / 16))
    with pytest.raises(xnorhw.ModelError, match="8"):
        codes_of(lowered, np.full((1, 2, 2, 2), 1.0))


def test_build_holds_the_integers(model: xnorhw.Model, small_build: Path, pixels: np.ndarray) -> None:
    build = xnorhw.Build(small_build)
    np.testing.assert_array_equal(build.predict(pixels), model.predict(pixels))
    stored = read_build(small_build)
    assert stored.plan == build.plan
    assert stored.samples.real == 10 and len(stored.samples.codes) == 16
    np.testing.assert_array_equal(stored.samples.codes[:10], model.samples)
    np.testing.assert_array_equal(stored.samples.labels, model.labels)
    sums = golden.run(model.integer, stored.samples.codes)[model.integer.output]
    np.testing.assert_array_equal(stored.samples.sums, sums)
    # the random frames differ from each other
    assert len(np.unique(stored.samples.codes[10:], axis=0)) == 6


def test_build_is_verified(small_build: Path) -> None:
    verdict = json.loads((small_build / "verify.json").read_text())
    assert verdict["chain"]["golden"] != "not run" and verdict["chain"]["rtl"] == "not run"
    assert verdict["mismatches"] == 0 and verdict["frames"] == 16 and verdict["values"] > 1000


def test_frames(model: xnorhw.Model, tmp_path: Path) -> None:
    model.build("pynq-z2", tmp_path / "out", frames=3, verify="none")
    stored = read_build(tmp_path / "out")
    assert stored.samples.real == 3 and len(stored.samples.codes) == 3
    assert stored.samples.labels is not None and len(stored.samples.labels) == 3
    assert not (tmp_path / "out/verify.json").exists()
    with pytest.raises(xnorhw.ModelError, match="at least one"):
        model.build("pynq-z2", tmp_path / "out2", frames=0)
    assert not (tmp_path / "out2").exists()


def test_folding_comes_back(model: xnorhw.Model, small_build: Path, tmp_path: Path) -> None:
    again = model.build("pynq-z2", tmp_path / "a", folding=small_build / "folding.json", verify="none")
    # a folding that was given is not proved to be the best
    assert again.plan == dataclasses.replace(xnorhw.Build(small_build).plan, proof=None)
    tree = json.loads((small_build / "folding.json").read_text())
    for layer in tree["layers"].values():
        layer.update(pe=1, simd=1, pixels=1, memory="auto")
    (tmp_path / "small.json").write_text(json.dumps(tree))
    small = model.build("pynq-z2", tmp_path / "b", folding=str(tmp_path / "small.json"), verify="none")
    assert {(x.pe, x.simd) for x in small.plan.layers} == {(1, 1)}
    # without samples of a user's own the same answers come out
    np.testing.assert_array_equal(
        small.predict(model.samples), xnorhw.Build(small_build).predict(model.samples)
    )


def test_edited_folding_is_used(model: xnorhw.Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model.build("pynq-z2", out, verify="none")
    tree = json.loads((out / "folding.json").read_text())
    next(iter(tree["layers"].values())).update(pe=1, pixels=1)
    (out / "folding.json").write_text(json.dumps(tree))
    with pytest.raises(xnorhw.XnorhwError, match="--folding"):
        model.build("pynq-z2", out, verify="none")
    build = model.build("pynq-z2", out, folding=out / "folding.json", verify="none")
    assert 1 in {layer.pe for layer in build.plan.layers}


def test_damaged_builds(small_build: Path, tmp_path: Path) -> None:
    with pytest.raises(xnorhw.XnorhwError, match="does not exist"):
        xnorhw.Build(tmp_path / "nothing")
    for name in ("graph.npz", "plan.json", "samples.npz"):
        out = tmp_path / name
        shutil.copytree(small_build, out)
        data = (out / name).read_bytes()
        (out / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(xnorhw.XnorhwError, match="damaged"):
            xnorhw.Build(out)
        (out / name).unlink()
        with pytest.raises(xnorhw.XnorhwError, match="damaged"):
            xnorhw.Build(out)


def test_failed_verification_leaves_no_old_verdict(
    small_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build, out)

    def failing(*_: object, **__: object) -> None:
        raise xnorhw.VerifyError("deadlock")

    monkeypatch.setattr("xnorhw.check.verify_build", failing)
    with pytest.raises(xnorhw.VerifyError):
        xnorhw.verify(out)
    assert not (out / "verify.json").exists()
    assert "No link of the chain was run" in (out / "report.html").read_text()


def test_mismatch_is_found_in_a_build(small_build: Path, tmp_path: Path) -> None:
    """A threshold changed in the stored graph: torch and golden differ there, and it is named."""
    from xnorhw.emit.store import data_files
    from xnorhw.ir.int_graph import Threshold

    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    stored = read_build(out)
    op = stored.graph.node("3").op
    assert isinstance(op, Threshold)
    op.table[0, 3, 0] += 4
    (out / "graph.npz").write_bytes(data_files(stored.graph, stored.plan, stored.samples)["graph.npz"])
    with pytest.raises(xnorhw.VerifyError, match="channel 3") as caught:
        xnorhw.verify(out, level="golden")
    assert caught.value.module == "1"  # the layer whose threshold it is
    verdict = json.loads((out / "verify.json").read_text())
    assert verdict["mismatches"] > 0 and verdict["first_difference"]["channel"] == 3
    assert verdict["first_difference"]["tensor"] == "3"
    assert "graph.npz" in verdict["edited_files"]
    assert "First difference" in (out / "report.html").read_text()


@pytest.mark.skipif(bool(missing_tools()), reason="a simulator is missing")
def test_rtl_gives_the_same_bits(small_build: Path, tmp_path: Path, pixels: np.ndarray) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    build = xnorhw.Build(out)
    for form in ("hls", "rtl"):
        np.testing.assert_array_equal(build.predict(pixels, on=form), build.predict(pixels))  # type: ignore[arg-type]


def test_unknown_form(small_build: Path, pixels: np.ndarray) -> None:
    with pytest.raises(xnorhw.ModelError, match="no form 'fpga'"):
        xnorhw.Build(small_build).predict(pixels, on="fpga")  # type: ignore[arg-type]


def test_a_matrix_unit_that_reads_the_input_itself(tmp_path: Path) -> None:
    """Nothing stands between the core's port and the first layer: no window, no converter."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), xnn.BinaryLinear(128, 2)).eval()
    xnorhw.save(net, tmp_path / "m.pt", xnorhw.Input(shape=(8, 4, 4), encoding="bipolar"))
    build = xnorhw.load(tmp_path / "m.pt").build("pynq-z2", tmp_path / "out", frames=4)
    assert build.verdict is not None and build.verdict.mismatches == 0
