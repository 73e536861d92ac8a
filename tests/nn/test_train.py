"""The training loop: recipes, shards, checkpoints, distillation, mixed precision, logs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.nn.data import Arrays, Data
from xnorhw.nn.train import (
    RECIPES,
    Cosine,
    Distillation,
    Epoch,
    Exponential,
    Group,
    Recipe,
    Result,
    Run,
    Setup,
    Steps,
    accuracy,
    draw_curves,
    read_checkpoint,
    soft_loss,
    train,
)
from xnorhw.nn.train.checkpoint import write_whole
from xnorhw.nn.train.log import log_text
from xnorhw.nn.train.loop import CHECKPOINT, LOG

SHORT = replace(RECIPES["plain"], epochs=3, batch=32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stripes(count: int = 96, tested: int = 40) -> Data:
    """Two classes that differ in the direction of their stripes, under noise."""
    random = np.random.default_rng(0)

    def pictures(number: int) -> Arrays:
        labels = np.arange(number) % 2
        wave = np.where(np.arange(8) % 4 < 2, 200, 40)
        pixels = np.stack([np.tile(wave, (8, 1)).T if c else np.tile(wave, (8, 1)) for c in labels])
        noise = random.integers(-40, 41, pixels.shape)
        return Arrays((pixels + noise).clip(0, 255).astype(np.uint8)[:, None], labels)

    return Data("stripes", ("level", "upright"), (1, 8, 8), pictures(count), pictures(tested))


def small() -> nn.Module:
    quant = xnn.InputQuant(mean=0.5, std=0.5)
    return nn.Sequential(
        quant,
        xnn.BinaryConv2d(1, 8, 3, padding=1, scale="channel", in_scale=quant.scale),
        nn.BatchNorm2d(8),
        xnn.Sign(),
        nn.Dropout(0.1),
        xnn.BinaryConv2d(8, 8, 3, padding=1, scale="channel"),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8),
        xnn.Sign(),
        nn.Flatten(),
        xnn.BinaryLinear(128, 2, bias=True, scale="channel"),
    )


def trained(recipe: Recipe = SHORT, **options: Any) -> Result:
    return train(small, stripes(), recipe, run=Run(**options))


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


class Stopped(Exception):
    pass


def stop_after(number: int) -> Any:
    def finished(epoch: Epoch) -> None:
        if epoch.epoch == number:
            raise Stopped

    return finished


# --- recipes ---------------------------------------------------------------------------------


def test_the_papers_recipes_are_there() -> None:
    assert {"bnn", "xnor", "bwn", "binaryconnect", "dorefa", "abc", "distill"} <= set(RECIPES)
    for name, recipe in RECIPES.items():
        assert recipe.name == name and recipe.source
        rates = [recipe.rate(e / recipe.epochs) for e in range(recipe.epochs)]
        assert rates[0] == recipe.learning_rate and all(
            a >= b > 0 for a, b in zip(rates, rates[1:], strict=False)
        )


@pytest.mark.parametrize(
    ("name", "epoch", "rate"),
    [
        ("bnn", 0, 1e-3),
        ("bnn", 500, 3e-7),
        ("bnn", 250, math.sqrt(1e-3 * 3e-7)),
        ("xnor", 119, 1e-2),
        ("xnor", 120, 1e-3),
        ("xnor", 319, 1e-6),
        ("bwn", 17, 1e-2),
        ("bwn", 18, 5e-3),
        ("bwn", 29, 1e-3),
        ("bwn", 43, 5e-4),
        ("bwn", 52, 1e-4),
        ("dorefa", 59, 2e-4),
        ("dorefa", 60, 4e-5),
        ("dorefa", 75, 8e-6),
    ],
)
def test_rates_are_those_of_the_sources(name: str, epoch: int, rate: float) -> None:
    recipe = RECIPES[name]
    assert recipe.rate(epoch / recipe.epochs) == pytest.approx(rate, rel=1e-9)


def test_schedules() -> None:
    assert Steps((2, 4), (0.5, 0.1)).factor(0.5, 8) == 0.1
    assert Exponential(0.01).factor(0.5, 7) == pytest.approx(0.1)
    assert Cosine().factor(0.5, 7) == pytest.approx(0.5)


def test_weight_decay_of_bwn_ends_and_that_of_dorefa_spares_convolutions() -> None:
    bwn = RECIPES["bwn"]
    assert bwn.decay(28 / 55) == 5e-4 and bwn.decay(29 / 55) == 0
    groups = RECIPES["dorefa"].make_optimizer(small()).param_groups
    assert [g["weight_decay"] for g in groups] == [5e-6, 0.0]
    assert [p.shape for p in groups[0]["params"]] == [(2, 128)]
    assert sum(len(g["params"]) for g in groups) == len(list(small().parameters()))


# --- the loop --------------------------------------------------------------------------------


def test_it_learns_and_gives_the_best_network() -> None:
    told: list[tuple[int, int]] = []
    torch.manual_seed(11)
    before = torch.get_rng_state()
    data = stripes()
    result = train(
        small, data, replace(SHORT, epochs=6), told=lambda epoch, batch, loss: told.append((epoch, batch))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert told == [(e, b) for e in range(1, 7) for b in range(1, 4)]
    assert result.accuracy >= 0.9 and not result.net.training
    assert accuracy(result.net, data.test) == result.accuracy == max(e.test_accuracy for e in result.log)
    first_best = next(e.epoch for e in result.log if e.test_accuracy == result.accuracy)
    assert result.best_epoch == first_best


def test_the_last_network_instead_of_the_best(tmp_path: Path) -> None:
    # the last epoch's rate is a thousand times the first's: it spoils what was learnt
    recipe = replace(SHORT, epochs=4, schedule=Steps((3,), (1000.0,)))
    last = trained(recipe, best=False, folder=tmp_path)
    assert last.best_epoch == 4 and last.accuracy == last.log[-1].test_accuracy
    model = read_checkpoint(tmp_path / CHECKPOINT).model
    assert all(torch.equal(v, model[k]) for k, v in last.net.state_dict().items())
    best = trained(recipe)
    assert best.best_epoch < 4 and best.accuracy > last.accuracy


def test_the_seed_decides() -> None:
    assert same(trained().net, trained().net)
    assert not same(trained().net, trained(seed=1).net)


@pytest.mark.parametrize("name", ["bnn", "bwn", "dorefa"])
def test_recipes_run(name: str) -> None:
    result = trained(replace(RECIPES[name], epochs=1, batch=32, shift=1))
    assert math.isfinite(result.log[0].loss)
    weights = result.net[1].weight  # type: ignore[index,union-attr]
    assert name == "dorefa" or float(weights.detach().abs().max()) <= 1


def test_squared_hinge_is_its_formula() -> None:
    """One batch of every picture, before any step: the logged loss is that of the untrained network."""
    data = stripes(32, 8)
    recipe = replace(RECIPES["bnn"], epochs=1, batch=32)

    def plain() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))

    result = train(plain, data, recipe, run=Run(seed=5))
    torch.manual_seed(int(np.random.SeedSequence([5]).generate_state(1, np.uint64)[0] >> np.uint64(1)))
    scores = plain()(data.train.batch(torch.arange(32)).float()).detach().double().numpy()
    wished = np.where(np.arange(2) == data.train.labels[:, None], 1.0, -1.0)
    expected = (np.maximum(0, 1 - wished * scores) ** 2).mean()
    assert result.log[0].loss == pytest.approx(expected, rel=1e-5)


def test_a_last_batch_of_one_picture_is_left_out() -> None:
    told: list[int] = []
    train(small, stripes(65), replace(SHORT, epochs=1), told=lambda epoch, batch, loss: told.append(batch))
    assert told == [1, 2]
    with pytest.raises(
        XnorhwError, match=r"--batch: a batch of 32 of 1 pictures.*larger batch or fewer shards"
    ):
        train(small, stripes(1), SHORT)


def test_two_shards_sum_the_gradients_of_their_halves() -> None:
    """One step of SGD on two shards, by hand: each half with its own batch statistics."""
    data = stripes(32, 8)
    recipe = replace(SHORT, epochs=1, batch=32, optimizer="sgd", momentum=0.0, step="none", shift=0)

    def make() -> nn.Module:
        return nn.Sequential(*(m for m in small() if not isinstance(m, nn.Dropout)))  # type: ignore[attr-defined]

    result = train(make, data, recipe, run=Run(seed=2, group=Group(local=2)))
    torch.manual_seed(int(np.random.SeedSequence([2]).generate_state(1, np.uint64)[0] >> np.uint64(1)))
    net = make().train()
    key = int(np.random.SeedSequence([2, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    order = torch.randperm(32, generator=torch.Generator().manual_seed(key))
    start = {name: b.clone() for name, b in net.named_buffers()}
    means = {name: torch.zeros_like(b) for name, b in start.items()}
    for half in order.split(16):
        for name, buffer in net.named_buffers():
            buffer.copy_(start[name])
        scores = net(data.train.batch(half).float())
        labels = torch.from_numpy(data.train.labels[half.numpy()])
        (nn.functional.cross_entropy(scores, labels, reduction="sum") / 32).backward()
        for name, buffer in net.named_buffers():
            means[name] += buffer / 2 if buffer.is_floating_point() else 0
    for parameter, found in zip(net.parameters(), result.net.parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.allclose(found, parameter.detach() - recipe.learning_rate * parameter.grad, atol=1e-7)
    for name, buffer in result.net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            assert torch.allclose(buffer, means[name], atol=1e-7), name
        if name.endswith("num_batches_tracked"):
            assert int(buffer) == 1
    assert not same(result.net, train(make, data, recipe, run=Run(seed=2)).net), "one shard: other statistics"


def test_bf16_trains_float32_parameters() -> None:
    result = trained(replace(SHORT, epochs=6), precision="bf16")
    assert all(p.dtype == torch.float32 for p in result.net.parameters())
    assert result.accuracy >= 0.85
    assert not same(result.net, trained(replace(SHORT, epochs=6)).net)


# --- checkpoints -----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [SHORT, replace(RECIPES["bwn"], epochs=3, batch=32)], ids=["adam", "sgd"])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path, recipe: Recipe) -> None:
    whole = trained(recipe)
    for stop in (1, 2):
        folder = tmp_path / str(stop)
        folder.mkdir()
        with pytest.raises(Stopped):
            train(small, stripes(), recipe, run=Run(folder=folder), finished=stop_after(stop))
        assert read_checkpoint(folder / CHECKPOINT).epoch == stop
        torch.manual_seed(99)  # what else was drawn in between has no part in it
        result = trained(recipe, folder=folder, resume=True)
        assert same(result.net, whole.net)
        assert [replace(e, seconds=0) for e in result.log] == [replace(e, seconds=0) for e in whole.log]
        assert (folder / LOG).read_text().count("\n") == 4
    again = trained(recipe, folder=folder, resume=True)
    assert same(again.net, whole.net), "a finished training gives its result again"


def test_the_best_network_survives_a_stop(tmp_path: Path) -> None:
    """Its best epoch comes before the stop: a rate a thousand times as large spoils the others."""
    recipe = replace(SHORT, epochs=4, schedule=Steps((2,), (1000.0,)))
    whole = trained(recipe)
    assert whole.best_epoch <= 2
    with pytest.raises(Stopped):
        train(small, stripes(), recipe, run=Run(folder=tmp_path), finished=stop_after(3))
    found = trained(recipe, folder=tmp_path, resume=True)
    assert found.best_epoch == whole.best_epoch and same(found.net, whole.net)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    trained(replace(SHORT, epochs=1), folder=tmp_path)
    for recipe, options, told in (
        (SHORT, {}, "epochs 1 there, 3 here"),
        (replace(SHORT, epochs=1, batch=16), {}, "batch 32 there, 16 here"),
        (replace(SHORT, epochs=1), {"seed": 4}, "seed 0 there, 4 here"),
        (replace(SHORT, epochs=1), {"group": Group(local=2)}, "shards 1 there, 2 here"),
        (replace(SHORT, epochs=1), {"precision": "bf16"}, "precision float32 there, bf16 here"),
    ):
        with pytest.raises(XnorhwError, match=f"another training: .*{told}"):
            trained(recipe, folder=tmp_path, resume=True, **options)
    once = replace(SHORT, epochs=1)
    with pytest.raises(XnorhwError, match="network network there, other here"):
        train(small, stripes(), once, name="other", run=Run(folder=tmp_path, resume=True))
    with pytest.raises(XnorhwError, match="pictures 96 there, 64 here"):
        train(small, stripes(64), once, run=Run(folder=tmp_path, resume=True))

    def wider() -> nn.Module:
        net = small()
        net.append(nn.Linear(2, 2))  # type: ignore[operator]
        return net

    with pytest.raises(XnorhwError, match="does not fit the network"):
        train(wider, stripes(), once, run=Run(folder=tmp_path, resume=True))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(XnorhwError, match="there is no checkpoint to go on from"):
        trained(folder=tmp_path, resume=True)
    path = tmp_path / CHECKPOINT
    trained(replace(SHORT, epochs=1), folder=tmp_path)
    content = path.read_bytes()
    for wrong in (b"", b"x" * 1000, content[: len(content) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(XnorhwError, match="no checkpoint, or a damaged one"):
            read_checkpoint(path)
    torch.save({"format": "other"}, path)
    with pytest.raises(XnorhwError, match="no checkpoint of a training"):
        read_checkpoint(path)
    tree = torch.load(_file(tmp_path / "a.pt", content), weights_only=True)
    torch.save({**tree, "version": 2}, path)
    with pytest.raises(XnorhwError, match="its version is 2"):
        read_checkpoint(path)
    torch.save({k: v for k, v in tree.items() if k != "optimizer"}, path)
    with pytest.raises(XnorhwError, match="damaged checkpoint"):
        read_checkpoint(path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT

    class Harm:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "harm",)

    torch.save({"format": "xnorhw-training", "version": 1, "model": Harm()}, path)
    with pytest.raises(XnorhwError, match="no checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "harm").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old")

    def fails(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x"]


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- distillation ----------------------------------------------------------------------------


def test_soft_loss_is_its_formula() -> None:
    random = np.random.default_rng(0)
    s, t = random.normal(size=(2, 5, 4))
    p, q = (np.exp(x / 3) / np.exp(x / 3).sum(1, keepdims=True) for x in (t, s))
    expected = 9 * (p * (np.log(p) - np.log(q))).sum(1)
    found = soft_loss(torch.from_numpy(s), torch.from_numpy(t), 3.0)
    assert np.allclose(found.numpy(), expected, rtol=1e-5)
    assert torch.allclose(soft_loss(torch.ones(2, 3), torch.ones(2, 3), 2.0), torch.zeros(2))


def test_a_network_learns_what_its_teacher_says_against_the_labels() -> None:
    """The teacher is wrong on purpose, and the loss is its alone: the network follows it."""
    data = stripes()
    liar = Arrays(data.train.pixels.numpy(), 1 - data.train.labels)  # type: ignore[attr-defined]

    def teacher(pixels: torch.Tensor) -> torch.Tensor:
        rows = pixels[:, 0].std(dim=1).mean(dim=1) > pixels[:, 0].std(dim=2).mean(dim=1)
        return 8 * nn.functional.one_hot(rows.long(), 2).float()

    assert accuracy(_Module(teacher), data.test) == 1.0
    recipe = replace(RECIPES["distill"], epochs=6, batch=32, shift=0, flip=False, soft=1.0)
    told_lies = Data("lies", data.classes, data.shape, liar, data.test)
    result = train(small, told_lies, recipe, distillation=Distillation(teacher, "x"))
    assert result.accuracy >= 0.9
    plainly = train(small, told_lies, replace(recipe, soft=0.0))
    assert plainly.log[-1].test_accuracy <= 0.2


class _Module(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


def test_a_teacher_that_does_not_fit_is_refused() -> None:
    recipe = replace(RECIPES["distill"], epochs=1, batch=32)
    three = Distillation(lambda x: torch.zeros(len(x), 3), "x")
    with pytest.raises(XnorhwError, match=r"--teacher: it gives scores \[3\] for data of 2 classes"):
        train(small, stripes(), recipe, distillation=three)
    deaf = Distillation(nn.Linear(9, 2), "x")
    with pytest.raises(XnorhwError, match=r"cannot read the training pictures, \[1, 8, 8\]"):
        train(small, stripes(), recipe, distillation=deaf)
    with pytest.raises(XnorhwError, match="--recipe distill: it learns from a teacher"):
        train(small, stripes(), recipe)
    with pytest.raises(XnorhwError, match="--recipe plain: it has no use for a teacher"):
        train(small, stripes(), SHORT, distillation=three)


# --- several processes, logs -----------------------------------------------------------------


def test_shards_that_cannot_be_shared(monkeypatch: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(XnorhwError, match="3 shards cannot be shared by 2 processes evenly"):
        Group.join(3, torch.device("cpu"))
    group = Group(rank=1, world=2, local=2)
    assert group.shards == 4 and list(group.mine) == [2, 3] and not group.leads


EPOCHS = (Epoch(1, 0.01, 2.0, 0.5, 0.4, 1.5), Epoch(2, 0.001, 1.0, 0.75, 0.625, 1.25))


def test_the_log_is_a_table() -> None:
    assert log_text(EPOCHS).splitlines() == [
        "epoch,learning_rate,loss,train_accuracy,test_accuracy,seconds",
        "1,0.01,2.000000,0.500000,0.400000,1.50",
        "2,0.001,1.000000,0.750000,0.625000,1.25",
    ]


def test_curves(tmp_path: Path, monkeypatch: Any) -> None:
    Image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    for name in ("a.png", "b.png"):
        draw_curves(EPOCHS, tmp_path / name, "stripes")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 20
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ToolError, match=r"matplotlib, which is not installed.*xnorhw\[plot\]"):
        draw_curves(EPOCHS, tmp_path / "c.png", "stripes")


def test_setups_are_compared_field_by_field() -> None:
    setup = Setup("n", 2, (1, 8, 8), "d", 9, "r", 1, 2, 0.1, 0, 1, "float32", "")
    setup.check(setup, "x.pt")
    with pytest.raises(XnorhwError, match=r"x\.pt: .*teacher abc there, none here"):
        setup.check(replace(setup, teacher="abc"), "x.pt")
