"""In-place calls: a plain call unless somebody else still reads what is overwritten."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

__all__ = ["is_in_place", "overwrites_shared"]

ModuleOf = Callable[[fx.Node], nn.Module]

_INPLACE_POSITION: dict[Any, int] = {F.relu: 1, F.hardtanh: 3, F.relu6: 1, F.leaky_relu: 2, F.elu: 2}
_OPERATORS = {
    getattr(operator, name)
    for name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")
}
_VIEW_METHODS = {
    "flatten", "view", "reshape", "contiguous", "squeeze", "unsqueeze", "transpose", "permute", "detach",
}  # fmt: skip
_VIEW_FUNCTIONS = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.transpose, torch.permute,
    operator.getitem, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout,
    F.feature_alpha_dropout,
}  # fmt: skip
_VIEW_MODULES = (nn.Flatten, nn.Identity, nn.modules.dropout._DropoutNd)


def is_in_place(node: fx.Node, module_of: ModuleOf) -> bool:
    """True where the call overwrites its first argument."""
    if node.op == "call_module":
        return bool(getattr(module_of(node), "inplace", False))
    name = str(node.target if node.op == "call_method" else getattr(node.target, "__name__", ""))
    if name.endswith("_") and not name.endswith("__"):
        return True
    if node.op != "call_function":
        return False
    position = _INPLACE_POSITION.get(node.target)
    positional = position is not None and len(node.args) > position and node.args[position]
    return bool(positional or node.kwargs.get("inplace") or node.target in _OPERATORS)


def overwrites_shared(node: fx.Node, module_of: ModuleOf) -> bool:
    """True where an in-place call overwrites memory that another call reads, through views too."""
    current = _first_argument(node)
    while current is not None:
        if sum(not _reads_shape(user) for user in current.users) > 1:
            return True
        if not (_is_view(current, module_of) or is_in_place(current, module_of)):
            return False
        current = _first_argument(current)
    return False


def _first_argument(node: fx.Node) -> fx.Node | None:
    return next(iter(node.all_input_nodes), None)


def _is_view(node: fx.Node, module_of: ModuleOf) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(node), _VIEW_MODULES)
    if node.op == "call_method":
        return node.target in _VIEW_METHODS
    return node.op == "call_function" and node.target in _VIEW_FUNCTIONS


def _reads_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim")
    return node.op == "call_function" and node.target is getattr
