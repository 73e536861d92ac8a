"""What a user trains with: quantizers, layers, the XNOR-Net step, networks, recipes."""

from __future__ import annotations

from xnorhw.nn.full import FullConv2d, FullLinear
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear, FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.networks import digits
from xnorhw.nn.quantizers import BinaryWeight, InputQuant, Sign, channel_scale, layer_scale, sign
from xnorhw.nn.training import (
    DIGITS_RECIPE,
    DigitsData,
    DigitsRecipe,
    Progress,
    Trained,
    digits_data,
    train_digits,
)
from xnorhw.nn.xnor import XnorStep

__all__ = [
    # quantizers
    "BinaryWeight",
    "InputQuant",
    "Sign",
    "channel_scale",
    "layer_scale",
    "sign",
    # layers
    "BinaryConv2d",
    "BinaryLinear",
    "FrozenBinaryConv2d",
    "FrozenBinaryLinear",
    "FullConv2d",
    "FullLinear",
    # training
    "XnorStep",
    # networks and recipes
    "DIGITS_RECIPE",
    "DigitsData",
    "DigitsRecipe",
    "Progress",
    "Trained",
    "digits",
    "digits_data",
    "train_digits",
]
