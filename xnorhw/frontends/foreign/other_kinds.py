"""The kinds that come from Theano, TensorFlow and darknet: how each is recognised, and who reads it."""

from __future__ import annotations

import struct
from pathlib import Path

from xnorhw.frontends.foreign.arrays import stored_arrays
from xnorhw.frontends.foreign.base import Imported, Kind, Options

__all__ = ["KINDS"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def _is_lasagne(path: Path, head: bytes) -> str | None:
    names = stored_arrays(path, head)
    if names is None or set(names) != {f"arr_{i}" for i in range(len(names))} or len(names) % 6:
        return None
    return f"an .npz of {len(names)} arrays without names, six a layer: weights, bias and a batch norm"


def _is_tensorpack(path: Path, head: bytes) -> str | None:
    names = stored_arrays(path, head)
    if names is None:
        return None
    plain = {name.removesuffix(":0") for name in names}
    weights = [n for n in plain if n.endswith("/W")]
    averages = [n for n in plain if n.endswith("/mean/EMA")]
    if not weights or not averages:
        return None
    return f"an .npz with {len(weights)} arrays called .../W and {len(averages)} called .../mean/EMA"


def _is_darknet(path: Path, head: bytes) -> str | None:
    if path.suffix not in (".weights", ".backup") or len(head) < 16:
        return None
    major, minor, revision = struct.unpack_from("<3i", head)
    if not (major in (0, 1) and 0 <= minor < 10 and 0 <= revision < 10):
        return None
    return f"a {path.suffix} file that begins with darknet's version {major}.{minor}.{revision}"


def _is_larq(path: Path, head: bytes) -> str | None:
    if not head.startswith(_HDF5):
        return None
    return "an HDF5 file, as Keras writes models"


def _lasagne(path: Path, options: Options) -> Imported:
    from xnorhw.frontends.foreign.lasagne import read

    return read(path, options)


def _tensorpack(path: Path, options: Options) -> Imported:
    from xnorhw.frontends.foreign.tensorpack import read

    return read(path, options)


def _darknet(path: Path, options: Options) -> Imported:
    from xnorhw.frontends.foreign.darknet import read

    return read(path, options)


def _larq(path: Path, options: Options) -> Imported:
    from xnorhw.frontends.foreign.larq import read

    return read(path, options)


KINDS = (
    Kind(
        "lasagne",
        "BinaryNet's parameters by Theano and Lasagne",
        (".npz",),
        ("sign0", "input", "arch"),
        _is_lasagne,
        _lasagne,
    ),
    Kind(
        "tensorpack",
        "DoReFa-Net's parameters by tensorpack",
        (".npz",),
        ("sign0", "input", "arch"),
        _is_tensorpack,
        _tensorpack,
    ),
    Kind(
        "darknet",
        "weights of darknet, with the cfg of a network of xnor=1 layers",
        (".weights", ".backup"),
        ("sign0", "eps", "arch"),
        _is_darknet,
        _darknet,
    ),
    Kind("larq", "a Keras model of larq's layers", (".h5", ".hdf5"), ("input",), _is_larq, _larq),
)
