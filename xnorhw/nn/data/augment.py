"""What is done to training pictures: moved, mirrored, resized.  Integers in, integers out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["augmented", "cropped", "flipped", "resized"]


def augmented(pixels: Tensor, generator: torch.Generator, *, shift: int = 0, flip: bool = False) -> Tensor:
    """``cropped`` by ``shift``, then ``flipped`` if asked for; [N, C, H, W], dtype kept."""
    moved = cropped(pixels, shift, generator)
    return flipped(moved, generator) if flip else moved


def cropped(pixels: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Each picture padded by ``pad`` zeros on every side and cut out again at a random place.

    The crop of CIFAR-10's usual training (pad 4): a move by up to ``pad`` pixels each way.
    """
    if pad == 0:
        return pixels
    count, _, height, width = pixels.shape
    wide = F.pad(pixels, (pad,) * 4)
    y = torch.randint(2 * pad + 1, (count, 1), generator=generator) + torch.arange(height)
    x = torch.randint(2 * pad + 1, (count, 1), generator=generator) + torch.arange(width)
    y, x = y.to(pixels.device), x.to(pixels.device)
    rows = torch.arange(count, device=pixels.device)[:, None, None]
    # indices around a slice put the sliced axis last
    return wide[rows, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2).contiguous()


def flipped(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures, chosen at random, mirrored from left to right."""
    mirror = torch.rand(len(pixels), generator=generator) < 0.5
    return torch.where(mirror.to(pixels.device)[:, None, None, None], pixels.flip(3), pixels)


def resized(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """uint8 [N, C, H, W] in another ``shape`` (C, H, W): linear, smoothed where it shrinks.

    Colours become grey by 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), grey becomes three
    equal colours.
    """
    channels, height, width = shape
    values = pixels.to(torch.float32)
    if pixels.size(1) == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        values = (values * weights).sum(dim=1, keepdim=True)
    elif pixels.size(1) == 1 and channels == 3:
        values = values.expand(-1, 3, -1, -1)
    elif pixels.size(1) != channels:
        raise ValueError(f"pictures of {pixels.size(1)} channels cannot become ones of {channels}")
    if values.shape[2:] != (height, width):
        values = F.interpolate(
            values, size=(height, width), mode="bilinear", antialias=True, align_corners=False
        )
    return values.round().clamp(0, 255).to(torch.uint8)
