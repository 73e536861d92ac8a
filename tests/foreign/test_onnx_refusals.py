"""Bad ONNX files: each is refused in one paragraph, and nothing of it is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.foreign import onnx_nets
from tests.foreign.onnx_nets import Maker
from xnorhw import load
from xnorhw.frontends.foreign import read_foreign
from xnorhw.frontends.foreign.base import Imported, Options
from xnorhw.ir.errors import ModelError

FED = "3x4x4,mean=0,std=1"


def read(path: Path, said: str | None = FED) -> Imported:
    return read_foreign(path, "onnx", Options(input=said))[1]


def written(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_cut_off(share: float, tmp_path: Path) -> None:
    data = onnx_nets.brevitas_torchscript().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        ModelError, match="cut off|cannot be read|no nodes|no node of it makes|nothing before"
    ):
        read(path)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    path = tmp_path / "net.onnx"
    path.write_bytes(pickle.dumps(Bomb()))
    for kind in (None, "onnx"):
        with pytest.raises(ModelError):
            read_foreign(path, kind, Options())
    with pytest.raises(ModelError):
        load(path)
    assert not (tmp_path / "run").exists()


def test_nothing_said_about_the_input(tmp_path: Path) -> None:
    path = written(onnx_nets.brevitas_torchscript(), tmp_path)
    for said in (None, "3x4x4"):
        with pytest.raises(ModelError, match=r"--input.*3x4x4,mean=M,std=S.*bits=8.*bipolar"):
            read(path, said)


def test_another_shape_than_the_files(tmp_path: Path) -> None:
    path = written(onnx_nets.brevitas_torchscript(), tmp_path)
    with pytest.raises(ModelError, match="says 3x5x5, and the file takes 3x4x4"):
        read(path, "3x5x5,mean=0,std=1")


def test_open_sizes_are_asked_for(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_dynamo()
    sizes = proto.graph.input[0].type.tensor_type.shape.dim
    for i in (2, 3):
        sizes[i].Clear()
        sizes[i].dim_param = f"side{i}"
    sizes[0].dim_param = "N"
    path = written(proto, tmp_path)
    with pytest.raises(ModelError, match=r"leaves the size of its input open: \(\?, 3, \?, \?\)"):
        read(path, "mean=0" and "192,mean=0,std=1")
    assert read(path, "3x8x8,mean=0,std=1").input.shape == (3, 8, 8)


def test_a_batch_of_more_than_one(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    with pytest.raises(ModelError, match="batches of 8"):
        read(written(proto, tmp_path))


def test_several_inputs(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    proto.graph.input.append(helper.make_tensor_value_info("y", 1, [1, 6]))
    proto.graph.node.append(helper.make_node("Add", [proto.graph.output[0].name, "y"], ["z"]))
    proto.graph.output[0].name = "z"
    with pytest.raises(ModelError, match="has 2 inputs: x, y"):
        read(written(proto, tmp_path))


def test_several_results(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    proto.graph.output.append(helper.make_tensor_value_info("t3", 1, [1, 48]))
    with pytest.raises(ModelError, match="has 2 results"):
        read(written(proto, tmp_path))


def in_the_middle(op: str, **attributes: Any) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        m = Maker(0)
        weight = m.bipolar(m.const("conv.weight", m.latent(4, 3, 3, 3)), "w")
        x = m("Conv", ["x", weight], "features.0", kernel_shape=[3, 3])
        x = m(op, [x], "features.1", **attributes)
        x = m("Flatten", [m.bipolar(x, "features.2")], "flatten", axis=1)
        weight = m.bipolar(m.const("fc.weight", m.latent(2, 16)), "w2")
        x = m("Gemm", [x, weight], "fc", transB=1)
        read(written(m.model((1, 3, 4, 4), x, (1, 2)), folder), "3x4x4,bipolar")

    return run


@pytest.mark.parametrize(("op", "words"), [
    ("LRN", r"features\.1/LRN: \(LRN\) normalises by statistics"),
    ("Erf", r"features\.1/Erf: \(Erf\) is not known.*Known are Conv"),
    ("Trunc", r"features\.1/Trunc: \(Trunc\) is of version 1.*newer Brevitas"),
    ("FloatQuant", r"features\.1/FloatQuant: \(FloatQuant\).*Int8ActPerTensorFloat"),
    ("ConvTranspose", r"features\.1/ConvTranspose: \(ConvTranspose\) enlarges"),
])  # fmt: skip
def test_operations_outside_of_the_vocabulary(op: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        in_the_middle(op)(tmp_path)


@pytest.mark.parametrize(("name", "value", "words"), [
    ("pool.scale", 0.0, "has the scale 0, and a quantiser's scale is finite and positive"),
    ("pool.wanted", np.inf, "has the output scale inf"),
    ("pool.scale", [0.25, 0.5], "has 2 of its scales"),
    ("pool.zero", 3.0, "a number with a zero point"),
    ("pool.bits", 1.0, "leaves one bit"),
    ("pool.bits", 9.0, "output bit width 9, not one whole number from 1 to 8"),
])  # fmt: skip
def test_a_trunc_that_is_none(name: str, value: Any, words: str, tmp_path: Path) -> None:
    proto = onnx_nets.truncated()
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
    with pytest.raises(ModelError, match=rf"pool/Trunc: \(Trunc\).*{words}"):
        read(written(proto, tmp_path), "3x10x10,mean=0,std=1")


def test_a_trunc_that_rounds_in_its_own_way(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="rounds by 'STOCHASTIC'"):
        read(written(onnx_nets.truncated(rounding="STOCHASTIC"), tmp_path), "3x10x10,mean=0,std=1")


@pytest.mark.parametrize(("make", "op", "name", "value"), [
    (onnx_nets.qcdq, "Conv", "pads", [1, 2, 3]),
    (onnx_nets.qcdq, "Conv", "pads", "x"),
    (onnx_nets.qkeras, "Transpose", "perm", 1.5),
])  # fmt: skip
def test_attributes_of_another_kind(make: Any, op: str, name: str, value: Any, tmp_path: Path) -> None:
    proto = make()
    node = next(n for n in proto.graph.node if n.op_type == op)
    attribute = next(a for a in node.attribute if a.name == name)
    attribute.CopyFrom(helper.make_attribute(name, value))
    said = next(text for net, text in onnx_nets.NETS.values() if net is make)
    with pytest.raises(ModelError, match=f"{op}|axes|shape"):
        read(written(proto, tmp_path), said)


def test_a_domain_that_nobody_knows(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    proto.graph.node[3].domain = "com.example"
    with pytest.raises(ModelError, match=r"com\.example.*QONNX"):
        read(written(proto, tmp_path))


def test_a_node_that_reads_nothing(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    proto.graph.node[2].input[0] = "gone"
    with pytest.raises(ModelError, match="reads 'gone', which nothing before it makes"):
        read(written(proto, tmp_path))


# --- external data ---------------------------------------------------------------------------


def external(folder: Path, seed: int = 0) -> Path:
    path = folder / "net.onnx"
    onnx.save_model(
        onnx_nets.brevitas_dynamo(seed),
        str(path),
        save_as_external_data=True,
        location="net.onnx.data",
        size_threshold=16,
    )
    return path


def test_external_data_is_read(tmp_path: Path) -> None:
    path = external(tmp_path)
    said = "3x8x8,mean=0,std=1"
    one = read(path, said).net
    other = read(written(onnx_nets.brevitas_dynamo(), tmp_path / ".." / tmp_path.name), said).net
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert bool((a == b).all())


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"net\.onnx\.data', which is not beside it"):
        read(path)


def test_external_data_of_another_export(tmp_path: Path) -> None:
    path = external(tmp_path)
    data = tmp_path / "net.onnx.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"the file has 100.*another export"):
        read(path)


@pytest.mark.parametrize("location", ["../net.onnx.data", "/etc/hostname", ""])
def test_external_data_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    path = external(tmp_path)
    proto = onnx.load_model(str(path), load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    with pytest.raises(ModelError, match="outside of its folder"):
        read(written(proto, tmp_path))


def test_more_than_a_protobuf_holds(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:  # two gigabytes that take no room on the disk
        file.write(onnx_nets.finn().SerializeToString())
        file.truncate(2**31 + 10)
    with pytest.raises(ModelError, match="more than the 2 GiB"):
        read(path)


def test_other_options_are_refused(tmp_path: Path) -> None:
    path = written(onnx_nets.finn(), tmp_path)
    with pytest.raises(ModelError, match=r"--sign0.*onnx"):
        read_foreign(path, None, Options(sign0=1))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    path = written(onnx_nets.finn(), tmp_path)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r'pip install "xnorhw\[onnx\]"'):
        read(path)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    proto = onnx_nets.brevitas_torchscript()
    weight = next(t for t in proto.graph.initializer if t.name == "features.6.weight")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0, 0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    with pytest.raises(ModelError, match="NaN or infinite"):
        read(written(proto, tmp_path))


def test_brevitas_without_its_exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from torch import nn

    from xnorhw import Input
    from xnorhw.frontends import save

    class QuantLinear(nn.Linear):
        __module__ = "brevitas.nn.quant_linear"

    monkeypatch.setitem(sys.modules, "brevitas.export", None)
    net = nn.Sequential(QuantLinear(4, 2)).eval()
    with pytest.raises(ModelError, match=r"QONNX export is not there.*pip install .*onnxoptimizer"):
        save(net, tmp_path / "net.pt", input=Input((4,)))
    assert not (tmp_path / "net.pt").exists()


@pytest.mark.parametrize(("name", "value"), [("a0.s2", np.float32(0.5)), ("a0.z2", np.uint8(1))])
def test_a_pair_that_does_not_agree(name: str, value: Any, tmp_path: Path) -> None:
    # the DequantizeLinear behind the first activations multiplies by, or subtracts, something else
    proto = onnx_nets.qcdq()
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    node = next(n for n in proto.graph.node if n.name == "/a0/DequantizeLinear")
    node.input[1 if name.endswith("s2") else 2] = name
    with pytest.raises(ModelError, match=r"/a0/DequantizeLinear.*another scale.*/a0/QuantizeLinear"):
        read(written(proto, tmp_path))
