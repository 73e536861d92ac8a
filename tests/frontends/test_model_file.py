from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save
from xnorhw.frontends.pickles import code_wanted
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

INPUT = fg.Input((3, 6, 5), bits=4, signed=True, scale=0.5)


def network() -> nn.Sequential:
    net = nn.Sequential(
        xnn.BinaryConv2d(3, 4, 3, padding=(1, 0, 2, 1), scale="channel", bias=True),
        nn.BatchNorm2d(4),
        nn.Hardtanh(0.0, float("inf")),
        xnn.Sign(),
        nn.Flatten(),
        xnn.BinaryLinear(4 * 7 * 4, 3, scale="layer"),
    ).eval()
    net[1].running_mean.normal_()  # type: ignore[operator,union-attr]
    return net


def samples(count: int) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(0).integers(-8, 8, (count, 3, 6, 5)) * 0.5).astype(np.float32)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and np.array_equal(a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model_file(path)
    assert str(path) in caught.value.module
    assert caught.value.remedy
    return caught.value


def content(path: Path) -> dict[str, Any]:
    loaded = torch.load(path, weights_only=True)
    assert isinstance(loaded, dict)
    return loaded


def test_round_trip(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "model.pt"
    x, y = samples(20), np.arange(20, dtype=np.uint8) % 3
    save(net, path, INPUT, x, y)
    file = load_model_file(str(path))
    assert file.graph.input == INPUT
    assert file.samples is not None and file.labels is not None
    assert np.array_equal(file.samples, x[:16]) and file.samples.dtype == np.float32
    assert np.array_equal(file.labels, y[:16]) and file.labels.dtype == np.int64
    assert file.metadata.version == "1.3"
    expected = net(torch.from_numpy(x)).detach().numpy()
    assert np.array_equal(TorchEvaluator(file.graph).trace(x)[":scores"], expected)
    from xnorhw.frontends.trace import trace

    assert same(file.graph, trace(net, INPUT))


def test_without_samples(tmp_path: Path) -> None:
    save(network(), tmp_path / "m.pt", INPUT)
    file = load_model_file(tmp_path / "m.pt")
    assert file.samples is None and file.labels is None


def test_samples_are_kept_as_given(tmp_path: Path) -> None:
    net = nn.Sequential(xnn.InputQuant(mean=0.5, std=0.5), xnn.BinaryConv2d(3, 2, 1)).eval()
    pixels = torch.randint(0, 256, (3, 3, 6, 5)).to(torch.uint8)
    save(net, tmp_path / "m.pt", fg.Input((3, 6, 5)), pixels)
    kept = load_model_file(tmp_path / "m.pt").samples
    assert kept is not None and kept.dtype == np.uint8 and np.array_equal(kept, pixels.numpy())


def test_same_network_same_bytes(tmp_path: Path) -> None:
    net = network()
    (tmp_path / "folder").mkdir()
    first, second = tmp_path / "a.pt", tmp_path / "folder" / "another-name.bin"
    save(net, first, INPUT, samples(2))
    save(net, second, INPUT, samples(2))
    assert first.read_bytes() == second.read_bytes()


def test_same_bytes_from_a_loaded_graph(tmp_path: Path) -> None:
    from xnorhw.frontends.model_file import to_bytes

    save(network(), tmp_path / "a.pt", INPUT, samples(2), np.zeros(2, np.int64))
    file = load_model_file(tmp_path / "a.pt")
    assert to_bytes(file.graph, file.samples, file.labels) == (tmp_path / "a.pt").read_bytes()


_SCRIPT = """
import sys, torch
from torch import nn
from xnorhw import nn as xnn
from xnorhw.frontends import save
from xnorhw.ir.float_graph import Input
torch.manual_seed(1)
net = nn.Sequential(xnn.BinaryConv2d(2, 3, 3, scale="channel"), nn.BatchNorm2d(3), xnn.Sign(), nn.Flatten(),
                    xnn.BinaryLinear(27, 2)).eval()
save(net, sys.argv[1], Input((2, 5, 5), encoding="bipolar"))
"""


def test_same_bytes_under_another_hash_seed_and_time_zone(tmp_path: Path) -> None:
    found = set()
    for seed, zone in (("0", "UTC"), ("77", "Asia/Tokyo")):
        path = tmp_path / f"m{seed}.pt"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        subprocess.run([sys.executable, "-c", _SCRIPT, str(path)], check=True, env=environment, cwd=tmp_path)
        found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(found) == 1


def test_bytes_do_not_depend_on_the_weights_memory(tmp_path: Path) -> None:
    net = network()
    save(net, tmp_path / "a.pt", INPUT)
    net[0].weight.data = net[0].weight.data.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)  # type: ignore
    save(net, tmp_path / "b.pt", INPUT)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


class Runs:
    """Makes a pickle that creates a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("form", ["pickle2", "pickle4", "archive", "inside"])
def test_code_in_a_file_is_refused_unrun(tmp_path: Path, form: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    if form == "archive":
        torch.save(Runs(mark), path)
    elif form == "inside":
        save(network(), path, INPUT)
        torch.save({**content(path), "samples": Runs(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Runs(mark)}, protocol=int(form[-1])))
    error = refused(path)
    assert "wants to run code" in error.reason and "mkdir" in error.reason and "not run" in error.reason
    assert not mark.exists()
    pickle.loads(pickle.dumps(Runs(mark)))
    assert mark.exists(), "the pickle does run where it is let"


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "m.pt")
    error = refused(tmp_path / "m.pt")
    assert "torch.nn.modules.linear.Linear" in error.reason and "xnorhw.save" in error.remedy


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_says_how_to_save(tmp_path: Path, wrapped: bool) -> None:
    state: Any = network().state_dict()
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, tmp_path / "m.pt")
    error = refused(tmp_path / "m.pt")
    assert "state_dict" in error.reason
    assert "load_state_dict" in error.remedy and "xnorhw.save(net, path, input=...)" in error.remedy


@pytest.mark.parametrize(
    "data", [b"", b"hello world", b"\x89PNG\r\n\x1a\n" + bytes(100), b'{"a": 1}', b"PK", b"\x80"]
)
def test_what_is_no_model_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.pt").write_bytes(data)
    assert "not a model file" in refused(tmp_path / "m.pt").reason


@pytest.mark.parametrize("value", [3, [1], {"format": "other"}, {}, {"a": {"b": 1}}])
def test_other_contents(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "m.pt")
    assert "not a model file" in refused(tmp_path / "m.pt").reason


def test_a_plain_pickle_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickle.dumps({"a": 1}))
    assert "not a model file" in refused(tmp_path / "m.pt").reason
    assert "cannot be read" in refused(tmp_path / "none.pt").reason
    assert "cannot be read" in refused(tmp_path).reason


def test_torchscript(tmp_path: Path) -> None:
    archive = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("m/constants.pkl", pickle.dumps(()))
        file.writestr("m/data.pkl", pickle.dumps(()))
        file.writestr("m/version", "3\n")
    (tmp_path / "m.pt").write_bytes(archive.getvalue())
    assert "TorchScript" in refused(tmp_path / "m.pt").reason


def test_truncated_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    save(network(), path, INPUT, samples(2))
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) - 100, len(data) // 2, 60):
        path.write_bytes(data[:length])
        assert "truncated or damaged" in refused(path).reason
    for position in range(0, len(data), 997):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        try:
            load_model_file(path)
        except ModelError:
            continue


def test_what_a_pickle_wants() -> None:
    assert code_wanted(pickle.dumps(Runs(Path("x")), protocol=0)) == f"{os.mkdir.__module__}.mkdir"
    assert code_wanted(pickle.dumps([1, "a", {"b": 2.0}])) is None
    assert code_wanted(b"anything") is None
    buffer = io.BytesIO()
    torch.save(network().state_dict(), buffer)
    assert code_wanted(buffer.getvalue()) is None


def changed(path: Path, change: Any) -> ModelError:
    save(network(), path, INPUT, samples(2), [0, 1])
    data = content(path)
    change(data)
    torch.save(data, path)
    return refused(path)


def first_node(data: dict[str, Any]) -> dict[str, Any]:
    node = data["graph"]["nodes"][0]
    assert isinstance(node, dict)
    return node


CHANGES: dict[str, tuple[Any, str]] = {
    "nan": (lambda d: d["arrays"]["nodes/0/op/scale"].fill_(float("nan")), "NaN or infinity"),
    "inf": (lambda d: d["arrays"]["nodes/1/op/var"].fill_(float("inf")), "NaN or infinity"),
    "weight": (lambda d: d["arrays"]["nodes/0/op/weight"].fill_(0), "not all -1 or +1"),
    "weight_type": (lambda d: d["arrays"].update({"nodes/0/op/weight": torch.ones(4, 3, 3, 3)}), "int8"),
    "weight_shape": (
        lambda d: d["arrays"].update({"nodes/0/op/weight": torch.ones(4, 3, 2, 3, dtype=torch.int8)}),
        "kernel",
    ),
    "missing_array": (lambda d: d["arrays"].pop("nodes/0/op/weight"), "missing"),
    "array_kind": (lambda d: d["arrays"].update({"nodes/0/op/weight": 3}), "stands where a tensor"),
    "class": (lambda d: first_node(d)["op"].update({"class": "Softmax"}), "'Softmax' is not part"),
    "wrong_class": (lambda d: d.update(graph=first_node(d)["op"]), "no graph"),
    "op_class": (lambda d: first_node(d).update(op=first_node(d)["output"]), "Value is no operation"),
    "field": (lambda d: first_node(d)["op"].update(colour="red"), "colour"),
    "scalar": (lambda d: first_node(d)["op"].update(in_scale="1"), "in_scale"),
    "array_for_scalar": (
        lambda d: first_node(d)["op"].update(in_scale={"array": "nodes/0/op/scale"}),
        "its in_scale is a ndarray",
    ),
    "pads": (lambda d: first_node(d)["op"]["geometry"].update(pads=[0, 0]), "window"),
    "negative_pads": (lambda d: first_node(d)["op"]["geometry"]["pads"].update(left=-1), "window"),
    "node": (lambda d: d["graph"].update(nodes=[first_node(d)["op"]]), "a node is none"),
    "input": (lambda d: d["graph"].update(input=first_node(d)["output"]), "input"),
    "kinds": (lambda d: d["graph"].update(kinds=[["a"]]), "list of modules"),
    "negative": (lambda d: first_node(d)["op"].update(in_scale=-1.0), "not positive"),
    "shape": (lambda d: first_node(d)["output"].update(shape=[4, 9, 9]), "shape"),
    "edge": (lambda d: first_node(d).update(input="elsewhere"), "elsewhere"),
    "twice": (lambda d: d["graph"]["nodes"].append(first_node(d)), "two values"),
    "output": (lambda d: d["graph"].update(output="9"), "output"),
    "input_scale": (lambda d: d["graph"]["input"].update(scale=0.3), "power of two"),
    "graph": (lambda d: d.update(graph=[1, 2]), "no graph"),
    "no_graph": (lambda d: d.pop("graph"), "lacks its graph"),
    "arrays": (lambda d: d.update(arrays=[]), "lacks its arrays"),
    "samples": (lambda d: d.update(samples=torch.zeros(2, 2)), "have the shape"),
    "sample_kind": (lambda d: d.update(samples="x"), "stands where a tensor"),
    "sample_value": (lambda d: d["samples"].fill_(0.25), "0.25"),
    "labels": (lambda d: d.update(labels=torch.zeros(3, dtype=torch.int64)), "labels"),
    "version_none": (lambda d: d.update(version="one"), "none"),
    "version_major": (lambda d: d.update(version="2.0"), "newer than 1.3"),
    "version_old": (lambda d: d.update(version="0.9"), "older"),
}


@pytest.mark.parametrize(("change", "word"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_files(tmp_path: Path, change: Any, word: str) -> None:
    error = changed(tmp_path / "m.pt", change)
    assert word in str(error)


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    save(network(), path, INPUT)
    data = content(path)
    torch.save({**data, "version": "1.9", "notes": ["later"]}, path)
    assert load_model_file(path).metadata.version == "1.9"
    data["graph"]["nodes"][2]["op"] = {"class": "Gelu"}
    torch.save({**data, "version": "1.9"}, path)
    error = refused(path)
    assert "newer version" in error.reason and error.remedy == "Update xnorhw"


SAMPLES: dict[str, tuple[Any, Any, str]] = {
    "shape": (np.zeros((2, 3, 5, 6), np.float32), None, "have the shape"),
    "single": (np.zeros((3, 6, 5), np.float32), None, "have the shape"),
    "empty": (np.zeros((0, 3, 6, 5), np.float32), None, "have the shape"),
    "between": (np.full((1, 3, 6, 5), 0.3, np.float32), None, "0.3"),
    "range": (np.full((1, 3, 6, 5), 4.0, np.float32), None, "-8..7 times 0.5"),
    "nan": (np.full((1, 3, 6, 5), np.nan, np.float32), None, "nan"),
    "text": (np.full((1, 3, 6, 5), "a"), None, "not numbers"),
    "labels_alone": (None, [1], "without samples"),
    "label_count": (np.zeros((2, 3, 6, 5)), [1], "labels"),
    "label_type": (np.zeros((2, 3, 6, 5)), [0.5, 1.5], "labels"),
    "label_high": (np.zeros((2, 3, 6, 5)), [0, 77], "hold 77"),
    "label_low": (np.zeros((2, 3, 6, 5)), [-1, 0], "hold -1"),
}


@pytest.mark.parametrize(("x", "y", "word"), SAMPLES.values(), ids=SAMPLES.keys())
def test_refused_samples(tmp_path: Path, x: Any, y: Any, word: str) -> None:
    with pytest.raises(ModelError) as caught:
        save(network(), tmp_path / "m.pt", INPUT, x, y)
    assert word in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_bipolar_samples(tmp_path: Path) -> None:
    net = nn.Sequential(xnn.BinaryLinear(4, 2)).eval()
    declared = fg.Input((4,), encoding="bipolar")
    save(net, tmp_path / "m.pt", declared, np.array([[1, -1, 1, 1]], np.int8))
    with pytest.raises(ModelError, match="-1 and \\+1"):
        save(net, tmp_path / "m.pt", declared, np.zeros((1, 4), np.int8))


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    expected = ModelError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        save(network(), path, INPUT)
    if isinstance(caught.value, ModelError):
        assert "No space left" in caught.value.reason
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        save(network(), tmp_path / "none" / "m.pt", INPUT)
