"""Checkpoints of PyTorch projects: which kinds there are, and by which names each is known."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

from xnorhw.frontends.foreign.base import Imported, Kind, Options
from xnorhw.frontends.foreign.torch_files import stored_names

__all__ = ["KINDS"]

_ENDINGS = (".pth.tar", ".pth", ".pt", ".t7")
_ALL = ("sign0", "pad", "eps", "recentre", "input", "arch")


def _has(names: frozenset[str], *patterns: str) -> bool:
    return all(any(re.fullmatch(p, name) for name in names) for p in patterns)


def _xnor_net(names: frozenset[str]) -> str | None:
    if _has(names, r".*\.fp_weights"):
        return None
    if _has(names, r"(.*\.)?(bin_conv2|xnor\.\d+|features\.\d+)\.conv\.weight", r".*\.bn\.running_mean"):
        return "its layers have a bn and a conv or linear inside, as BinConv2d of that project"
    return None


def _binarynet(names: frozenset[str]) -> str | None:
    if _has(names, r".*\.weight_org") or _has(names, r".*\.conv\.weight"):
        return None
    if _has(names, r"layer1\.0\.conv1\.weight", r"bn3\.running_mean", r"fc\.weight"):
        return "its layers are called as in resnet_binary"
    if _has(names, r"features\.0\.weight", r"features\.17\.weight", r"classifier\.7\.running_mean"):
        return "features and classifier are numbered as in vgg_cifar10_binary"
    if _has(
        names,
        r"features\.0\.weight",
        r"features\.14\.weight",
        r"features\.16\.running_mean",
        r"classifier\.7\.running_mean",
    ):
        return "features and classifier are numbered as in alexnet_binary"
    if _has(names, r"fc1\.weight", r"bn3\.running_mean", r"fc4\.weight") and not _has(
        names, r"conv1\.weight"
    ):
        return "fc1 to fc4 with bn1 to bn3, as in its main_mnist.py"
    return None


def _zoo(names: frozenset[str]) -> str | None:
    if _has(names, r".*\.fp_weights"):
        return "its latent weights are called fp_weights, as in that project's XNOR layers"
    if _has(names, r".*\.weight_org"):
        return "its latent weights are called weight_org, as in that project's BNN layers"
    if _has(names, r"head\.0\.weight", r"layer1\.0\.bb\.0\.weight", r"tail\.2\.weight"):
        return "head, bb and tail are called as in its dorefa_resnet"
    return None


def _packed(names: frozenset[str]) -> str | None:
    if _has(names, r"(.*\.)?conv\d+\.alpha", r".*\.bn\.running_mean"):
        return "its binary layers have alpha and bn inside, as BinConv2d of that project"
    return None


def _dorefa(names: frozenset[str]) -> str | None:
    if _has(names, r"layers\.0\.bn0\.running_mean", r"layers\.0\.conv1\.weight", r"logit\.weight"):
        return "layers of bn0, conv0, bn1, conv1, as in its pre-activation ResNet"
    if _has(
        names,
        r"features\.0\.weight",
        r"features\.5\.running_mean",
        r"features\.15\.weight",
        r"classifier\.6\.weight",
    ) and not _has(names, r"features\.15\.running_mean"):
        return "features and classifier are numbered as in AlexNet_Q"
    return None


def _kind(
    name: str,
    title: str,
    module: str,
    known: Callable[[frozenset[str]], str | None],
    options: tuple[str, ...],
) -> Kind:
    def detect(path: Path, head: bytes) -> str | None:
        names = stored_names(path, head)
        return None if names is None else known(names)

    def read(path: Path, said: Options) -> Imported:
        reader: Callable[[Path, Options], Imported] = importlib.import_module(
            f"xnorhw.frontends.foreign.{module}"
        ).read
        return reader(path, said)

    return Kind(name, title, _ENDINGS, options, detect, read)


KINDS = (
    _kind("xnor-net-pytorch", "a checkpoint of jiecaoyu/XNOR-Net-PyTorch", "xnor_net", _xnor_net, _ALL),
    _kind(
        "binarynet-pytorch",
        "a checkpoint of itayhubara/BinaryNet.pytorch",
        "binarynet",
        _binarynet,
        ("sign0", "pad", "eps", "input", "arch"),
    ),
    _kind(
        "bnn-zoo", "a checkpoint of lucamocerino/Binary-Neural-Networks-PyTorch-1.0", "bnn_zoo", _zoo, _ALL
    ),
    _kind("pytorch-xnor-net", "a checkpoint of cooooorn/Pytorch-XNOR-Net", "packed", _packed, _ALL),
    _kind(
        "pytorch-dorefanet",
        "a checkpoint of zzzxxxttt/pytorch_DoReFaNet",
        "dorefanet",
        _dorefa,
        ("sign0", "eps", "input", "arch"),
    ),
)
