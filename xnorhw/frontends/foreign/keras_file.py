"""An HDF5 file by Keras: its layers in their order, with their options and their arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xnorhw.frontends.foreign.arrays import Array, numbers
from xnorhw.frontends.foreign.base import check_size, refuse
from xnorhw.ir.errors import ToolError

__all__ = ["KerasLayer", "read_keras"]


@dataclass(frozen=True)
class KerasLayer:
    """A layer: ``kind`` is its class without what registered it, ``arrays`` its weights by short name."""

    where: str
    name: str
    kind: str
    config: dict[str, Any]
    arrays: dict[str, Array]

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.where}: {self.name} ({self.kind})"

    def take(self, name: str, rank: int) -> Array:
        """The array called ``name``; ModelError where it is missing or has another rank."""
        found = self.arrays.get(name)
        if found is None:
            refuse(self.label, f"has no {name} in the file", "The file is damaged: save the model again")
        if found.ndim != rank:
            refuse(self.label, f"has a {name} of shape {list(found.shape)}", "Save the model again")
        return found

    def pair(self, name: str, default: int | None = None) -> tuple[int, int]:
        """An option that is a whole number or a pair of them."""
        value = self.config.get(name, default)
        pair = [value, value] if isinstance(value, int) else value
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(v, int) and v > 0 for v in pair)
        ):
            refuse(self.label, f"has {name} = {value!r}", "Save the model again")
        return pair[0], pair[1]


def read_keras(path: Path) -> list[KerasLayer]:
    """The layers of a whole model in a chain.  ToolError without h5py, ModelError for another file."""
    try:
        import h5py
    except ImportError:
        raise ToolError(
            "h5py is not installed, and files of Keras are HDF5",
            module="h5py",
            remedy="Install it: pip install 'xnorhw[larq]'",
        ) from None
    where = str(path)
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                weights_only = "layer_names" in file.attrs
                refuse(
                    where,
                    "holds the weights of a Keras model without its layers"
                    if weights_only
                    else "is an HDF5 file, but no model of Keras",
                    "Save the whole model: model.save(path) with a path that ends in .h5",
                )
            described = json.loads(text)
            stored = _arrays(file["model_weights"], where, path.stat().st_size)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        refuse(
            where,
            f"is truncated or damaged, or no HDF5 file of Keras ({type(error).__name__})",
            "Copy the file again, or save the model again",
        )
    return _layers(described, stored, where)


def _arrays(group: Any, where: str, size: int) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for layer in _words(group.attrs["layer_names"]):
        part = group[layer]
        arrays = {}
        for name in _words(part.attrs["weight_names"]):
            check_size(f"{where}: {name}", size, int(part[name].nbytes))
            short = name.rpartition("/")[2].removesuffix(":0")
            arrays[short] = numbers(np.asarray(part[name]), f"{where}: {name}")
        found[layer] = arrays
    return found


def _words(values: Any) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _layers(described: Any, stored: dict[str, dict[str, Array]], where: str) -> list[KerasLayer]:
    try:
        config = described["config"]
        rows = config if isinstance(config, list) else config["layers"]
        made = []
        before: str | None = None
        for row in rows:
            options = row["config"]
            name = str(options["name"])
            kind = str(row["class_name"]).rpartition(">")[2]
            if kind in ("Sequential", "Functional", "Model"):
                refuse(f"{where}: {name}", "is a model inside of the model", "Save a model of layers alone")
            for read in _inbound(row.get("inbound_nodes")):
                if read != [before]:
                    refuse(
                        f"{where}: {name} ({kind})",
                        f"reads {', '.join(str(r) for r in read)}; the layer before it is {before}",
                        "Only chains can be imported: rebuild a network of branches in PyTorch; "
                        "see docs/own-model.md",
                    )
            made.append(KerasLayer(where, name, kind, options, stored.get(name, {})))
            before = name
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        refuse(
            where, f"describes its layers in another way than Keras ({type(error).__name__})", "Save it again"
        )
    if not made:
        refuse(where, "describes no layer", "Save the model again")
    return made


def _inbound(nodes: Any) -> list[list[str]]:
    """For each call of a layer the names of what it reads; [] in a Sequential."""
    calls = []
    for call in nodes or []:
        if isinstance(call, dict):  # Keras 3: arguments with a history
            calls.append([str(t["config"]["keras_history"][0]) for t in _tensors(call.get("args"))])
        else:
            calls.append([str(entry[0]) for entry in call])
    if len(calls) > 1:
        calls = [[name for call in calls for name in call]]
    return calls


def _tensors(args: Any) -> list[Any]:
    if isinstance(args, list):
        return [t for a in args for t in _tensors(a)]
    return [args] if isinstance(args, dict) and args.get("class_name") == "__keras_tensor__" else []
