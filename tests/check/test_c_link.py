"""The link "c": it passes on what was emitted and finds what was edited, on every path."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import xnorhw
from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check import verify
from xnorhw.check.c_link import PACKED, SCORES, CLink
from xnorhw.check.compare import Comparison
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.ir.int_graph import HostFull
from xnorhw.nn.snap import snapped
from xnorhw.sim import engine_run

_MADE = engine_run._made
NETWORK = "host/engine/accel_network.c"


def checked(stored: StoredBuild, first_frame: int = 0) -> tuple[CLink, Comparison]:
    link = CLink(stored)
    tensors = golden.run(stored.graph, stored.samples.codes.astype(np.int64))
    result, sums = link.check(tensors, first_frame)
    np.testing.assert_array_equal(sums.shape, tensors[stored.plan.output_tensor].shape)
    return link, result


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without optimising: each test has another network."""

    def made(here: Path, compiler: str, arguments: Sequence[str]) -> Path:
        return _MADE(here, compiler, (*arguments, "OPTIMIZE=-O0"))

    monkeypatch.setattr(engine_run, "_made", made)


@pytest.fixture
def copy(small_build: Path, tmp_path: Path) -> Path:
    """A build that may be edited; what was compiled for others is at hand."""
    return Path(shutil.copytree(small_build, tmp_path / "out"))


def edit(build: Path, pattern: str, replacement: str, name: str = NETWORK) -> StoredBuild:
    """``build`` with the first match of ``pattern`` in a file replaced."""
    text = (build / name).read_text(encoding="utf-8")
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.DOTALL)
    assert count == 1 and changed != text
    (build / name).write_text(changed, encoding="utf-8")
    return read_build(build)


def test_every_tensor_and_score_on_every_path(small_build: Path) -> None:
    stored = read_build(small_build)
    link, result = checked(stored)
    frames = len(stored.samples.codes)
    assert result.mismatches == 0 and result.first is None
    assert result.tensors == len(stored.graph.nodes) + 2  # the scores, and the packed frames
    sizes = [int(np.prod(node.output.shape)) for node in stored.graph.nodes]
    packed = stored.plan.input_frame.beats * stored.plan.input_frame.beat_bits // 8
    paths = link.ran.rsplit(" each of ", 1)[1].split(", ")
    assert paths[-1] == "plain"
    assert result.values == len(paths) * frames * (sum(sizes) + 2 * 4 + packed)
    assert link.ran.startswith(f"gcc: {frames} frames, ")


def test_a_threshold_off_by_one(copy: Path) -> None:
    stored = read_build(copy)
    tensors = golden.run(stored.graph, stored.samples.codes.astype(np.int64))
    node = next(node for node in stored.graph.nodes if hasattr(node.op, "direction"))
    # a value that the first layer's sums take in some channel, so that one more decides
    table = node.op.table[0, :, 0]  # type: ignore[union-attr]
    sums = tensors[node.input]
    channel = next(c for c in range(len(table)) if (sums[:, c] == table[c]).any() or c == len(table) - 1)
    words = re.search(r"_at\[\d+\] = \{.*?\n(.*?)\};", (copy / NETWORK).read_text(), re.DOTALL)
    assert words is not None
    numbers = [int(n) for n in words[1].replace(",", " ").split()]
    step = 1 if node.op.direction[channel] > 0 else -1  # type: ignore[union-attr]
    values = np.sort(np.unique(sums[:, channel]))
    above = values[values >= numbers[channel]]
    numbers[channel] = int(above[0]) + 1 if above.size else numbers[channel] - 4 * step
    text = ", ".join(map(str, numbers))
    _, result = checked(edit(copy, re.escape(words[1]), f"    {text},\n"))
    assert result.mismatches > 0 and result.first is not None
    assert (result.first.link, result.first.tensor, result.first.channel) == ("c", node.output.name, channel)


def test_a_wrong_pad(copy: Path) -> None:
    _, result = checked(edit(copy, r"\.pad_value = 0", ".pad_value = 1"))
    assert result.first is not None and result.first.link == "c"


def test_a_wrong_window(copy: Path) -> None:
    _, result = checked(edit(copy, r"\.top = 1", ".top = 0"))
    assert result.first is not None and result.first.y == 0


def test_one_weight(copy: Path) -> None:
    _, result = checked(edit(copy, r"(_weights\[\d+\] XH_ALIGNED = .*?\n    )0x", r"\g<1>0x1"))
    assert result.first is not None


def test_the_last_bit_of_a_bias(copy: Path) -> None:
    found = re.search(r"_bias\[\d+\] = \{\s*(\S+)f,", (copy / NETWORK).read_text())
    assert found is not None
    nudged = float(np.nextafter(np.float32(float.fromhex(found[1])), np.float32(9))).hex()
    _, result = checked(edit(copy, r"(_bias\[\d+\] = \{\s*)\S+f,", rf"\g<1>{nudged}f,"))
    assert result.first is not None and result.first.tensor == SCORES
    assert 0 < abs(result.first.expected - result.first.found) < 1e-3


def test_a_frame_packed_wrongly(copy: Path) -> None:
    _, result = checked(
        edit(copy, r"(return xh_run_front\(engine, [^;]*;)", r"const int e = xh_run_front(engine, frame, "
             r"ACCEL_INPUT_ELEMENTS, packed, ACCEL_FRAME_BYTES); packed[3] ^= 1; return e;",
             "host/engine/accel_engine.c")
    )  # fmt: skip
    assert result.first is not None and result.first.tensor == PACKED


def test_sums_read_wrongly_behind_the_accelerator(copy: Path) -> None:
    _, result = checked(
        edit(copy, r"return xh_run_back\(engine, sums,", "return xh_run_back(engine, sums - 1,",
             "host/engine/accel_engine.c")
    )  # fmt: skip
    assert result.first is not None and result.first.tensor == SCORES


def test_the_first_frame_is_counted_from_the_whole_run(copy: Path) -> None:
    _, result = checked(edit(copy, r"\.pad_value = 0", ".pad_value = 1"), first_frame=64)
    assert result.first is not None and result.first.frame >= 64


def test_an_edited_engine_that_is_no_engine(copy: Path) -> None:
    with pytest.raises(ToolError, match="could not be compiled"):
        checked(edit(copy, r"const xh_network", "const xh_netwerk"))
    stored = edit(copy, r"xh_netwerk", "xh_network")
    with pytest.raises(VerifyError, match="not of this network"):
        checked(edit(copy, r"LAYERS = ", "LAYERS = -1 + "))
    assert stored.folder == copy


def test_full_verification_runs_it_first(small_build: Path, tmp_path: Path) -> None:
    stored = read_build(small_build)
    forms = verify._forms(stored, verify.RtlLink(stored), None)
    assert [form.name for form in forms] == ["c", "hls", "rtl"]
    older = Path(shutil.copytree(small_build, tmp_path / "older"))
    shutil.rmtree(older / "host")
    old = read_build(older)
    assert [form.name for form in verify._forms(old, verify.RtlLink(old), None)] == ["hls", "rtl"]


def test_full_precision_ends_on_the_host(tmp_path: Path) -> None:
    """Integer weights before the chip, signs and a layer on real values behind it."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(11)
        quant = xnn.InputQuant(mean=0.5, std=0.25)
        net = nn.Sequential(
            quant,
            xnn.FullConv2d(2, 5, 3, frac=6, in_scale=quant.scale),
            nn.BatchNorm2d(5),
            xnn.Sign(),
            xnn.BinaryConv2d(5, 6, 2, scale="channel"),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            xnn.FullLinear(6, 3, frac=8, in_frac=6),
        )
        for _ in range(4):
            net(torch.randint(0, 256, (32, 2, 6, 6)).float())
        net[1], net[9] = snapped(net[1]), snapped(net[9])
    xnorhw.save(net.eval(), tmp_path / "ends.pt", xnorhw.Input((2, 6, 6)))
    stored = read_build(
        xnorhw.load(tmp_path / "ends.pt")
        .build("pynq-z2", tmp_path / "out", ends="host", verify="none")
        .folder
    )
    names = [node.output.name for node in stored.graph.nodes]
    assert names.index(stored.plan.input_tensor) >= 2
    assert any(isinstance(op, HostFull) for op in stored.graph.host)
    _, result = checked(stored)
    assert result.mismatches == 0 and result.values > 0
    _, wrong = checked(edit(tmp_path / "out", r"\.in_frac = 6", ".in_frac = 5"))
    assert wrong.first is not None and wrong.first.tensor == SCORES


@pytest.mark.parametrize(
    "given",
    [
        xnorhw.Input((3, 3, 3), bits=1),
        xnorhw.Input((3, 3, 3), bits=1, signed=True),
        xnorhw.Input((5, 3, 3), encoding="bipolar"),
        xnorhw.Input((37, 3, 3), encoding="bipolar"),
    ],
    ids=str,
)
def test_one_bit_codes_straight_to_the_chip(tmp_path: Path, given: xnorhw.Input) -> None:
    """The engine keeps codes a byte each and packs them; bits it joins across pixels."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = nn.Sequential(xnn.BinaryConv2d(given.shape[0], 4, 2), nn.Flatten(), nn.Identity()).eval()
        xnorhw.save(net, tmp_path / "bits.pt", given)
    build = xnorhw.load(tmp_path / "bits.pt").build("pynq-z2", tmp_path / "out", verify="none", frames=4)
    _, result = checked(read_build(build.folder))
    assert result.mismatches == 0 and result.values > 0
