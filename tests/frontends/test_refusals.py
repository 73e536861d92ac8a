"""Every network that cannot be taken is refused with its module, the reason and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

BIPOLAR = fg.Input((4, 8, 6), encoding="bipolar")


class Calls(nn.Module):
    """A network whose forward is a function."""

    def __init__(self, how: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.how = how
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self, x)


def refused(net: nn.Module, declared: fg.Input = BIPOLAR, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        trace(net, declared, **options)
    error = caught.value
    assert error.reason and not error.reason.endswith(".")
    assert not error.remedy.endswith(".")
    return error


MODULES = {
    "unknown": (nn.Sequential(xnn.BinaryConv2d(4, 4, 1), nn.LocalResponseNorm(2)), "1", "sum of squares"),
    "silu": (nn.Sequential(nn.SiLU()), "0", "SiLU is not known"),
    "softmax": (nn.Sequential(nn.Softmax(1)), "0", "largest"),
    "average_ceil": (nn.Sequential(nn.AvgPool2d(3, ceil_mode=True)), "0", "ceil_mode"),
    "average_divisor": (nn.Sequential(nn.AvgPool2d(3, divisor_override=2)), "0", "divides by 2"),
    "average_edge": (nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), "0", "at the edge"),
    "average_sizes": (nn.Sequential(nn.AdaptiveAvgPool2d(2)), "0", "windows of several sizes"),
    "average_vector": (nn.Sequential(nn.Flatten(), nn.AvgPool2d(2)), "1", "takes maps"),
    "stochastic": (
        nn.Sequential(
            xnn.BinaryConv2d(4, 4, 1, weight=xnn.BinaryConnectWeight(stochastic=True, test="sample"))
        ),
        "0",
        "at random",
    ),
    "stochastic_linear": (
        nn.Sequential(
            nn.Flatten(),
            xnn.BinaryLinear(192, 4, weight=xnn.BinaryConnectWeight(stochastic=True, test="sample")),
        ),
        "1",
        "at random",
    ),
    "scaled_channels": (nn.Sequential(xnn.ScaledBinaryConv2d(8, 4, 1)), "0", "8 channels"),
    "bases_channels": (
        nn.Sequential(xnn.QuantConv2d(8, 4, 1, weight=xnn.DoReFaWeight(2))),
        "0",
        "8 channels",
    ),
    "conv_behind_sign": (
        nn.Sequential(xnn.Sign(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)),
        "2",
        "behind a sign",
    ),
    "conv_on_bipolar_input": (nn.Sequential(nn.Conv2d(4, 4, 1)), "0", "behind a sign"),
    "conv": (nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1)), "1", "full-precision"),
    "linear_behind_sign": (nn.Sequential(xnn.Sign(), nn.Flatten(), nn.Linear(192, 2)), "2", "behind a sign"),
    "statistics": (nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)), "0", "running statistics"),
    "rank": (nn.Sequential(nn.BatchNorm1d(4)), "0", "rank 2"),
    "rank_1d": (nn.Sequential(nn.Flatten(), nn.BatchNorm2d(192)), "1", "rank 4"),
    "features": (nn.Sequential(nn.BatchNorm2d(5)), "0", "5 channels"),
    "channels": (nn.Sequential(xnn.BinaryConv2d(8, 4, 1, groups=2)), "0", "8 channels"),
    "map_to_linear": (nn.Sequential(xnn.BinaryLinear(6, 2)), "0", "takes vectors"),
    "in_features": (nn.Sequential(nn.Flatten(), xnn.BinaryLinear(6, 2)), "1", "192"),
    "vector_to_conv": (nn.Sequential(nn.Flatten(), xnn.BinaryConv2d(4, 4, 1)), "1", "takes maps"),
    "vector_to_pool": (nn.Sequential(nn.Flatten(), nn.MaxPool2d(2)), "1", "takes maps"),
    "kernel": (nn.Sequential(xnn.BinaryConv2d(4, 4, (9, 1))), "0", "does not fit"),
    "pool_padding": (nn.Sequential(nn.MaxPool2d(2, padding=2)), "0", "half"),
    "indices": (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), "0", "indices"),
    "flatten_batch": (nn.Sequential(nn.Flatten(0)), "0", "frames of a batch"),
    "flatten_partly": (nn.Sequential(nn.Flatten(2)), "0", "only the axes"),
    "late_quant": (nn.Sequential(nn.ReLU(), xnn.InputQuant(mean=0.5, std=0.5)), "1", "raw pixels"),
    "quant_on_signs": (nn.Sequential(xnn.InputQuant(mean=0.5, std=0.5)), "0", "raw pixels"),
    "nothing": (nn.Sequential(nn.Identity()), "the network", "no layer"),
}


@pytest.mark.parametrize(("net", "module", "word"), MODULES.values(), ids=MODULES.keys())
def test_modules(net: nn.Module, module: str, word: str) -> None:
    error = refused(net.eval())
    assert error.module == module
    assert word in error.reason
    assert error.remedy


def test_the_way_out_of_a_plain_convolution() -> None:
    error = refused(nn.Sequential(xnn.Sign(), nn.Conv2d(4, 4, 1)).eval())
    assert 'replace={"1": lambda m: xnn.BinaryConv2d.from_conv(m)}' in error.remedy
    assert "xnorhw.nn.BinaryConv2d" in error.remedy


def test_unknown_modules_list_what_is_known() -> None:
    error = refused(nn.Sequential(nn.GELU()).eval())
    for word in ("BinaryConv2d", "BatchNorm2d", "MaxPool2d", "max_pool2d", "replace={GELU"):
        assert word in error.remedy


def conv(**options: Any) -> xnn.BinaryConv2d:
    return xnn.BinaryConv2d(4, 4, 1, **options)


def branch(self: Any, x: torch.Tensor) -> Any:
    if x.sum() > 0:
        return self.conv(x)
    return x


def loop(self: Any, x: torch.Tensor) -> Any:
    while x.mean() < 0:
        x = x + 1
    return x


def aliased(self: Any, x: torch.Tensor) -> Any:
    x = self.conv(x)
    F.relu(x, inplace=True)
    return x


def aliased_view(self: Any, x: torch.Tensor) -> Any:
    y = self.conv(x)
    y.flatten(1).relu_()
    return y


def aliased_module(self: Any, x: torch.Tensor) -> Any:
    y = self.conv(x)
    self.relu(y)
    return self.conv(y)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str, str, bool]] = {
    "silu": (lambda s, x: F.silu(s.conv(x)), "silu_1", "not known", True),
    "method": (lambda s, x: x.cumsum(1), "cumsum_1", "not known", True),
    "sign": (lambda s, x: torch.sign(s.conv(x)), "sign_1", "gives 0 for 0", True),
    "sign_method": (lambda s, x: s.conv(x).sign(), "sign_1", "gives 0 for 0", True),
    "softmax": (lambda s, x: F.softmax(s.conv(x), 1), "softmax_1", "exponentials", True),
    "log_softmax": (lambda s, x: s.conv(x).log_softmax(1), "log_softmax_1", "exponentials", True),
    "lrn": (lambda s, x: F.local_response_norm(s.conv(x), 2), "local_response_norm_1", "squares", True),
    "conv2d": (lambda s, x: F.conv2d(x, torch.ones(1, 4, 1, 1)), "the network", "own making", True),
    "parameter": (lambda s, x: F.linear(x, s.conv.weight), "conv", "itself", True),
    "add_number": (lambda s, x: s.conv(x) + 1, "add_1", "else than two tensors", True),
    "add_alpha": (lambda s, x: torch.add(s.conv(x), x, alpha=2), "add_1", "else than two tensors", True),
    "add_shapes": (lambda s, x: s.conv(x) + F.max_pool2d(x, 2), "add_1", "it adds max_pool2d_1", False),
    "subtract": (lambda s, x: s.conv(x) - x, "sub_1", "on tensors", True),
    "cat_maps": (lambda s, x: torch.cat([x, F.max_pool2d(x, 2)], 1), "cat_1", "it joins", False),
    "cat_rows": (lambda s, x: torch.cat([s.conv(x), x], 2), "cat_1", "along the axis 2", True),
    "cat_batch": (lambda s, x: torch.cat([s.conv(x), x]), "cat_1", "along the axis 0", True),
    "mean_channels": (lambda s, x: s.conv(x).mean(1), "mean_1", "other axes", True),
    "mean_all": (lambda s, x: s.conv(x).mean(), "mean_1", "other axes", True),
    "item": (lambda s, x: s.conv(x)[:, 0], "getitem_1", "part of a tensor", True),
    "dropout": (lambda s, x: F.dropout(s.conv(x)), "dropout_1", "literally True", True),
    "indices": (
        lambda s, x: F.max_pool2d(x, 2, return_indices=True)[0],
        "max_pool2d_with_indices_1",
        "returns indices",
        True,
    ),
    "batch_view": (lambda s, x: s.conv(x).view(3, -1), "view_1", "batch of 3", True),
    "mixed_view": (lambda s, x: s.conv(x).view(-1, 96), "view_1", "mixes the frames", True),
    "two_unknown": (lambda s, x: s.conv(x).view(-1, -1), "view_1", "two unknown", True),
    "unflatten": (lambda s, x: s.conv(x).view(x.size(0), 8, 2, 12), "view_1", "reshapes", True),
    "moved_batch": (lambda s, x: s.conv(x).view(-1, x.size(0)), "view_1", "moves the batch", True),
    "batch_arithmetic": (lambda s, x: s.conv(x).view(x.size(0) * 1, -1), "mul_1", "size of the batch", True),
    "flatten_all": (lambda s, x: torch.flatten(s.conv(x)), "flatten_1", "frames of a batch", True),
    "size_of_size": (lambda s, x: F.relu(x.size(1)), "relu_1", "something else than a tensor", True),
    "relu_of_size": (lambda s, x: torch.relu(x.size(1)), "relu_1", "something else than a tensor", True),
    "tuple": (lambda s, x: (s.conv(x), x), "the network", "several results", False),
    "dict": (lambda s, x: {"scores": s.conv(x)}, "the network", "several results", False),
    "constant": (lambda s, x: 3, "the network", "does not depend", False),
    "shape": (lambda s, x: s.conv(x).size(0), "the network", "no tensor", False),
    "branch": (branch, "Calls", "depends on the data", True),
    "loop": (loop, "Calls", "depends on the data", True),
    "len": (lambda s, x: x.view(len(x), -1), "Calls", "len()", True),
    "iterate": (lambda s, x: [s.conv(v) for v in x], "Calls", "iterates", True),
    "aliased": (aliased, "relu", "in place", True),
    "aliased_view": (aliased_view, "relu_", "in place", True),
    "aliased_module": (aliased_module, "relu", "in place", True),
}


@pytest.mark.parametrize(("how", "module", "word", "line"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_functions(how: Callable[..., Any], module: str, word: str, line: bool) -> None:
    error = refused(Calls(how, conv=conv(), relu=nn.ReLU(inplace=True)).eval())
    assert word in error.reason
    assert error.module == module
    assert error.remedy
    if line:
        number = how.__code__.co_firstlineno
        lines = [f"test_refusals.py:{n}" for n in range(number, number + 5)]
        assert any(text in error.reason for text in lines), error.reason


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x[:, 0] = 1
        return x


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x


class CustomSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0]


def test_writing_into_a_tensor() -> None:
    error = refused(Writes().eval())
    assert "writes into a tensor" in error.reason and "test_refusals.py" in error.reason


def test_several_inputs() -> None:
    error = refused(Two().eval())
    assert "several inputs" in error.reason and "y" in error.reason


def test_an_autograd_function_of_the_users() -> None:
    error = refused(Calls(lambda s, x: CustomSign.apply(x)).eval())
    assert "gives 0 for 0" in error.reason and "xnorhw.nn.Sign" in error.remedy


def test_training_mode_names_the_module() -> None:
    net = nn.Sequential(conv(), nn.Sequential(nn.BatchNorm2d(4)))
    assert refused(net).module == "the network"
    net.eval()
    net[1][0].train()  # type: ignore[index]
    error = refused(net)
    assert error.module == "1.0" and "training" in error.reason and "net.eval()" in error.remedy


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.running_mean", "1.running_var", "1.weight"])
def test_parameters_that_are_not_finite(bad: float, name: str) -> None:
    net = nn.Sequential(conv(bias=True), nn.BatchNorm2d(4)).eval()
    net.state_dict()[name].view(-1)[1] = bad
    error = refused(net)
    assert error.module == name[0] and "NaN or infinity" in error.reason


def test_a_scale_that_overflows() -> None:
    net = nn.Sequential(conv(scale="channel")).eval()
    net[0].weight.data.fill_(3e38)  # type: ignore[union-attr,operator]
    assert "NaN or infinity in its scale" in refused(net).reason or "scale" in refused(net).reason


def test_a_variance_that_is_negative() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4)).eval()
    net.state_dict()["0.running_var"][2] = -1.0
    assert "variance" in refused(net).reason


def test_other_precisions() -> None:
    assert "float64" in refused(nn.Sequential(nn.BatchNorm2d(4)).double().eval()).reason
    assert "net.float()" in refused(nn.Sequential(conv()).half().eval()).remedy


def test_classes_on_top_of_ours() -> None:
    class Mine(xnn.BinaryConv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 2

    error = refused(nn.Sequential(Mine(4, 4, 1)).eval())
    assert error.module == "0" and "BinaryConv2d" in error.reason and "replace" in error.remedy


def test_hidden_computation_is_found_by_running() -> None:
    net = nn.Sequential(conv(), nn.ReLU()).eval()
    net[0].register_forward_hook(lambda m, i, o: o + 1)
    error = refused(net)
    assert error.module == "0" and "does not compute" in error.reason


def test_a_network_that_fails_on_the_declared_input() -> None:
    net = nn.Sequential(conv()).eval()
    net[0].register_forward_pre_hook(lambda m, i: i[0][:, :2])
    assert "fails on a random input" in refused(net).reason


INPUTS = {
    "rank": (fg.Input((4, 8)), "neither"),
    "empty": (fg.Input((4, 0, 8)), "neither"),
    "bits": (fg.Input((4,), bits=9), "9 bits"),
    "scale": (fg.Input((4,), scale=0.3), "power of two"),
    "nan": (fg.Input((4,), scale=float("nan")), "power of two"),
    "encoding": (fg.Input((4,), encoding="gray"), "gray"),  # type: ignore[arg-type]
    "fraction": (fg.Input((4.5,)), "whole numbers"),  # type: ignore[arg-type]
    "none": (None, "NoneType"),
}


@pytest.mark.parametrize(("declared", "word"), INPUTS.values(), ids=INPUTS.keys())
def test_input_descriptions(declared: Any, word: str) -> None:
    error = refused(nn.Sequential(conv()).eval(), declared)
    assert error.module == "input" and word in error.reason


def test_what_is_no_network() -> None:
    assert "OrderedDict" in refused(conv().state_dict()).reason  # type: ignore[arg-type]


class TestReplace:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval()

    def test_a_name_that_is_not_there(self) -> None:
        error = refused(
            nn.Sequential().add_module("conv1", conv()) or nn.Sequential(conv()), replace={"7": conv}
        )
        assert error.module == "7" and "does not have" in error.reason

    def test_near_names(self) -> None:
        net = Calls(lambda s, x: s.conv1(x), conv1=conv()).eval()
        assert "conv1" in refused(net, replace={"conv2": conv}).remedy

    def test_a_class_that_is_not_there(self) -> None:
        assert refused(self.net, replace={nn.Linear: conv}).module == "Linear"

    def test_a_function_that_fails(self) -> None:
        net = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")).eval()
        error = refused(net, replace={nn.Conv2d: xnn.BinaryConv2d.from_conv})
        assert error.module == "0" and "circular" in error.reason

    def test_a_function_that_returns_nothing(self) -> None:
        error = refused(self.net, replace={nn.Conv2d: lambda m: None})
        assert error.module == "0" and "NoneType" in error.reason
