"""What a training gathers before it begins: pictures, folder, device, processes, teacher."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn import zoo
from xnorhw.nn.data import Data, load_data
from xnorhw.nn.said import said
from xnorhw.nn.train.checkpoint import parse_checkpoint
from xnorhw.nn.train.distill import Distillation, Teacher
from xnorhw.nn.train.group import Group
from xnorhw.nn.train.loop import CHECKPOINT, Precision, Run

if TYPE_CHECKING:
    from xnorhw.nn.zoo import Entry

__all__ = ["distillation", "make_run", "picture_data", "run_folder"]


def picture_data(entry: Entry, data: str | None, folder: Path, download: bool, seed: int) -> Data:
    """The data set of the name, or the network's own, in the network's shape."""
    name = entry.data if data is None else data
    if name == "imagefolder:DIR":
        raise XnorhwError(
            "its data cannot be shipped, and none was named",
            module=entry.name,
            remedy="Give --data imagefolder:DIR, or one of mnist, cifar10, svhn, digits, robots and scenes",
        )
    return load_data(name, folder, seed=seed, shape=entry.shape, download=download)


def run_folder(folder: Path, resume: bool, leads: bool) -> None:
    """Make the folder of a training; XnorhwError where another one's checkpoint would be lost."""
    if not leads:
        return
    if (folder / CHECKPOINT).exists() and not resume:
        raise XnorhwError(
            "it holds the checkpoint of a training, which would be lost",
            module=str(folder),
            remedy="Go on with it by --resume, name another folder by --run, or remove it",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise XnorhwError("it is a file", module=str(folder), remedy="Name a folder by --run") from None


def make_run(
    folder: Path, resume: bool, seed: int, precision: Precision, device: str | None, shards: int | None
) -> Run:
    """Where and how to train; joins the other processes that torchrun started."""
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wished = torch.device(name)
    except RuntimeError:
        raise XnorhwError(
            "there is no such device", module=f"--device {name}", remedy="Use cpu or cuda"
        ) from None
    if wished.type not in ("cpu", "cuda") or (wished.type == "cuda" and not torch.cuda.is_available()):
        raise XnorhwError(
            "this torch cannot use such a device here", module=f"--device {name}", remedy="Use --device cpu"
        )
    if precision == "fp16" and wished.type == "cpu":
        raise XnorhwError(
            "products of fp16 need a GPU", module="--precision fp16", remedy="Use bf16 or float32 on a CPU"
        )
    if wished.type == "cuda":
        if name == "cuda":
            wished = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(wished)
    group = Group.join(shards, wished)
    return Run(folder, resume, seed, precision, wished, group)


def distillation(
    path: Path, network: str | None, device: torch.device, model_file: Callable[[Path], Teacher]
) -> Distillation:
    """The teacher in a file: a checkpoint of ``train``, a state dict of ``network``, or a model file.

    ``model_file`` reads the last kind, and raises XnorhwError for what is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise XnorhwError(
            f"it cannot be read ({(error.strerror or 'no such file').lower()})",
            module=f"--teacher {path}",
            remedy="Give a model file, or a checkpoint of xnorhw train",
        ) from None
    teacher = _teacher(path, content, network, device, model_file)
    return Distillation(teacher, hashlib.sha256(content).hexdigest()[:16])


def _teacher(
    path: Path,
    content: bytes,
    network: str | None,
    device: torch.device,
    model_file: Callable[[Path], Teacher],
) -> Teacher:
    module = f"--teacher {path}"
    if network is not None:
        return _from_state(content, network, device, module)
    try:
        found = parse_checkpoint(content, module)
    except XnorhwError as no_checkpoint:
        try:
            scores = model_file(path)
        except XnorhwError:
            raise XnorhwError(
                "it is neither a model file nor a checkpoint of xnorhw train",
                module=module,
                remedy="Give one of the two, or name the network of a bare state dict by --teacher-net",
            ) from no_checkpoint
        # it runs on the CPU, in inference mode, whose tensors no gradient may pass
        return lambda pixels: scores(pixels.cpu()).clone().to(pixels.device)
    return _loaded(found.setup.network, found.setup.classes, found.best, module, device)


def _from_state(content: bytes, network: str, device: torch.device, module: str) -> Teacher:
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise XnorhwError(
            f"it cannot be read ({type(error).__name__})",
            module=module,
            remedy="Give a state dict that torch.save wrote",
        ) from None
    values = state.values() if isinstance(state, dict) else ()
    sizes = [v.shape[0] for v in values if isinstance(v, Tensor) and v.dim() >= 2]
    if not sizes:
        raise XnorhwError(
            "it holds no weights", module=module, remedy="Give a state dict that torch.save wrote"
        )
    return _loaded(network, sizes[-1], state, module, device)


def _loaded(network: str, classes: int, state: dict[str, Any], module: str, device: torch.device) -> Teacher:
    with torch.random.fork_rng(devices=[]):
        net, _ = zoo.build(network, classes)
    try:
        net.load_state_dict(state)
    except (RuntimeError, KeyError) as error:
        raise XnorhwError(
            f"its weights do not fit the network {network} ({said(error)})",
            module=module,
            remedy="Name the network that it belongs to",
        ) from None
    return net.to(device).eval()
