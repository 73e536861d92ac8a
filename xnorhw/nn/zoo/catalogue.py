"""The zoo: networks of the papers by name, with what they hold, what was reported for them, and by whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from xnorhw.ir.errors import XnorhwError
from xnorhw.ir.float_graph import Input
from xnorhw.nn.networks import digits
from xnorhw.nn.zoo import detectors, large, residual, small
from xnorhw.nn.zoo.figures import Figures
from xnorhw.nn.zoo.plain import plain

__all__ = ["ENTRIES", "NAMES", "NOT_VERIFIED", "PLAIN", "Entry", "build", "entry"]

NOT_VERIFIED = "not verified"
PLAIN = "-float"
"""What a network's name ends in that is the plain one of the same input: a teacher."""


@dataclass(frozen=True)
class Entry:
    """A network: its input ``shape`` (C, H, W) of raw pixels, the classes it has by itself, the data
    and the recipe it is trained with unless told otherwise.

    ``accuracy``: what its source reports, where that was read in the source itself, for the source's own
    training; else ``NOT_VERIFIED``.  ``deviates``: in what it differs from the source.
    """

    name: str
    title: str
    make: Callable[[int], nn.Module]
    shape: tuple[int, int, int]
    classes: int
    data: str
    recipe: str
    figures: Figures
    accuracy: str
    source: str
    deviates: str = ""


XNOR_PAPER = "XNOR-Net, arXiv 1603.05279"
_SHORTCUT = (
    "a shortcut that changes shape is a binary 1x1 convolution (the paper's is in full precision), every sum "
    "is of fixed-point numbers"
)

_ALL = (
    Entry(
        "digits",
        "a small XNOR-Net for scikit-learn's digits",
        lambda classes: digits(classes=classes),
        (1, 8, 8),
        10,
        "digits",
        "plain",
        Figures(4, 58_144, 58_144, 1_772_032, 18_432, 0),
        NOT_VERIFIED,
        "the project's own",
    ),
    Entry(
        "lenet5",
        "XNOR LeNet-5",
        small.lenet5,
        (1, 28, 28),
        10,
        "mnist",
        "xnor",
        Figures(4, 430_500, 425_000, 2_000_000, 0, 293_000),
        "99.23 % (MNIST)",
        "jiecaoyu/XNOR-Net-PyTorch",
    ),
    Entry(
        "nin",
        "XNOR network in network",
        small.nin,
        (3, 32, 32),
        10,
        "cifar10",
        "xnor",
        Figures(9, 965_568, 949_248, 207_618_048, 0, 14_747_520),
        "86.28 % (CIFAR-10)",
        "jiecaoyu/XNOR-Net-PyTorch",
        "the average pools read fixed-point numbers; the last convolution stands behind the last "
        "average (the two commute) and has no ReLU",
    ),
    Entry(
        "bnn-cifar10",
        "BinaryNet's network for CIFAR-10",
        partial(small.bnn_vgg, width=128),
        (3, 32, 32),
        10,
        "cifar10",
        "bnn",
        Figures(9, 14_022_016, 14_022_016, 613_427_200, 3_538_944, 0),
        "88.60 % (CIFAR-10)",
        "MatthieuCourbariaux/BinaryNet",
    ),
    Entry(
        "bnn-svhn",
        "BinaryNet's network for SVHN",
        partial(small.bnn_vgg, width=64),
        (3, 32, 32),
        10,
        "svhn",
        "bnn",
        Figures(9, 3_508_928, 3_508_928, 153_359_360, 1_769_472, 0),
        "97.20 % (SVHN)",
        "MatthieuCourbariaux/BinaryNet",
        "its widths were not read in the source: half of CIFAR-10's",
    ),
    Entry(
        "cnv",
        "the convolutional network that FINN made known",
        small.cnv,
        (3, 32, 32),
        10,
        "svhn",
        "bnn",
        Figures(9, 1_542_848, 1_542_848, 57_906_176, 1_555_200, 0),
        NOT_VERIFIED,
        "FINN, arXiv 1612.07119",
        "the last layer's batch norm gives scores of a class each",
    ),
    Entry(
        "mlp-1024",
        "three hidden layers of 1,024",
        partial(small.mlp, width=1024),
        (1, 28, 28),
        10,
        "mnist",
        "bnn",
        Figures(4, 2_910_208, 2_910_208, 2_910_208, 0, 0),
        NOT_VERIFIED,
        "FINN, arXiv 1612.07119",
    ),
    Entry(
        "mlp-4096",
        "BinaryNet's three hidden layers of 4,096",
        partial(small.mlp, width=4096, dropout=(0.2, 0.5)),
        (1, 28, 28),
        10,
        "mnist",
        "bnn",
        Figures(4, 36_806_656, 36_806_656, 36_806_656, 0, 0),
        "99.04 % (MNIST)",
        "MatthieuCourbariaux/BinaryNet",
        "the pixels are binarised at their middle",
    ),
    Entry(
        "alexnet-bwn",
        "AlexNet with binary weights",
        large.alexnet_bwn,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "bwn",
        Figures(8, 62_367_776, 58_236_928, 0, 1_025_744_896, 109_511_200),
        "56.8 % top-1, 79.4 % top-5 (ImageNet)",
        XNOR_PAPER,
        "codes of 8 bits between the layers, where the paper has real numbers",
    ),
    Entry(
        "alexnet-xnor",
        "AlexNet as XNOR-Net",
        large.alexnet_xnor,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "xnor-imagenet",
        Figures(8, 62_367_776, 58_236_928, 1_025_744_896, 0, 109_511_200),
        "44.2 % top-1, 69.2 % top-5 (ImageNet)",
        XNOR_PAPER,
    ),
    Entry(
        "alexnet-dorefa",
        "AlexNet as DoReFa-Net, weights of 1 bit and activations of 2",
        large.alexnet_dorefa,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "dorefa",
        Figures(8, 60_961_280, 56_823_808, 0, 1_812_054_016, 125_028_352),
        "46.1 % top-1 (ImageNet, with gradients of 6 bits)",
        "DoReFa-Net, arXiv 1606.06160; layers of tensorpack's examples",
        "its gradients are not quantised in training (xnn.GradientQuant in front of a layer does that)",
    ),
    Entry(
        "alexnet-bnn",
        "AlexNet as BinaryNet, its early layers three times as wide",
        large.alexnet_bnn,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "bnn",
        Figures(8, 77_160_512, 77_160_512, 4_728_147_968, 210_830_400, 0),
        NOT_VERIFIED,
        "itayhubara/BinaryNet.pytorch",
    ),
    Entry(
        "resnet18-bwn",
        "ResNet-18 with binary weights",
        partial(residual.resnet18, scheme="bwn"),
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "bwn",
        Figures(21, 11_678_912, 11_157_504, 0, 1_695_547_392, 118_525_952),
        "60.8 % top-1, 83.0 % top-5 (ImageNet)",
        XNOR_PAPER,
        f"codes of 8 bits between the layers; {_SHORTCUT}",
    ),
    Entry(
        "resnet18-xnor",
        "ResNet-18 as XNOR-Net",
        partial(residual.resnet18, scheme="xnor"),
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "xnor-imagenet",
        Figures(21, 11_678_912, 11_157_504, 1_695_547_392, 0, 118_525_952),
        "51.2 % top-1, 73.2 % top-5 (ImageNet)",
        XNOR_PAPER,
        _SHORTCUT,
    ),
    Entry(
        "resnet18-abc",
        "ResNet-18 as ABC-Net, five weight bases and five activation bases",
        partial(residual.resnet18, scheme="abc"),
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "abc",
        Figures(21, 11_678_912, 55_787_520, 42_388_684_800, 0, 118_525_952),
        NOT_VERIFIED,
        "ABC-Net, arXiv 1711.11294",
        "a shortcut that changes shape has bases as well (the original's is not known); alphas and betas in "
        "steps of a sixteenth; every sum is of fixed-point numbers",
    ),
    Entry(
        "resnet18-bireal",
        "ResNet-18 as Bi-Real Net, a shortcut around each convolution",
        partial(residual.resnet18, scheme="bireal"),
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "xnor-imagenet",
        Figures(18, 11_506_880, 10_985_472, 1_676_279_808, 0, 118_525_952),
        NOT_VERIFIED,
        "Bi-Real Net, arXiv 1808.00278",
        "a shortcut that changes shape is the maximum of 2x2 and the channels twice (the original has an "
        "average and a 1x1 convolution in full precision), every sum is of fixed-point numbers",
    ),
    Entry(
        "extraction-bwn",
        "a GoogLeNet-like chain of 21 layers with binary weights",
        large.extraction_bwn,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "bwn",
        Figures(21, 23_418_048, 22_384_640, 0, 4_091_150_336, 119_037_952),
        NOT_VERIFIED,
        f"of the kind of the GoogLeNet variant of {XNOR_PAPER}, which is 21 convolutions",
        "the widths are of its kind, not the paper's table; the first and the last layer in full precision; "
        "codes of 8 bits between the layers",
    ),
    Entry(
        "wide13",
        "13 layers, wide early ones, to be trained by distillation",
        large.wide13,
        (3, 224, 224),
        1000,
        "imagefolder:DIR",
        "distill",
        Figures(13, 18_834_176, 18_284_544, 11_560_550_400, 0, 118_525_952),
        NOT_VERIFIED,
        "in the spirit of Wu et al., arXiv 1604.03058",
        "the paper's table of layers was not found: widths, kernels and pools are the project's",
    ),
    Entry(
        "nao-xnor",
        "a robot detector for proposals of 32x32, as XNOR-Net",
        detectors.nao_xnor,
        (1, 32, 32),
        2,
        "robots",
        "plain",
        Figures(5, 187_424, 186_368, 7_208_960, 0, 205_056),
        NOT_VERIFIED,
        "in the spirit of arXiv 1706.06702",
        "the paper's tables of layers were not found",
    ),
    Entry(
        "nao-fire",
        "a robot detector for proposals of 32x32, of binary fire modules",
        detectors.nao_fire,
        (1, 32, 32),
        2,
        "robots",
        "plain",
        Figures(12, 327_200, 326_144, 4_825_088, 0, 205_056),
        NOT_VERIFIED,
        "in the spirit of arXiv 1706.06702 and SqueezeNet",
        "the paper's tables of layers were not found; a fire module's sides end in signs",
    ),
    Entry(
        "sentibank-xnor",
        "DeepSentiBank's 2,089 adjective-noun pairs, as XNOR-Net",
        large.sentibank,
        (3, 227, 227),
        2089,
        "imagefolder:DIR",
        "xnor-imagenet",
        Figures(8, 65_415_200, 56_823_808, 614_895_616, 0, 113_971_744),
        NOT_VERIFIED,
        "DeepSentiBank, arXiv 1410.8586",
        "the original is not binary; its local response norms are batch norms here, and its mean image is a "
        "mean colour",
    ),
)

ENTRIES: dict[str, Entry] = {e.name: e for e in _ALL}
"""Every network by name, in the order of the papers."""
NAMES: tuple[str, ...] = tuple(ENTRIES)


def entry(name: str) -> Entry:
    """The entry called ``name``; XnorhwError where there is none."""
    if name not in ENTRIES:
        raise XnorhwError(
            "there is no such network",
            module=name,
            remedy="Use one that `xnorhw zoo` lists, or one of these followed by -float for its teacher",
        )
    return ENTRIES[name]


def build(name: str, classes: int | None = None) -> tuple[nn.Module, Input]:
    """(the network called ``name``, untrained and in training, and its input: raw pixels).

    ``classes``: as many scores; what the entry says if None.  A name that ends in ``-float`` gives
    the plain network of the same input, in full precision: a teacher, which no build takes.
    Initialised from torch's random state.  XnorhwError for an unknown name.
    """
    found = entry(name.removesuffix(PLAIN))
    count = found.classes if classes is None else classes
    if count < 2:
        raise XnorhwError(
            f"{count} classes leave nothing to decide", module=name, remedy="Give two classes or more"
        )
    net = plain(found.shape, count) if name.endswith(PLAIN) else found.make(count)
    return net, Input(found.shape)
