"""ABC-Net's activation in ONNX: for each base Add, MultiThreshold and Mul by a constant, and their sum.

xnorhw writes it so and says so in the nodes' doc_strings; by their own constants it is read again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from xnorhw.frontends.onnx.builder import Builder
from xnorhw.frontends.onnx.flow import Bases, Flow
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.quantisers import Float32
from xnorhw.frontends.onnx.quantising import note_of
from xnorhw.nn.activations import BasesActivation

__all__ = ["begins", "begun", "counted", "joined", "weighed"]

_AGAIN = "Export the network again"


def begins(node: Node) -> bool:
    """True where a node says that it is a part of such an activation."""
    return node.note.split(" ")[0] == "BasesActivation"


def begun(builder: Builder, node: Node, flow: Flow, shift: Float32) -> Bases:
    """The first node of a base: x + v."""
    if shift.size != 1:
        node.refuse("has a shift for each channel", _AGAIN)
    return Bases(builder.plain(node, flow), (float(shift[0]),), ())


def counted(node: Node, bases: Bases, table: Any) -> Bases:
    """The second: +1 where that reaches 0.5, else -1."""
    made = tuple(float(node.attributes.get(k, d)) for k, d in (("out_scale", 1.0), ("out_bias", 0.0)))
    if bases.betas or np.shape(table) != (1, 1) or float(table[0][0]) != 0.5 or made != (2.0, -1.0):
        node.refuse("is no base of a BasesActivation: -1 and +1 at the threshold 0.5", _AGAIN)
    return replace(bases, betas=(1.0,))


def weighed(builder: Builder, node: Node, bases: Bases, by: Any) -> Bases | Flow:
    """The third: times beta."""
    if node.op != "Mul" or bases.betas != (1.0,) or np.size(by) != 1:
        node.refuse("is no base of a BasesActivation: one beta for each", _AGAIN)
    return _finished(builder, node, replace(bases, betas=(float(np.reshape(by, -1)[0]),)))


def joined(builder: Builder, node: Node, left: Any, right: Any) -> Bases | Flow:
    """The sum of bases; of all, it is the activation."""
    both = isinstance(left, Bases) and isinstance(right, Bases) and left.flow == right.flow
    if node.op != "Add" or not both:
        node.refuse("adds bases of a BasesActivation to something else", _AGAIN)
    if len(left.betas) != len(left.shifts) or len(right.betas) != len(right.shifts):
        node.refuse("adds bases without their signs", _AGAIN)
    made = replace(left, shifts=(*left.shifts, *right.shifts), betas=(*left.betas, *right.betas))
    return _finished(builder, node, made)


def _finished(builder: Builder, node: Node, bases: Bases) -> Bases | Flow:
    frac = note_of(node).get("frac")
    if not isinstance(frac, int):
        return bases
    steps = np.ldexp(np.array(bases.betas), frac)
    if (steps != np.rint(steps)).any():
        node.refuse(f"has betas that are no multiples of 2^-{frac}", _AGAIN)
    module = BasesActivation.from_frozen(
        torch.from_numpy(steps.astype(np.int64)), torch.tensor(bases.shifts, dtype=torch.float32), frac
    )
    return builder.add(node, module, bases.flow, bases.flow.named(""))
