"""The training loop: epochs, shards, steps, tests, checkpoints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn.connect import BinaryConnectStep
from xnorhw.nn.data.augment import augmented
from xnorhw.nn.data.pictures import Data, Pictures
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.said import said
from xnorhw.nn.train.checkpoint import (
    Checkpoint,
    Setup,
    checkpoint_bytes,
    no_checkpoint,
    parse_checkpoint,
    write_whole,
)
from xnorhw.nn.train.distill import Distillation, soft_loss
from xnorhw.nn.train.group import Group, Statistics
from xnorhw.nn.train.log import Epoch, log_text
from xnorhw.nn.train.recipes import Recipe
from xnorhw.nn.xnor import XnorStep

__all__ = ["CHECKPOINT", "LOG", "Result", "Run", "accuracy", "train"]

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
TEST_BATCH = 256

Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True)
class Run:
    """How to run a recipe: on what, in how many parts, and where it leaves its files.

    ``folder`` None: no files.  ``precision`` is the type of products and activations in training
    (mixed precision; parameters stay float32, tests run in float32).  ``best`` False: the result
    is the network of the last epoch, not of the one that tested best, which would flatter in a
    comparison.
    """

    folder: Path | None = None
    resume: bool = False
    seed: int = 0
    precision: Precision = "float32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    group: Group = field(default_factory=Group)
    best: bool = True


@dataclass(frozen=True)
class Result:
    """The best network, in eval on the CPU, its epoch and test accuracy 0..1, and every epoch."""

    net: nn.Module
    accuracy: float
    best_epoch: int
    log: tuple[Epoch, ...]


Told = Callable[[int, int, float], None]
"""Called after each batch: epoch from 1, batch from 1, loss."""


def train(
    make: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    *,
    name: str = "network",
    run: Run | None = None,
    distillation: Distillation | None = None,
    told: Told | None = None,
    finished: Callable[[Epoch], None] | None = None,
) -> Result:
    """Train the network that ``make`` builds on ``data``, as ``recipe`` says.

    ``make`` is called under the run's seed.  Every random number depends on the seed and the
    numbers of epoch, batch and shard alone, so that a run which is resumed from its checkpoint
    ends, on the same processor and number of threads, with the same bits.  The loss is the mean
    over the whole batch, whatever the number of shards.  After each epoch the test pictures are
    classified; the first epoch of the highest accuracy gives the result.  torch's global random
    state is left as it was.  Raises XnorhwError for a checkpoint that does not match, a teacher
    of other classes, fewer pictures than a batch needs; WorkerLost where another process is gone.
    """
    run = Run() if run is None else run
    if (recipe.soft > 0) != (distillation is not None):
        needs = "learns from a teacher" if recipe.soft > 0 else "has no use for a teacher"
        raise XnorhwError(
            f"it {needs}",
            module=f"--recipe {recipe.name}",
            remedy="Give --teacher FILE"
            if recipe.soft > 0
            else "Use the recipe distill, or leave out --teacher",
        )
    with (
        torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []),
        _steady(run.device),
    ):
        return _Training(make, data, recipe, name, run, distillation).finish(told, finished)


def accuracy(net: nn.Module, pictures: Pictures, device: torch.device | None = None) -> float:
    """The share 0..1 of ``pictures`` that ``net``, in eval, puts into their class."""
    return _right(net, pictures, range(len(pictures)), device or torch.device("cpu")) / len(pictures)


class _Training:
    def __init__(
        self,
        make: Callable[[], nn.Module],
        data: Data,
        recipe: Recipe,
        name: str,
        run: Run,
        distillation: Distillation | None,
    ) -> None:
        self.data, self.recipe, self.run, self.distillation = data, recipe, run, distillation
        self.setup = Setup(
            network=name,
            classes=len(data.classes),
            shape=data.shape,
            data=data.name,
            pictures=len(data.train),
            recipe=recipe.name,
            epochs=recipe.epochs,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            seed=run.seed,
            shards=run.group.shards,
            precision=run.precision,
            teacher="" if distillation is None else distillation.digest,
        )
        self.batches = _batches(len(data.train), recipe.batch, run.group.shards)
        torch.manual_seed(_mixed(run.seed))
        self.net = make().to(run.device)
        self.stepper = _stepper(self.net, recipe)
        self.optimizer = recipe.make_optimizer(self.net)
        self.scaler = _gradient_scaler(run.device, run.precision == "fp16")
        self.statistics = Statistics(self.net, run.group)
        self.log: list[Epoch] = []
        self.best_epoch = 0
        self.best: dict[str, Any] = {}
        if distillation is not None:
            probe = data.train.batch(torch.arange(2)).float().to(run.device)
            distillation.check(probe, len(data.classes))
        self._restore()

    def finish(self, told: Told | None, finished: Callable[[Epoch], None] | None) -> Result:
        for number in range(len(self.log) + 1, self.recipe.epochs + 1):
            self._epoch(number, told)
            if finished is not None:
                finished(self.log[-1])
        self.net.load_state_dict(self.best)
        net = self.net.cpu().eval()
        return Result(net, self.log[self.best_epoch - 1].test_accuracy, self.best_epoch, tuple(self.log))

    def _epoch(self, number: int, told: Told | None) -> None:
        started = time.monotonic()
        order = torch.randperm(len(self.data.train), generator=_generator(self.run.seed, number))
        sums = torch.zeros(3, dtype=torch.float32)  # loss, right, pictures
        self.net.train()
        for batch in range(self.batches):
            chosen = order[batch * self.recipe.batch : (batch + 1) * self.recipe.batch]
            found = self._step(chosen, number, batch)
            sums += found
            if told is not None:
                told(number, batch + 1, float(found[0] / found[2]))
        tested = torch.tensor([float(self._tested())])
        self.run.group.sum_([sums, tested])
        score = float(tested) / len(self.data.test)
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.log.append(
            Epoch(
                number,
                rate,
                float(sums[0] / sums[2]),
                float(sums[1] / sums[2]),
                score,
                time.monotonic() - started,
            )
        )
        first = self.best_epoch == 0 or not self.run.best
        if first or score > self.log[self.best_epoch - 1].test_accuracy:
            self.best_epoch = number
            self.best = {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()}
        self._keep()

    def _step(self, chosen: Tensor, epoch: int, batch: int) -> Tensor:
        """One step on the pictures ``chosen``; (sum of losses, right decisions, pictures) of our shards."""
        done = (epoch - 1 + batch / self.batches) / self.recipe.epochs
        for i, settings in enumerate(self.optimizer.param_groups):
            settings["lr"] = self.recipe.rate(done)
            settings["weight_decay"] = self.recipe.decay(done) if i == 0 else 0.0
        group = self.run.group
        parts = torch.tensor_split(chosen, group.shards)
        self.optimizer.zero_grad(set_to_none=True)
        self.statistics.begin()
        seen = torch.zeros(3)
        for shard in group.mine:
            part = parts[shard]
            random = _mixed(self.run.seed, epoch, batch, shard)
            torch.manual_seed(random)
            pixels = self._pixels(part, random)
            labels = torch.from_numpy(self.data.train.labels[part.numpy()]).to(self.run.device)
            self.statistics.shard()
            with self._mixed_precision():
                scores = self.net(pixels)
            self.statistics.seen()
            losses = self._losses(scores.float(), labels, pixels)
            self.scaler.scale(losses.sum() / len(chosen)).backward()  # type: ignore[no-untyped-call]
            right = (scores.argmax(dim=1) == labels).sum()
            seen += torch.tensor([float(losses.detach().sum()), float(right), len(part)])
        self.statistics.end()
        group.sum_([p.grad for p in self.net.parameters() if p.grad is not None])
        self.scaler.unscale_(self.optimizer)
        self.stepper(_Scaled(self.scaler, self.optimizer))
        self.scaler.update()
        return seen

    def _pixels(self, part: Tensor, random: int) -> Tensor:
        pixels = self.data.train.batch(part)
        generator = torch.Generator().manual_seed(random)
        moved = augmented(pixels, generator, shift=self.recipe.shift, flip=self.recipe.flip)
        return moved.to(self.run.device).float()

    def _losses(self, scores: Tensor, labels: Tensor, pixels: Tensor) -> Tensor:
        if self.recipe.loss == "squared-hinge":
            wished = 2.0 * F.one_hot(labels, scores.size(1)) - 1.0
            losses = F.relu(1.0 - wished * scores).square().mean(dim=1)
        else:
            losses = F.cross_entropy(scores, labels, reduction="none")
        if self.distillation is None:
            return losses
        taught = self.distillation.scores(pixels)
        soft = soft_loss(scores, taught, self.recipe.temperature)
        return self.recipe.soft * soft + (1.0 - self.recipe.soft) * losses

    def _mixed_precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.run.precision == "float32":
            return contextlib.nullcontext()
        kind = torch.bfloat16 if self.run.precision == "bf16" else torch.float16
        return torch.autocast(self.run.device.type, dtype=kind)

    def _tested(self) -> int:
        group = self.run.group
        mine = range(group.rank, len(self.data.test), group.world)
        self.net.eval()
        return _right(self.net, self.data.test, mine, self.run.device)

    def _keep(self) -> None:
        """Write the checkpoint and the log, by the leader alone."""
        folder = self.run.folder
        if folder is None or not self.run.group.leads:
            return
        checkpoint = Checkpoint(
            setup=self.setup,
            epoch=len(self.log),
            model=self.net.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            best_epoch=self.best_epoch,
            best=self.best,
            log=tuple(self.log),
        )
        write_whole(folder / CHECKPOINT, checkpoint_bytes(checkpoint))
        write_whole(folder / LOG, log_text(self.log).encode())

    def _restore(self) -> None:
        """Take the leader's checkpoint, in every process; without ``resume`` nothing."""
        if not self.run.resume or self.run.folder is None:
            return
        path = self.run.folder / CHECKPOINT
        content = None
        if self.run.group.leads:
            content = path.read_bytes() if path.is_file() else None
        content = self.run.group.share(content, self.run.device)
        if content is None:
            raise no_checkpoint(path)
        found = parse_checkpoint(content, str(path))
        self.setup.check(found.setup, str(path))
        try:
            self.net.load_state_dict(found.model)
            self.optimizer.load_state_dict(found.optimizer)
            self.scaler.load_state_dict(found.scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            raise XnorhwError(
                f"the checkpoint does not fit the network ({said(error)})",
                module=str(path),
                remedy="Resume with the version of xnorhw and of the network that it was started with",
            ) from None
        self.log, self.best_epoch, self.best = list(found.log), found.best_epoch, found.best


def _gradient_scaler(device: torch.device, enabled: bool) -> torch.amp.GradScaler:
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device.type, enabled=enabled)
    # torch 2.2 has the one for CUDA alone, and switched off it does nothing anywhere
    return torch.cuda.amp.GradScaler(enabled=enabled)


class _Scaled:
    """An optimizer whose step goes through a gradient scaler, which leaves out a step that overflowed."""

    def __init__(self, scaler: Any, optimizer: torch.optim.Optimizer) -> None:
        self._scaler, self._optimizer = scaler, optimizer

    def step(self) -> Any:
        return self._scaler.step(self._optimizer)


def _stepper(net: nn.Module, recipe: Recipe) -> Callable[[Any], Any]:
    """What takes a step; a network without binary latent weights takes the optimizer's alone."""
    binary = any(isinstance(m, BinaryConv2d | BinaryLinear) for m in net.modules())
    if recipe.step == "xnor" and binary:
        return XnorStep(net).step
    if recipe.step == "connect" and binary:
        return BinaryConnectStep(net).step
    return lambda optimizer: optimizer.step()


def _batches(pictures: int, batch: int, shards: int) -> int:
    """Batches an epoch; a last one that leaves a shard fewer than two pictures is left out."""
    whole, rest = divmod(pictures, batch)
    count = whole + (1 if rest >= 2 * shards else 0)
    if count == 0 or batch < 2 * shards:
        raise XnorhwError(
            f"a batch of {batch} of {pictures} pictures gives {shards} shards fewer than two each",
            module="--batch",
            remedy="Use a larger batch or fewer shards",
        )
    return count


def _right(net: nn.Module, pictures: Pictures, mine: range, device: torch.device) -> int:
    right = 0
    with torch.inference_mode():
        for start in range(0, len(mine), TEST_BATCH):
            chosen = torch.tensor(list(mine[start : start + TEST_BATCH]))
            decided = net(pictures.batch(chosen).to(device).float()).argmax(dim=1).cpu().numpy()
            right += int((decided == pictures.labels[chosen.numpy()]).sum())
    return right


def _mixed(*numbers: int) -> int:
    """One seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mixed(*numbers))


@contextlib.contextmanager
def _steady(device: torch.device) -> Iterator[None]:
    """On a GPU, convolutions that do not depend on what was timed fastest."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
