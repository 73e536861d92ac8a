"""What a user trains with: quantizers, layers, the XNOR-Net step, networks, recipes."""

from __future__ import annotations

from xnorhw.nn import data, train, zoo
from xnorhw.nn.activations import BasesActivation, Grid, QuantReLU
from xnorhw.nn.connect import BinaryConnectStep
from xnorhw.nn.full import FullConv2d, FullLinear
from xnorhw.nn.gradients import GradientQuant
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear, FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.networks import digits
from xnorhw.nn.quant_layers import FrozenQuantConv2d, FrozenQuantLinear, QuantConv2d, QuantLinear
from xnorhw.nn.quantizers import BinaryWeight, InputQuant, Sign, channel_scale, layer_scale, sign
from xnorhw.nn.scaled import FrozenScaledBinaryConv2d, ScaledBinaryConv2d
from xnorhw.nn.training import (
    DIGITS_RECIPE,
    DigitsData,
    DigitsRecipe,
    Progress,
    Trained,
    digits_data,
    train_digits,
)
from xnorhw.nn.weights import BasesWeight, BinaryConnectWeight, DoReFaWeight
from xnorhw.nn.xnor import XnorStep

__all__ = [
    # quantizers of weights
    "BasesWeight",
    "BinaryConnectWeight",
    "BinaryWeight",
    "DoReFaWeight",
    # quantizers of what layers read, and of gradients
    "BasesActivation",
    "GradientQuant",
    "Grid",
    "InputQuant",
    "QuantReLU",
    "Sign",
    "channel_scale",
    "layer_scale",
    "sign",
    # layers
    "BinaryConv2d",
    "BinaryLinear",
    "FrozenBinaryConv2d",
    "FrozenBinaryLinear",
    "FrozenQuantConv2d",
    "FrozenQuantLinear",
    "FrozenScaledBinaryConv2d",
    "FullConv2d",
    "FullLinear",
    "QuantConv2d",
    "QuantLinear",
    "ScaledBinaryConv2d",
    # training
    "BinaryConnectStep",
    "XnorStep",
    # networks and recipes
    "data",
    "train",
    "zoo",
    "DIGITS_RECIPE",
    "DigitsData",
    "DigitsRecipe",
    "Progress",
    "Trained",
    "digits",
    "digits_data",
    "train_digits",
]
