"""Graphs and plans to plain data and back: a JSON tree plus a table of arrays.

The set of classes is closed and given by the caller: nothing is imported by name, no code
runs on reading.
"""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SerialError", "decode", "dump_npz", "encode", "later", "load_npz"]

Arrays = dict[str, npt.NDArray[Any]]


class SerialError(ValueError):
    """The data does not describe what it should."""


def later(default: Any) -> Any:
    """A dataclass field that came after files had been written without it.

    Where it holds ``default`` it is left out of what is written: what does not use it keeps its
    bytes, and is read by the versions before it as well.
    """
    return dataclasses.field(default=default, metadata={"later": True})


def encode(value: Any, arrays: Arrays, path: str = "") -> Any:
    """Turn a tree of dataclasses into JSON-able data; arrays go into ``arrays`` by path."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        tree: dict[str, Any] = {"class": type(value).__name__}
        for field in dataclasses.fields(value):
            held = getattr(value, field.name)
            if "later" in field.metadata and held == field.default:
                continue
            tree[field.name] = encode(held, arrays, f"{path}/{field.name}" if path else field.name)
        return tree
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [encode(v, arrays, f"{path}/{i}") for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SerialError(f"{path}: a {type(value).__name__} is not part of the vocabulary")


def decode(tree: Any, arrays: Mapping[str, npt.NDArray[Any]], classes: Iterable[type]) -> Any:
    """The inverse of ``encode`` for the given closed set of dataclasses."""
    return _Decoder(arrays, {c.__name__: c for c in classes}).value(tree, None, "")


class _Decoder:
    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], classes: dict[str, type]) -> None:
        self._arrays = arrays
        self._classes = classes
        self._hints: dict[type, dict[str, Any]] = {}

    def value(self, tree: Any, hint: Any, path: str) -> Any:
        if isinstance(tree, dict):
            return self._mapping(tree, path)
        if isinstance(tree, list):
            return tuple(self.value(v, _item_hint(hint), f"{path}/{i}") for i, v in enumerate(tree))
        for option in _options(hint):
            if isinstance(option, type) and issubclass(option, enum.Enum):
                try:
                    return option(tree)
                except ValueError as error:
                    raise SerialError(f"{path}: {error}") from None
        options = _options(hint)
        if isinstance(tree, int) and not isinstance(tree, bool) and float in options and int not in options:
            return float(tree)
        self._check_scalar(tree, options, path)
        return tree

    @staticmethod
    def _check_scalar(tree: Any, options: tuple[Any, ...], path: str) -> None:
        plain = {bool, int, float, str, types.NoneType}
        if not options or not set(options) <= plain:
            return
        if type(tree) not in options:
            names = " or ".join(getattr(o, "__name__", str(o)) for o in options)
            raise SerialError(f"{path}: expected {names}, found {tree!r}")

    def _mapping(self, tree: dict[str, Any], path: str) -> Any:
        if "array" in tree:
            try:
                return self._arrays[tree["array"]]
            except KeyError:
                raise SerialError(f"{path}: the array {tree['array']!r} is missing") from None
        if "float" in tree:
            return float(tree["float"])
        cls = self._classes.get(tree.get("class", ""))
        if cls is None:
            raise SerialError(f"{path}: {tree.get('class')!r} is not part of the vocabulary")
        if cls not in self._hints:
            self._hints[cls] = typing.get_type_hints(cls)
        hints = self._hints[cls]
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = set(tree) - names - {"class"}
        if unknown:
            raise SerialError(f"{path}: {cls.__name__} has no field {sorted(unknown)[0]!r}")
        try:
            return cls(
                **{
                    k: self.value(v, hints.get(k), f"{path}/{k}" if path else k)
                    for k, v in tree.items()
                    if k != "class"
                }
            )
        except TypeError as error:
            raise SerialError(f"{path}: {error}") from None


def _options(hint: Any) -> tuple[Any, ...]:
    if hint is None:
        return ()
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _item_hint(hint: Any) -> Any:
    for option in _options(hint):
        args = typing.get_args(option)
        if typing.get_origin(option) is tuple and len(args) == 2 and args[1] is Ellipsis:
            return args[0]
        if typing.get_origin(option) is tuple and args and len(set(args)) == 1:
            return args[0]
    return None


def dump_npz(tree: Any, arrays: Arrays) -> bytes:
    """One deterministic .npz file: the tree as JSON under ``tree``, and the arrays."""
    text = json.dumps(tree, sort_keys=True, allow_nan=False)
    buffer = io.BytesIO()
    members: dict[str, Any] = {"tree": np.frombuffer(text.encode(), np.uint8)}
    members.update({f"array/{k}": v for k, v in arrays.items()})
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def load_npz(data: bytes) -> tuple[Any, Arrays]:
    """The inverse of ``dump_npz``; never unpickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            tree = json.loads(file["tree"].tobytes())
            arrays = {k.removeprefix("array/"): file[k] for k in file.files if k != "tree"}
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise SerialError(f"not a graph file: {error}") from None
    except Exception as error:  # zipfile raises its own classes on damaged files
        raise SerialError(f"damaged: {error}") from None
    return tree, arrays
