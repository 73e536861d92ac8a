"""A pickle, or code in another dress, inside of every kind of file: nothing of it is ever run."""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.foreign import darknet_net, larq_net, lasagne_net, onnx_nets
from tests.foreign.projects import xnor_net
from xnorhw import load
from xnorhw.frontends.foreign import KIND_NAMES, Options, detect, read_foreign
from xnorhw.frontends.foreign.models import import_file, is_foreign
from xnorhw.ir.errors import XnorhwError

SAID = "1x28x28,mean=0.1307,std=0.3081"


class Bomb:
    """Makes the folder ``path`` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def lasagne(folder: Path, bomb: bytes) -> Path:
    arrays = [p for layer in lasagne_net.mlp(1) for p in layer.params()]
    held = np.empty(1, dtype=object)
    held[0] = Bomb(folder / "exploded")
    np.savez(folder / "net.npz", *arrays[:-1], held)
    return folder / "net.npz"


def tensorpack(folder: Path, bomb: bytes) -> Path:
    held = np.empty(1, dtype=object)
    held[0] = Bomb(folder / "exploded")
    names = {"conv0/W": np.ones((5, 5, 3, 4), np.float32), "bn1/mean/EMA": np.ones(4, np.float32)}
    np.savez(folder / "net.npz", **names, **{"fct/b": held})
    return folder / "net.npz"


def npz_itself(folder: Path, bomb: bytes) -> Path:
    (folder / "net.npz").write_bytes(bomb)
    return folder / "net.npz"


def keras_weights(folder: Path, bomb: bytes) -> Path:
    """A pickle where a kernel stands."""
    h5py = pytest.importorskip("h5py")
    path = keras_net(3).write(folder / "net.h5")
    with h5py.File(path, "r+") as file:
        name = next(n for n in _datasets(h5py, file) if "kernel" in n)
        del file[name]
        file[name] = np.void(bomb)
    return path


def keras_lambda(folder: Path, bomb: bytes) -> Path:
    """Keras writes a Lambda layer as the marshalled code of its function."""
    pytest.importorskip("h5py")
    net = keras_net(3)
    source = f"import os; os.mkdir({str(folder / 'exploded')!r})"
    code = base64.b64encode(marshal.dumps(compile(source, "x", "exec"))).decode()
    net.add("Lambda", {"function": [code, None, None], "function_type": "lambda", "arguments": {}})
    return net.write(folder / "net.h5")


def keras_config(folder: Path, bomb: bytes) -> Path:
    """A pickle where the model's description stands, and one more where its training is described."""
    h5py = pytest.importorskip("h5py")
    path = keras_net(3).write(folder / "net.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = np.void(bomb)
        file.attrs["model_config"] = np.void(bomb)
    return path


def keras_net(seed: int) -> larq_net.Net:
    net = larq_net.Net(seed, (8, 8, 3))
    net.conv((3, 3, 3, 4))
    net.norm(4, 2.0)
    return net


def _datasets(h5py: Any, file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, value: found.append(name) if isinstance(value, h5py.Dataset) else None)
    return found


def darknet_itself(folder: Path, bomb: bytes) -> Path:
    (folder / "net.weights").write_bytes(bomb)
    return folder / "net.weights"


def darknet_inside(folder: Path, bomb: bytes) -> Path:
    """A right header, and a pickle in the place of the weights."""
    path = darknet_net.write(folder, darknet_net.network(2))
    path.write_bytes(struct.pack("<3iq", 0, 2, 0, 0) + bomb)
    return path


def onnx_itself(folder: Path, bomb: bytes) -> Path:
    (folder / "net.onnx").write_bytes(bomb)
    return folder / "net.onnx"


def onnx_inside(folder: Path, bomb: bytes) -> Path:
    """A tensor of strings that is a pickle, for the operation of a package that would run it."""
    onnx = pytest.importorskip("onnx")
    proto = onnx_nets.brevitas_torchscript()
    tensor = onnx.helper.make_tensor("payload", onnx.TensorProto.STRING, [1], [bomb])
    proto.graph.initializer.append(tensor)
    node = onnx.helper.make_node("PyOp", ["payload"], ["made"], domain="ai.onnx.contrib", code=bomb)
    proto.graph.node.insert(0, node)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return folder / "net.onnx"


def onnx_beside(folder: Path, bomb: bytes) -> Path:
    """A pickle where the external data should be."""
    onnx = pytest.importorskip("onnx")
    path = folder / "net.onnx"
    proto = onnx_nets.brevitas_torchscript()
    onnx.save_model(proto, str(path), save_as_external_data=True, location="net.data", size_threshold=16)
    (folder / "net.data").write_bytes(bomb)
    return path


def tar(folder: Path, bomb: bytes) -> Path:
    """As torch.save wrote before version 0.2: each member begins with a pickle."""
    path = folder / "net.pth.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            member = tarfile.TarInfo(name)
            member.size = len(bomb)
            archive.addfile(member, io.BytesIO(bomb))
    return path


def checkpoint(folder: Path, bomb: bytes) -> Path:
    path = folder / "net.pth.tar"
    state = {**xnor_net.LeNet5(4, 4, 8).state_dict(), "ip2.bias": Bomb(folder / "exploded")}
    torch.save({"state_dict": state}, path)
    return path


FILES: list[Callable[[Path, bytes], Path]] = [
    lasagne, tensorpack, npz_itself, keras_weights, keras_lambda, keras_config, darknet_itself,
    darknet_inside, onnx_itself, onnx_inside, onnx_beside, tar, checkpoint,
]  # fmt: skip


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_nothing_of_a_file_is_run(make: Callable[[Path, bytes], Path], tmp_path: Path) -> None:
    folder = tmp_path / "exploded"
    path = make(tmp_path, pickle.dumps(Bomb(folder)))
    detect(path)
    is_foreign(path)
    refusals = []
    for kind in (None, *KIND_NAMES):
        for said in (Options(input=SAID), Options(arch="mnist"), Options()):
            try:
                read_foreign(path, kind, said)
            except XnorhwError as error:
                assert error.remedy
                refusals.append(error)
    assert len(refusals) == 3 * (1 + len(KIND_NAMES))
    for call in (lambda: load(path), lambda: import_file(path, tmp_path / "out.pt")):
        with pytest.raises(XnorhwError):
            call()
    assert not folder.exists() and not (tmp_path / "out.pt").exists()


def test_the_bombs_do_explode(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()
    with np.load(lasagne(tmp_path, b""), allow_pickle=True) as archive, pytest.raises(FileExistsError):
        [archive[name] for name in archive.files]
    h5py = pytest.importorskip("h5py")
    with h5py.File(keras_lambda(tmp_path, b"")) as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    code = marshal.loads(base64.b64decode(layers[-1]["config"]["function"][0]))
    with pytest.raises(FileExistsError):
        exec(code, {})


def test_an_old_tar_says_what_to_do(tmp_path: Path) -> None:
    path = tar(tmp_path, pickle.dumps({"a": 1}))
    for kind in (None, "xnor-net-pytorch"):
        with pytest.raises(XnorhwError, match="tar archive as torch.save wrote it before") as error:
            read_foreign(path, kind, Options(input=SAID))
        assert "weights_only=False" in error.value.remedy and "import weights.pth" in error.value.remedy
    other = tmp_path / "folder.tar"
    with tarfile.open(other, "w") as archive:
        archive.add(path, "model/net.pth")
    with pytest.raises(XnorhwError, match=r"is a tar archive of files.*tar -xf"):
        read_foreign(other)
    packed = tmp_path / "net.pth.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(path, "net.pth")
    with pytest.raises(XnorhwError, match="compressed by gzip"):
        read_foreign(packed)


def test_what_is_to_be_done_with_an_old_tar_can_be_done(tmp_path: Path) -> None:
    values = torch.arange(6, dtype=torch.float32)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> str | None:
            return "7" if isinstance(value, torch.Tensor) else None

    def pickled(value: Any) -> bytes:
        made = io.BytesIO()
        Pickler(made, 2).dump(value)
        return made.getvalue()

    storage = pickled(1) + pickled((5, "cpu", torch.FloatStorage)) + struct.pack("<q", 6)
    tensor = pickled(1) + pickled((7, 5, torch.FloatTensor)) + struct.pack("<ii5q", 2, 0, 2, 3, 3, 1, 0)
    members = {
        "sys_info": pickled({"protocol_version": 1000, "little_endian": True}),
        "pickle": pickled({"state_dict": {"fc.weight": values}}),
        "tensors": tensor,
        "storages": storage + values.numpy().tobytes() + pickled([]),
    }
    path = tmp_path / "old.pth.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with pytest.raises(XnorhwError, match="tar archive as torch.save wrote it before"):
        read_foreign(path)
    found = torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
    assert torch.equal(found["fc.weight"], values.view(2, 3))
