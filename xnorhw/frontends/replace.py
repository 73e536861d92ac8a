"""``replace=``: a user's modules turned into ours before tracing."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping
from typing import Any, Union

from torch import nn

from xnorhw.ir.errors import ModelError

__all__ = ["Replacements", "replaced"]

Replacements = Mapping[Union[type[nn.Module], str], Callable[[Any], nn.Module]]
"""A module class or a qualified module name -> a function from that module to its substitute."""


def replaced(net: nn.Module, replace: Replacements | None) -> nn.Module:
    """``net`` itself without replacements, else a deep copy with every match replaced.

    A name wins over a class, a class over its bases.  A module used in several places is
    replaced once.  Substitutes take over the training flag.  ModelError: a key that matches
    nothing, or a function that fails or returns no module.
    """
    if not replace:
        return net
    result = copy.deepcopy(net)
    used: set[Any] = set()
    done: dict[int, nn.Module] = {}

    def substitute(module: nn.Module, name: str) -> nn.Module:
        if id(module) in done:
            return done[id(module)]
        key = _match(module, name, replace)
        if key is None:
            done[id(module)] = module
            for child_name, child in list(module.named_children()):
                path = f"{name}.{child_name}" if name else child_name
                new = substitute(child, path)
                if new is not child:
                    _put(module, child, new)
        else:
            used.add(key)
            done[id(module)] = _call(replace[key], module, name)
        return done[id(module)]

    result = substitute(result, "")
    for key in replace:
        if key not in used:
            _refuse_unused(net, key)
    return result


def _put(parent: nn.Module, old: nn.Module, new: nn.Module) -> None:
    # by hand: named_children gives a module that is registered twice only once
    for key, value in list(parent._modules.items()):
        if value is old:
            parent._modules[key] = new


def _match(module: nn.Module, name: str, replace: Replacements) -> type[nn.Module] | str | None:
    if name and name in replace:
        return name
    for cls in type(module).__mro__:
        if cls in replace:
            return cls
    return None


def _call(function: Callable[[Any], nn.Module], module: nn.Module, name: str) -> nn.Module:
    where = name or type(module).__name__
    try:
        new = function(module)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"its replacement failed: {type(error).__name__}: {error}",
            module=where,
            remedy="Correct the function given in replace=",
        ) from error
    if not isinstance(new, nn.Module):
        raise ModelError(
            f"its replacement is a {type(new).__name__}, not a module",
            module=where,
            remedy="Return a module from the function given in replace=",
        )
    return new.train(module.training)


def _refuse_unused(net: nn.Module, key: type[nn.Module] | str) -> None:
    if isinstance(key, str):
        names = [name for name, _ in net.named_modules() if name]
        close = difflib.get_close_matches(key, names, 3)
        hint = f"The nearest names are {', '.join(close)}" if close else "Use names of net.named_modules()"
        raise ModelError("replace= names a module that the network does not have", module=key, remedy=hint)
    raise ModelError(
        "replace= names a class of which the network has no module",
        module=key.__name__,
        remedy="Give the class that print(net) shows",
    )
