"""larq's layers as TensorFlow computes them, and the HDF5 file that Keras writes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Array = np.ndarray
SIGN = {"class_name": "SteSign", "config": {"name": "ste_sign", "clip_value": 1.0}}


class Net:
    """Layers as (class, options, arrays), with the forward pass of each; maps are NHWC as in Keras."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.layers: list[tuple[str, dict[str, Any], dict[str, Array]]] = []

    def add(self, kind: str, options: dict[str, Any] | None = None, **arrays: Array) -> None:
        name = f"{kind.lower()}_{len(self.layers)}"
        self.layers.append((kind, {"name": name, **(options or {})}, arrays))

    def conv(self, size: tuple[int, ...], quantiser: Any = None, kernel: Any = SIGN, **options: Any) -> None:
        weight = self.rng.normal(0, 0.5, size).astype(np.float32)
        base = {"kernel_size": list(size[:2]), "strides": [1, 1], "dilation_rate": [1, 1], "padding": "valid"}
        config = {
            **base,
            "data_format": "channels_last",
            "use_bias": False,
            "activation": "linear",
            "pad_values": 0.0,
            "input_quantizer": quantiser,
            "kernel_quantizer": kernel,
            **options,
        }
        self.add("QuantConv2D", config, kernel=weight)

    def depthwise(self, size: tuple[int, ...], quantiser: Any = SIGN, **options: Any) -> None:
        weight = self.rng.normal(0, 0.5, size).astype(np.float32)
        config = {
            "strides": [1, 1],
            "dilation_rate": [1, 1],
            "padding": "valid",
            "data_format": "channels_last",
            "use_bias": False,
            "activation": "linear",
            "pad_values": 0.0,
            "input_quantizer": quantiser,
            "depthwise_quantizer": SIGN,
            **options,
        }
        self.add("QuantDepthwiseConv2D", config, depthwise_kernel=weight)

    def dense(self, size: tuple[int, int], quantiser: Any = SIGN, kernel: Any = SIGN, **options: Any) -> None:
        arrays = {"kernel": self.rng.normal(0, 0.5, size).astype(np.float32)}
        if options.get("use_bias"):
            arrays["bias"] = self.rng.normal(0, 1, size[1]).astype(np.float32)
        config = {"use_bias": False, "activation": "linear", "input_quantizer": quantiser}
        self.add("QuantDense", {**config, "kernel_quantizer": kernel, **options}, **arrays)

    def norm(self, channels: int, spread: float, scale: bool = False) -> None:
        rng = self.rng
        arrays = {
            "beta": rng.normal(0, 0.3, channels),
            "moving_mean": rng.normal(0, spread / 2, channels),
            "moving_variance": spread**2 * rng.uniform(0.5, 2, channels),
        }
        if scale:
            arrays["gamma"] = rng.normal(0, 1, channels)
        self.add(
            "BatchNormalization",
            {"axis": [3], "epsilon": 0.001, "center": True, "scale": scale},
            **{name: value.astype(np.float32) for name, value in arrays.items()},
        )
        if len(self.layers) > 1 and self.layers[-2][0] in ("QuantDense", "Flatten"):
            self.layers[-1][1]["axis"] = [1]

    def pool(self, size: int, stride: int, padding: str = "valid") -> None:
        options = {"pool_size": [size, size], "strides": [stride, stride], "padding": padding}
        self.add("MaxPooling2D", {**options, "data_format": "channels_last"})

    def config(self) -> dict[str, Any]:
        first = {
            "class_name": "InputLayer",
            "config": {"name": "input_1", "batch_input_shape": [None, *self.shape]},
        }
        prefix = {"QuantConv2D": "Larq>", "QuantDense": "Larq>"}
        rows = [{"class_name": prefix.get(k, "") + k, "config": c} for k, c, _ in self.layers]
        return {"class_name": "Sequential", "config": {"name": "sequential", "layers": [first, *rows]}}

    def write(self, path: Path, config: dict[str, Any] | None = None) -> Path:
        import h5py

        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config or self.config())
            file.attrs["keras_version"] = "2.9.0"
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = [c["name"].encode() for _, c, _ in self.layers]
            for _, options, arrays in self.layers:
                part = group.create_group(options["name"])
                names = [f"{options['name']}/{n}:0" for n in arrays]
                part.attrs["weight_names"] = (
                    np.array([n.encode() for n in names], dtype=object) if names else []
                )
                for name, value in zip(names, arrays.values(), strict=True):
                    part[name] = value
        return path

    def forward(self, x: Array) -> Array:
        """Scores of NHWC values."""
        made = torch.from_numpy(x.astype(np.float32))
        for kind, options, arrays in self.layers:
            made = _layer(kind, options, {n: torch.from_numpy(v) for n, v in arrays.items()}, made)
        return made.numpy()


def sign(x: torch.Tensor) -> torch.Tensor:
    return torch.sign(torch.sign(x) + 0.1)


def quantised(x: torch.Tensor, quantiser: Any) -> torch.Tensor:
    """An activation's quantiser, or a kernel's, whose outputs are its last axis."""
    if quantiser is None:
        return x
    name, config = quantiser["class_name"], quantiser["config"]
    if name == "MagnitudeAwareSign":
        return sign(x) * x.abs().mean(tuple(range(x.dim() - 1)))
    if name == "SteTern":
        t = config["threshold_value"]
        if config["ternary_weight_networks"]:
            t = 0.7 * x.abs().sum() / x.numel()
        return torch.sign(torch.sign(x + t) + torch.sign(x - t))
    if name == "SteHeaviside":
        return torch.sign(torch.relu(x))
    if name == "DoReFa":
        n = 2 ** config["k_bit"] - 1
        if config["mode"] == "weights":
            t = torch.tanh(x)
            return 2 * torch.round((t / (2 * t.abs().max()) + 0.5) * n) / n - 1
        return torch.round(torch.clamp(x, 0, 1) * n) / n
    return sign(x)


def _layer(kind: str, options: Any, arrays: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    if kind in ("QuantConv2D", "QuantDepthwiseConv2D"):
        y = _conv(options, arrays, quantised(x, options["input_quantizer"]))
    elif kind == "QuantDense":
        kernel = quantised(arrays["kernel"], options["kernel_quantizer"])
        y = (quantised(x, options["input_quantizer"]).double() @ kernel.double()).float()
        y = y + arrays["bias"] if options["use_bias"] else y
    elif kind == "BatchNormalization":
        factor = torch.rsqrt(arrays["moving_variance"] + options["epsilon"]) * arrays.get("gamma", 1.0)
        y = (x - arrays["moving_mean"]) * factor + arrays["beta"]
    elif kind == "MaxPooling2D":
        size, stride = options["pool_size"][0], options["strides"][0]
        x = x.permute(0, 3, 1, 2)
        if options["padding"] == "same":
            x = F.pad(x, _pads(x.shape[2:], (size, size), stride), value=float("-inf"))
        y = F.max_pool2d(x, size, stride).permute(0, 2, 3, 1)
    elif kind == "AveragePooling2D":
        y = F.avg_pool2d(x.permute(0, 3, 1, 2), options["pool_size"]).permute(0, 2, 3, 1)
    elif kind == "GlobalAveragePooling2D":
        y = x.mean((1, 2))
    elif kind == "Activation":
        y = quantised(x, options["activation"])
    elif kind == "Flatten":
        y = x.flatten(1)
    elif kind == "Rescaling":
        y = x * options["scale"] + options["offset"]
    else:
        raise NotImplementedError(kind)
    return torch.relu(y) if options.get("activation") == "relu" else y


def _conv(options: Any, arrays: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = x.permute(0, 3, 1, 2)
    groups = 1
    if "kernel" in arrays:
        weight = quantised(arrays["kernel"], options["kernel_quantizer"]).permute(3, 2, 0, 1)
    else:
        kernel = quantised(arrays["depthwise_kernel"], options["depthwise_quantizer"])
        height, width, groups, many = kernel.shape
        weight = kernel.permute(2, 3, 0, 1).reshape(groups * many, 1, height, width)
    stride = options["strides"][0]
    if options["padding"] == "same":
        x = F.pad(x, _pads(x.shape[2:], weight.shape[2:], stride), value=options["pad_values"])
    return F.conv2d(x.double(), weight.double(), None, stride, groups=groups).float().permute(0, 2, 3, 1)


def _pads(size: Any, kernel: Any, stride: int) -> list[int]:
    pads: list[int] = []
    for n, k in zip(reversed(size), reversed(kernel), strict=True):
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        pads += [total // 2, total - total // 2]
    return pads
