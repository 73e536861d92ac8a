"""XNOR-Net's weights as its ports evaluate them: centred, clamped, then a sign and a scale a filter."""

from __future__ import annotations

from torch import Tensor

from xnorhw.frontends.foreign.base import Options, refuse
from xnorhw.frontends.foreign.grids import centred
from xnorhw.frontends.foreign.parts import Maker

__all__ = ["XnorWeights"]


class XnorWeights:
    """Makes (signs, scale [O]) of the weights of one checkpoint, and says at the end how."""

    def __init__(self, maker: Maker, options: Options) -> None:
        self._maker = maker
        self._recentre = options.recentre
        self._latent: list[str] = []
        self._binarised: list[str] = []
        self._clamped: list[str] = []

    def __call__(self, name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
        """[O, I, ...] as it is stored -> signs of that shape and scale [O].

        Weights of one magnitude in each filter are binarised already.  Others are latent:
        W -= mean over the inputs, clamped to [-1, 1], as each evaluation of the project does.
        """
        if _is_binarised(weight):
            self._binarised.append(name)
        else:
            self._latent.append(name)
            if self._recentre is not False and weight.shape[1] == 1:
                refuse(
                    self._maker.where,
                    f"{name} has one input channel, and centred over its inputs every weight of it is 0",
                    "Give --no-recentre if the network was trained without",
                )
            weight, clamped = centred(weight, self._recentre)
            if clamped:
                self._clamped.append(name)
        signs = self._maker.signs(weight, name)
        return signs, weight.abs().flatten(1).sum(1) / weight[0].numel()

    def finish(self) -> None:
        """Note what was decided about the weights."""
        decide = self._maker.decide
        if self._binarised:
            decide(
                "weights",
                f"binarised already in {_names(self._binarised)}",
                "each filter has one magnitude, which is its scale",
            )
        if not self._latent:
            return
        if self._recentre is False:
            decide("weights", f"latent in {_names(self._latent)}, taken as they are", "--no-recentre")
            return
        decide(
            "weights",
            f"latent in {_names(self._latent)}, centred and clamped once more",
            "the project's evaluation does so; --no-recentre takes them as they are",
        )
        if self._clamped:
            decide(
                "clamping",
                f"changed weights of {_names(self._clamped)}",
                "centring such weights anew gives others each time; these are those of the first evaluation",
            )


def _is_binarised(weight: Tensor) -> bool:
    sizes = weight.abs().flatten(1)
    low, high = sizes.min(1).values, sizes.max(1).values
    return bool((high > 0).any()) and bool(((high - low) <= 1e-6 * high).all())


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} layers"
